"""Several tests of one fit: predictions of the whole test part, parted into its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from brainreel.data.catalog import Opened
from brainreel.data.samples import Fold, Series
from brainreel.errors import DataError
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.predictions import AnyPrediction, Prediction


def in_cells(data: Opened, fold: Fold, predictions: Sequence[AnyPrediction]) -> list[AnyPrediction]:
    """Return predictions of a fold's test as those of its cells, each under the cell's name.

    A fold without cells keeps its own. The segments of a person's prediction stand in the order
    that the fold's test has them in.
    """
    if not fold.cells or not isinstance(data, Series):
        return list(predictions)
    parted: list[AnyPrediction] = []
    for cell in fold.cells:
        for item in predictions:
            if not isinstance(item, Prediction | LatentPrediction):
                continue
            mine = data.of_subject(item.subject, fold.test)
            wanted = set(data.of_subject(item.subject, cell.test))
            if len(mine) != item.n_segments:
                raise DataError(
                    f"fold '{fold.name}': {item.subject} has {len(mine)} test segments, and "
                    f"{item.n_segments} were predicted. A task must predict each, in order."
                )
            numbers = [i for i, segment in enumerate(mine) if segment in wanted]
            if numbers:
                parted.append(item.part(numbers, split=cell.name, fold=cell.name))
    return parted


def unfitted(fold: Fold) -> Fold:
    """Return a fold without the cells that test its training data."""
    if not fold.cells:
        return fold
    cells = tuple(cell for cell in fold.cells if cell.unseen_person or cell.unseen_film)
    return replace(fold, cells=cells, test=tuple(s for cell in cells for s in cell.test))


def check_all_trained(data: Opened, *, task: str) -> None:
    """Refuse folds that test a person without training data, for a task that reads out each.

    Raises
    ------
    DataError
        Naming the fold and the people.
    """
    if not isinstance(data, Series):
        return
    for fold in data.folds:
        tested, trained = (
            {data.recordings[segment.recording].subject for segment in part}
            for part in (fold.test, fold.train)
        )
        unseen = sorted(tested - trained)
        if not unseen:
            continue
        more = f" and {len(unseen) - 3} more" if len(unseen) > 3 else ""
        how = "Split by film or time, or use a task that people share (film_vae)."
        if fold.cells:
            how = (
                "Test seen people alone: tested=[seen_person-unseen_film] in this split; or use "
                "a task that people share (film_vae)."
            )
        raise DataError(
            f"fold '{fold.name}': {', '.join(unseen[:3])}{more} are tested and not in training, "
            f"and task '{task}' learns a readout for each person. {how}"
        )
