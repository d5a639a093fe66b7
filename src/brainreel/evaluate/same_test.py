"""What a test holds, so that runs that stand side by side are known to be of the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from brainreel.files import digest_json
from brainreel.train.predictions import PicturePrediction, Prediction


def facts_of_test(people: Sequence[Prediction]) -> dict[str, Any]:
    """Return how many people, TRs and voxels a test has, and a digest of whose and which.

    Parameters
    ----------
    people
        Pooled predictions, one a person.

    Returns
    -------
    dict
        `n_people`, `n_trs` and `n_voxels` over all people, and `digest`: equal where the same
        people are tested at the same moments of the same recordings, in as many voxels each, in
        whatever order.
    """
    return {
        "n_people": len(people),
        "n_trs": sum(len(item.segment) for item in people),
        "n_voxels": sum(item.measured.shape[1] for item in people),
        "digest": digest_json(sorted(_moments(item) for item in people)),
    }


def facts_of_pictures(people: Mapping[str, Sequence[PicturePrediction]]) -> dict[str, Any]:
    """Return how many people and trials a test has, the size of its pictures, and a digest of them.

    Parameters
    ----------
    people
        Everybody's folds.

    Returns
    -------
    dict
        `n_people`, `n_trials`, `picture_shape` and `digest`: equal where the same trials of the
        same people are tested on pictures of one size, in whatever folds.
    """
    trials = {
        who: sorted(int(t) for fold in folds for t in fold.trials) for who, folds in people.items()
    }
    shape = list(next(iter(people.values()))[0].true.shape[1:])
    return {
        "n_people": len(people),
        "n_trials": sum(map(len, trials.values())),
        "picture_shape": shape,
        "digest": digest_json([sorted(trials.items()), shape]),
    }


def _moments(item: Prediction) -> list[Any]:
    """Return who, how many voxels, and recording, first and last film time of each segment."""
    stretches = []
    for number, label in enumerate(item.recordings):
        times = item.film_time_s[item.segment == number]
        # To the millisecond: the same clock may have been read from seconds or from fractions.
        ends = [round(1000 * float(at)) for at in (np.min(times), np.max(times))]
        stretches.append([label, *ends, len(times)])
    return [item.subject, int(item.measured.shape[1]), sorted(stretches)]
