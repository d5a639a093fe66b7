"""Fit: from a frozen run to a folder of weights, and back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from brainreel.checkpoints.store import CONFIG, VERSIONS, load_run, save_run
from brainreel.config import read_yaml, to_yaml
from brainreel.data.catalog import Opened
from brainreel.data.labelled_samples import Labelled
from brainreel.data.labelled_splits import check_no_item_leak
from brainreel.data.leaks import check_no_leak
from brainreel.data.people import People
from brainreel.data.people_splits import check_stage_people
from brainreel.data.samples import Fold, Segment, Series
from brainreel.data.split_base import SeriesSplit
from brainreel.data.splits import HoldOutSubject
from brainreel.errors import CheckpointError, DataError, OutputError
from brainreel.files import new_folder, write_text
from brainreel.train.cells import check_all_trained, in_cells, unfitted
from brainreel.train.lineage import check_stage_rows, lineage_of, told
from brainreel.train.predictions import AnyPrediction
from brainreel.train.recipe import RunConfig
from brainreel.train.task import FOLDS, Job, State, folds_digest
from brainreel.train.trainer import CHECKPOINTS, is_first_process

PACKAGES = ("brainreel", "torch", "lightning", "numpy", "scipy", "nilearn", "himalaya")


@dataclass(frozen=True, eq=False)
class FittedRun:
    """A run with its weights, ready to predict.

    Attributes
    ----------
    config
        The resolved run.
    data
        Its data, opened.
    states
        Weights of each fold, by the fold's name.
    folder
        The run folder.
    """

    config: RunConfig
    data: Opened
    states: Mapping[str, State]
    folder: Path

    def predict(self) -> list[AnyPrediction]:
        """Predict the test part of every fold; that of a fold with cells, cell by cell."""
        task = self._last.task
        return self._predicted(self.data.folds, task.predict)

    def predict_control(self, control: str) -> list[AnyPrediction]:
        """Predict what was not fitted once more, with something withheld from the model."""
        task, folds = self._last.task, [unfitted(fold) for fold in self.data.folds]
        wanted = [fold for fold in folds if fold.test or fold.test_trials]
        return self._predicted(wanted, partial(task.predict_control, control=control))

    def job(self, fold: Fold) -> Job:
        """Return the job that one of its folds was fitted by."""
        stages = self.config.resolved_stages()
        place = _place(self.folder, stages, len(stages) - 1)
        return job_of(stages[-1], self.data, fold, place)

    @property
    def _last(self) -> RunConfig:
        return self.config.resolved_stages()[-1]

    def _predicted(
        self, folds: Sequence[Fold], predict: Callable[[Job, State], Sequence[AnyPrediction]]
    ) -> list[AnyPrediction]:
        predictions: list[AnyPrediction] = []
        for fold in folds:
            found = predict(self.job(fold), self.states[fold.name])
            predictions.extend(in_cells(self.data, fold, found))
        return predictions


def fit(config: RunConfig, folder: Path, *, resume: bool = False) -> FittedRun:
    """Fit every fold of a run, stage after stage, and write the run folder.

    Parameters
    ----------
    config
        The resolved run.
    folder
        A new or empty folder; with `resume`, one of the same run that was broken off.
    resume
        Go on from the last checkpoints instead of refusing a folder in use.

    Returns
    -------
    FittedRun
        As `load_fitted` would give it.

    Raises
    ------
    OutputError
        If the folder is in use, or holds another run.
    LeakError
        If a stage trains on what the last one tests on.
    """
    folder, config = Path(folder), config.settled()
    last = config.resolved_stages()[-1]
    data = last.data.open()
    if last.task.reads_out_people:
        check_all_trained(data, task=last.task.name)
    _claim(folder, config, resume)
    try:
        return _fit_and_save(config, data, folder)
    except Exception:
        _give_back(folder)
        raise


def _fit_and_save(config: RunConfig, data: Opened, folder: Path) -> FittedRun:
    stages = config.resolved_stages()
    opened = [data if stage.data == stages[-1].data else stage.data.open() for stage in stages]
    lineage = lineage_of([(stage.task, own) for stage, own in zip(stages, opened, strict=True)])
    states = {fold.name: _fit_stages(stages, opened, fold, folder) for fold in data.folds}
    if is_first_process():
        spec = stages[-1].task.spec(job_of(stages[-1], data, data.folds[0], folder))
        save_run(
            folder,
            config.to_dict(),
            spec,
            {f"{fold}:{name}": v for fold, state in states.items() for name, v in state.items()},
            versions={name: version(name) for name in PACKAGES},
            digests={**data.sources, FOLDS: folds_digest(data.folds)},
            lineage=told(lineage),
        )
    return FittedRun(config, data, states, folder)


def load_fitted(folder: Path) -> FittedRun:
    """Load a fitted run and open its data.

    Raises
    ------
    CheckpointError
        If the weights are damaged or do not fit the data's folds.
    DataError
        If the data is gone, or is not what the run was fitted on.
    """
    stored = load_run(Path(folder))
    config = RunConfig.parse(stored.config, where=str(Path(folder) / CONFIG))
    data = _opened_again(config, stored.digests, Path(folder))
    states: dict[str, State] = {fold.name: {} for fold in data.folds}
    for key, values in stored.arrays().items():
        fold, _, name = key.partition(":")
        if fold not in states:
            raise CheckpointError(
                f"{folder}: has weights of a fold '{fold}' that the data no longer gives. "
                "Fit again."
            )
        states[fold][name] = values
    return FittedRun(config, data, states, Path(folder))


def _opened_again(config: RunConfig, digests: Mapping[str, str], folder: Path) -> Opened:
    """Open the data of a fitted run, and refuse it where it has changed since the fit."""
    wanted = config.resolved_stages()[-1].data
    for path in wanted.path.values() if isinstance(wanted.path, Mapping) else [wanted.path]:
        if not path.exists():
            raise DataError(
                f"{path}: the data that {folder} was fitted on is not there. Put it back, or give "
                f"its new place as data.path in {folder / CONFIG}."
            )
    data = wanted.open()
    if digests.get(FOLDS) != folds_digest(data.folds):
        raise DataError(
            f"{folder}: its splits are not those of the fit, so what is called test may have been "
            "trained on. Put them back, or fit again into another --out."
        )
    known = {name: digest for name, digest in digests.items() if name not in ("weights", FOLDS)}
    names = {**known, **data.sources}
    changed = [name for name in names if known.get(name) != data.sources.get(name)]
    if changed:
        more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
        raise DataError(
            f"{folder}: its data changed since the fit ({', '.join(changed[:2])}{more}), and "
            "scores would mislead. Put the old data back, or fit again into another --out."
        )
    return data


def job_of(
    stage: RunConfig,
    data: Opened,
    fold: Fold,
    folder: Path,
    start: State | None = None,
) -> Job:
    """Return the job of one fold; several folds each get a folder of their own."""
    place = folder if len(data.folds) == 1 else folder / "folds" / fold.name
    return Job(
        data=data,
        fold=fold,
        model=stage.model,
        optim=stage.optim,
        trainer=stage.trainer,
        seed=stage.seed,
        folder=place,
        start=start or {},
    )


def _fit_stages(
    stages: Sequence[RunConfig], opened: Sequence[Opened], fold: Fold, folder: Path
) -> State:
    """Fit one fold through all stages, each beginning with the latest weights of those before."""
    state: State = {}
    handed: State = {}
    data = opened[-1]
    for number, own in enumerate(opened):
        if own is not data:
            _check_stage(stages, number, own, data, fold)
    for number, (stage, own) in enumerate(zip(stages, opened, strict=True)):
        place = _place(folder, stages, number)
        state = stage.task.fit(job_of(stage, own, _same_fold(own, fold), place, handed))
        handed = handed | state
    return state


def _place(folder: Path, stages: Sequence[RunConfig], number: int) -> Path:
    """Return where a stage keeps its files: the run folder, or one of its own among several."""
    return folder if len(stages) == 1 else folder / f"stage-{number + 1}"


def _check_stage(
    stages: Sequence[RunConfig], number: int, own: Opened, data: Opened, fold: Fold
) -> None:
    """Refuse a stage that trains on, or is chosen by, what the last stage tests on."""
    last, name = stages[-1], f"{fold.name}, trained in stage {number + 1}"
    earlier = _same_fold(own, fold)
    check_stage_rows(stages[number].task, own, earlier, data, fold, name)
    if isinstance(own, Labelled) and isinstance(data, Labelled):
        beyond = len(own.items)
        joined = Fold(
            fold.split,
            name,
            train_trials=earlier.train_trials + earlier.validation_trials,
            test_trials=tuple(beyond + item for item in fold.test_trials),
        )
        copies = bool(getattr(last.data, "find_copies", True))
        check_no_item_leak(own.items + data.items, joined, find_copies=copies)
    if not isinstance(own, Series) or not isinstance(data, Series):
        return
    split = next(split for split in last.data.splits if split.called == fold.split)
    if isinstance(data, People):
        trained = [own.recordings[s.recording] for s in earlier.train + earlier.validation]
        tested = [data.recordings[s.recording] for s in fold.test]
        check_stage_people(trained, tested, data.families, f"split '{fold.split}', fold '{name}'")
    if not isinstance(split, SeriesSplit):
        return
    first = len(own.recordings)

    def behind(segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(replace(s, recording=s.recording + first) for s in segments)

    joined = Fold(
        fold.split,
        name,
        train=earlier.train + earlier.validation,
        test=behind(fold.test),
        cells=tuple(replace(cell, test=behind(cell.test)) for cell in fold.cells),
    )
    check_no_leak(
        own.recordings + data.recordings,
        joined,
        split.gap_s,
        across_subjects=isinstance(split, HoldOutSubject),
    )


def _same_fold(data: Opened, fold: Fold) -> Fold:
    """Return the fold of the same name in a stage's own data, or its only one."""
    named = {item.name: item for item in data.folds}
    if fold.name in named:
        return named[fold.name]
    if len(data.folds) == 1:
        return data.folds[0]
    raise DataError(f"a stage's data has no fold '{fold.name}'. Give all stages the same splits.")


def _claim(folder: Path, config: RunConfig, resume: bool) -> None:
    """Take a folder for a run: a new one, or with `resume` that of the same run."""
    recipe = folder / CONFIG
    if not is_first_process():
        return
    if not recipe.is_file():
        new_folder(folder)
        write_text(recipe, to_yaml(config.to_dict()))
        return
    same = read_yaml(recipe) == config.to_dict()
    if resume and not same:
        raise OutputError(
            f"{folder}: holds another run (its config.yaml differs). Choose another --out."
        )
    if not resume:
        broken = same and not (folder / VERSIONS).is_file()
        how = "Go on with it by --resume, or choose" if broken else "Choose"
        kind = "this run, broken off" if broken else "a run already"
        raise OutputError(f"{folder}: holds {kind}. {how} another --out.")


def _give_back(folder: Path) -> None:
    """Remove a folder in which a fit failed, unless it holds what `resume` or a reader needs."""
    # The versions are written last, when all else of a run is whole.
    of_worth = (folder / VERSIONS).is_file() or any(folder.rglob(f"{CHECKPOINTS}/*"))
    if is_first_process() and not of_worth:
        shutil.rmtree(folder, ignore_errors=True)
