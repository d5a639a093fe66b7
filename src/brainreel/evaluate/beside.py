"""What stands beside a run's scores: other systems on the same test, scored by the same code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from brainreel.evaluate.others import OtherPeople
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import Beside

# What a control is called beside a run, before its own name.
CONTROL = "control:"


def systems_beside(
    people: Sequence[Prediction], others: OtherPeople, wanted: Sequence[Beside]
) -> Iterator[tuple[str, list[Prediction]]]:
    """Yield the name of each system and what it predicts of the same people at the same test.

    Parameters
    ----------
    people
        What the run predicts, and what was measured.
    others
        What other people measured at the same moments.
    wanted
        Names of systems; one that can predict nobody is left out.
    """
    for name in wanted:
        if name == "mean_volume":
            found = [mean_volume(item) for item in people]
        else:
            tried = [other_people(item, others) for item in people]
            found = [item for item in tried if item is not None]
        if found:
            yield name, found


def mean_volume(item: Prediction) -> Prediction:
    """Predict the mean of the training segments at every moment: 0 in these units."""
    return replace(item, predicted=np.zeros_like(item.predicted), spread=None)


def other_people(item: Prediction, others: OtherPeople) -> Prediction | None:
    """Predict what everybody else measured, on average; None where there are too few.

    It is what other brains say of the film, and no model of it: also of unseen parts of the film
    it is what they measured there.
    """
    course = others.course(item)
    if course is None:
        return None
    return replace(item, predicted=np.nan_to_num(course).astype(np.float32), spread=None)
