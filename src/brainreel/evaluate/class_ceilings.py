"""The exact ceiling of classifiers on simulated films."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from brainreel.errors import DataError
from brainreel.shapes import Sense
from brainreel.simulate.film_set import read_set_truth


def exact_accuracy(root: Path, senses: Collection[Sense], items: Sequence[str]) -> float:
    """Return the best accuracy that any classifier of films can have with these senses.

    Parameters
    ----------
    root
        Folder of a simulated set of films.
    senses
        What the network takes in.
    items
        Names of the tested items in their list.

    Raises
    ------
    DataError
        If an item is none of the films whose truth this is.
    """
    truth = read_set_truth(root)
    strange = next((name for name in items if name not in truth["films"]), None)
    if strange is not None:
        raise DataError(
            f"{root}: its truth knows no film {strange}. Give scoring.truth the set that was "
            "tested, or leave it out."
        )
    return float(truth["ceiling_of_senses"][" and ".join(sorted(senses))])
