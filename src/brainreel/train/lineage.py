"""Lineage: every fit that weights went through, what it learned from, and if that was a test."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.checkpoints.store import VERSIONS
from brainreel.data.catalog import Opened
from brainreel.data.samples import Fold, Segment, Series, Trials
from brainreel.data.stored_pictures import picture_digests
from brainreel.errors import CheckpointError, LeakError
from brainreel.files import digest_json, read_json
from brainreel.train.task import FOLDS, TaskConfig, folds_digest

_OWN = "this run"


@dataclass(frozen=True)
class Ancestor:
    """One fit behind weights.

    Attributes
    ----------
    where
        The run folder, with the stage where it has several; or a stage of the run itself.
    task
        What was learned.
    transductive
        Whether it learned from the brains of its own test part.
    digests
        SHA-256 of the data by file, and of the folds.
    rows
        Of trials: a digest of each voxel vector that it learned from, in any fold.
    pictures
        A digest of each picture that it learned from, in any fold or beside the data.
    order
        Digest of all its voxel vectors in order, and of all pictures: folds with the same numbers
        are the same folds of these alone. Empty where that was not kept.
    """

    where: str
    task: str
    transductive: bool = False
    digests: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    order: tuple[str, ...] = ()


def lineage_of(stages: Sequence[tuple[TaskConfig, Opened]]) -> list[Ancestor]:
    """Return all fits behind the weights of a run's stages, the oldest first.

    Parameters
    ----------
    stages
        The task of each stage and its data.
    """
    found: list[Ancestor] = []
    for number, (task, data) in enumerate(stages, start=1):
        for folder in task.starts():
            found += (one for one in read_lineage(folder) if one not in found)
        transductive = bool(getattr(task, "transductive", False))
        seen = [i for fold in data.folds for i in _learned(fold, transductive)]
        shown = [i for fold in data.folds for i in _learned(fold)] if task.learns_pictures else []
        found.append(
            Ancestor(
                where=_OWN if len(stages) == 1 else f"stage {number} of {_OWN}",
                task=task.name,
                transductive=transductive,
                digests={**data.sources, FOLDS: folds_digest(data.folds)},
                rows=tuple(sorted(_digests(data, seen))) if isinstance(data, Trials) else (),
                pictures=tuple(sorted({*_shown(data, shown), *_further(task, data)})),
                order=_order(data),
            )
        )
    return found


def read_lineage(folder: Path) -> list[Ancestor]:
    """Return all fits behind the weights of a run folder, its own last; none of an import.

    Raises
    ------
    CheckpointError
        If it is no run folder, or its list is not what a fit writes.
    """
    place = Path(folder) / VERSIONS
    if not place.is_file():
        raise CheckpointError(f"{folder}: no {VERSIONS} in it, so it is no run folder.")
    told = read_json(place)
    try:
        listed = told.get("lineage")
        if listed is None:  # a fit from before there were lists, or an import
            return [Ancestor(str(folder), "", digests=dict(told["digests"]))]
        found = [_ancestor(one) for one in listed]
    except (AttributeError, KeyError, TypeError) as problem:
        raise CheckpointError(f"{place}: not what a fit writes there. Fit again.") from problem
    return [replace(one, where=one.where.replace(_OWN, str(folder))) for one in found]


def told(lineage: Iterable[Ancestor]) -> list[dict[str, Any]]:
    """Return a lineage as it stands in versions.json."""
    return [asdict(one) for one in lineage]


def adapted_on_test(folder: Path) -> tuple[str, ...]:
    """Name the fits behind a run's weights that learned from the brains of a test part.

    Scores of such a run are transductive: they say nothing of brains measured later.
    """
    return tuple(one.where for one in read_lineage(folder) if one.transductive)


def check_unseen(folder: Path, data: Opened, *, sources: Mapping[str, str]) -> None:
    """Refuse weights that were, at any time, fitted on what is now tested.

    Parameters
    ----------
    folder
        A run folder, fitted or imported.
    data
        What is tested.
    sources
        The files that must not be shared unless the splits are; name to digest.

    Raises
    ------
    LeakError
        Naming the fit, and the file, trial or picture that it shares.
    """
    own, order = folds_digest(data.folds), _order(data)
    tests = [i for fold in data.folds for i in fold.test_trials]
    for one in read_lineage(folder):
        where = folder if one.where == str(folder) else f"{folder}, which began with {one.where}"
        same_folds = one.digests.get(FOLDS) == own
        # Of data in another order, folds of the same numbers are other folds.
        same_rows, same_pictures = (
            same_folds and (not one.order or not order or one.order[i] == order[i]) for i in (0, 1)
        )
        if one.pictures and not same_pictures:
            _refuse_pictures(_shown(data, tests), one.pictures, str(where))
        if same_rows:
            continue
        shared = [name for name, digest in sources.items() if digest in one.digests.values()]
        if shared and not same_folds:
            raise LeakError(
                f"{where}: its network was fitted on the same data ({shared[0]}) with other "
                "splits, so it may have been trained on what is tested here. Fit it with the same "
                "data.splits."
            )
        if isinstance(data, Series | Trials) and one.rows:
            for fold in data.folds:
                tested = _vectors(data, fold.test, fold.test_trials)
                _refuse_shared(tested, one.rows, str(where))


def check_stage_rows(
    task: TaskConfig, own: Opened, earlier: Fold, data: Opened, fold: Fold, name: str
) -> None:
    """Refuse a stage that trains on a voxel vector or picture that the last stage tests on.

    Parameters
    ----------
    task
        Of the stage.
    own, earlier
        Data and fold of the stage.
    data, fold
        Data and fold of the last one.
    name
        What the stage is called in errors.
    """
    kinds = (Trials, Series)
    if not isinstance(own, kinds) or not isinstance(data, kinds):
        return
    if isinstance(own, Series) and isinstance(data, Series):
        return  # their film time and people tell, recording by recording
    seen = _vectors(own, earlier.train + earlier.validation, _learned(earlier))
    _refuse_shared(_vectors(data, fold.test, fold.test_trials), seen, name)
    shown = _shown(own, _learned(earlier)) if task.learns_pictures else {}
    _refuse_pictures(_shown(data, fold.test_trials), {*shown, *_further(task, own)}, name)


def _learned(fold: Fold, transductive: bool = False) -> tuple[int, ...]:
    return fold.train_trials + fold.validation_trials + transductive * fold.test_trials


def _refuse_shared(tested: Mapping[str, int], seen: Iterable[str], where: str) -> None:
    for digest in seen:
        if digest in tested:
            raise LeakError(
                f"{where}: was fitted on trial or TR {tested[digest]}, which is tested here. Fit "
                "it with the same data and data.splits, or leave it out."
            )


def _refuse_pictures(tested: Mapping[str, int], learned: Collection[str], where: str) -> None:
    found = [tested[digest] for digest in tested.keys() & set(learned)]
    if found:
        raise LeakError(
            f"{where}: has learned the picture of trial {min(found)}, which is tested here. Fit it "
            "with the same data and data.splits, or leave the picture out of it."
        )


def _shown(data: Opened, trials: Sequence[int]) -> dict[str, int]:
    """Return the digest of the picture of each of some trials -> trial; none without pictures."""
    if not isinstance(data, Trials) or data.pictures is None:
        return {}
    rows = sorted(set(trials))
    return dict(zip(picture_digests(data.pictures, rows), rows, strict=True))


def _further(task: TaskConfig, data: Opened) -> list[str]:
    """Return the digests of pictures that a task learns beside those of its data."""
    if not isinstance(data, Trials) or data.pictures is None:
        return []
    more = task.further_pictures(tuple(data.pictures.shape[1:]))
    return [] if more is None else picture_digests(more, range(len(more)))


def _order(data: Opened) -> tuple[str, ...]:
    """Return the digest of all vectors of trials in order, and of all pictures."""
    if not isinstance(data, Trials):
        return ()
    rows = range(len(data.voxels))
    pictures = [] if data.pictures is None else picture_digests(data.pictures, rows)
    return digest_json([_row_digest(data, i) for i in rows]), digest_json(pictures)


def _vectors(
    data: Series | Trials, segments: Sequence[Segment], trials: Sequence[int]
) -> dict[str, int]:
    """Return the digest of each vector of some segments or trials -> TR or trial."""
    if isinstance(data, Trials):
        return _digests(data, trials)
    return {
        digest_vector(row): segment.start_tr + t
        for segment in segments
        for t, row in enumerate(data.bold_of(segment))
    }


def _digests(data: Trials, trials: Iterable[int]) -> dict[str, int]:
    """Return the digest of each trial's own voxels, without what stands behind them, -> trial."""
    return {_row_digest(data, i): i for i in set(trials)}


def _row_digest(data: Trials, row: int) -> str:
    return digest_vector(data.voxels[row, : data.sizes[data.person[row]]])


def digest_vector(vector: NDArray[np.floating]) -> str:
    """Return the digest by which a (V,) voxel vector is known again."""
    return hashlib.blake2b(np.asarray(vector, "<f4").tobytes(), digest_size=8).hexdigest()


def _ancestor(one: Mapping[str, Any]) -> Ancestor:
    return Ancestor(
        where=str(one["where"]),
        task=str(one["task"]),
        transductive=bool(one["transductive"]),
        digests=dict(one["digests"]),
        rows=tuple(one["rows"]),
        # Lists from before these were kept lack them.
        pictures=tuple(one.get("pictures", ())),
        order=tuple(one.get("order", ())),
    )
