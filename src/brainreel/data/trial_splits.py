"""Splits of trials without a time axis: by order, by class, by repeats, by runs, by people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from sklearn.model_selection import StratifiedKFold

from brainreel.config import Config
from brainreel.data.leaks import check_no_trial_leak
from brainreel.data.samples import Fold, Int64, Trials
from brainreel.data.splits import check_fold_name, check_labels
from brainreel.data.stored_pictures import StoredPictures, number_equal
from brainreel.errors import DataError, did_you_mean


class TrialSplit(Config):
    """What every split of trials has."""

    label: str = ""
    """What its scores are called; empty: the name of the split."""

    @property
    def called(self) -> str:
        """The label, or the split's name."""
        return self.label or str(getattr(self, "name", ""))


class PictureSplit(TrialSplit):
    """What splits by trials share: a part of the training set apart."""

    validation: float = Field(0.0, ge=0, lt=1)
    """Share of the training pictures, drawn at random, to stop the training by."""
    seed: int = Field(0, ge=0)
    """Seed of the draw, so that it can be made again."""

    def set_apart(self, trials: Trials, fold: Fold) -> Fold:
        """Return the fold with its validation trials; repeats of a picture stay together."""
        if not self.validation:
            return fold
        train = np.array(fold.train_trials)
        items = items_of(trials)[train]
        shown = np.unique(items)
        n_held = max(1, round(self.validation * len(shown)))
        if n_held >= len(shown):
            raise DataError(
                f"split '{self.called}': validation={self.validation:g} leaves none of "
                f"{len(shown)} training pictures. Give a smaller share."
            )
        held = np.isin(items, np.random.default_rng(self.seed).permutation(shown)[:n_held])
        rest, apart = (tuple(train[rows].tolist()) for rows in (~held, held))
        return replace(fold, train_trials=rest, validation_trials=apart)


class GivenSplit(PictureSplit):
    """The order in the file is the split: of each person first training, then test trials."""

    name: Literal["given"] = "given"
    n_train: int | None = Field(default=None, ge=1)
    """Trials of each person to train on; none: those of the first key, the others test."""

    def make(self, trials: Trials, n_first: Sequence[int]) -> list[Fold]:
        """Return one fold; `n_first` are the trials of each person under their first key."""
        train: list[int] = []
        test: list[int] = []
        for person, first in enumerate(n_first):
            rows = trials.of_person(person).tolist()
            n_train = first if self.n_train is None else self.n_train
            if n_train >= len(rows):
                who = f" of {trials.subjects[person]}" if len(n_first) > 1 else ""
                raise DataError(
                    f"split '{self.called}': {n_train} training trials of {len(rows)}{who} leave "
                    "none to test on. Give a second key, or a smaller n_train."
                )
            train, test = train + rows[:n_train], test + rows[n_train:]
        sides = tuple(train), tuple(test)
        return [Fold(self.called, self.called, train_trials=sides[0], test_trials=sides[1])]


class StratifiedSplit(PictureSplit):
    """Random folds with equal shares of every class; equal pictures stay on one side."""

    name: Literal["stratified"] = "stratified"
    n_folds: int = Field(default=10, ge=2)
    """Folds; each trial is tested once."""

    def make(self, trials: Trials, n_first: Sequence[int]) -> list[Fold]:
        """Return `n_folds` folds named `label-1`, `label-2`, ...; `n_first` plays no part."""
        if trials.labels is None:
            raise DataError(
                f"split '{self.called}': there are no labels to stratify by. Give label_keys, or "
                "use the split 'given'."
            )
        item_of = items_of(trials)
        labels = trials.labels[np.unique(item_of, return_index=True)[1]]
        classes, counts = np.unique(labels, return_counts=True)
        if counts.min() < self.n_folds:
            raise DataError(
                f"split '{self.called}': class {classes[counts.argmin()]} has {counts.min()} "
                f"different items, fewer than {self.n_folds} folds. Use fewer folds."
            )
        folding = StratifiedKFold(self.n_folds, shuffle=True, random_state=self.seed)
        folds = []
        for i, (_, items) in enumerate(folding.split(labels, labels)):
            tested = np.isin(item_of, items)
            folds.append(_fold(self.called, f"{self.called}-{i + 1}", tested))
        return folds


class RepeatedSplit(PictureSplit):
    """Pictures that a person saw several times are the test, all others the training."""

    name: Literal["repeated"] = "repeated"
    times: int = Field(default=2, ge=2)
    """A picture is tested if somebody saw it at least so often; it is in nobody's training."""

    def make(self, trials: Trials, n_first: Sequence[int]) -> list[Fold]:
        """Return one fold; `n_first` plays no part."""
        item_of = items_of(trials)
        repeated: set[int] = set()
        for person in range(len(trials.subjects)):
            items, counts = np.unique(item_of[trials.of_person(person)], return_counts=True)
            repeated |= set(items[counts >= self.times].tolist())
        tested = np.isin(item_of, sorted(repeated))
        if not tested.any() or tested.all():
            told = "every picture was" if tested.any() else "no picture was"
            raise DataError(
                f"split '{self.called}': {told} seen {self.times} times or more by one person. "
                "Give another times, repeats=each, or use another split."
            )
        return [_fold(self.called, self.called, tested)]


class ByRunSplit(PictureSplit):
    """Each run is tested in turn, so that no test trial was measured beside a training trial."""

    name: Literal["by_run"] = "by_run"
    test_runs: tuple[str, ...] = ()
    """Runs to test together in one fold; empty: each in turn, the runs of one name of all people
    together."""

    @field_validator("test_runs", mode="before")
    @classmethod
    def _as_named(cls, given: Any) -> Any:
        """Runs called 1 and 2 are text, too."""
        listed = isinstance(given, list | tuple)
        return [str(run) if type(run) is int else run for run in given] if listed else given

    def make(self, trials: Trials, n_first: Sequence[int]) -> list[Fold]:
        """Return a fold for each run, or one; `n_first` plays no part."""
        if trials.run is None:
            raise DataError(
                f"split '{self.called}': nothing says in which run trials were. Give run_keys, "
                "and repeats=each, as averages are of several runs."
            )
        runs = list(dict.fromkeys(trials.run.tolist()))
        for run in self.test_runs:
            if run not in runs:
                raise DataError(
                    f"split '{self.called}': no trial is in run '{run}'.{did_you_mean(run, runs)}"
                )
        if len(runs) < 2 or len(set(self.test_runs)) >= len(runs):
            raise DataError(
                f"split '{self.called}': {len(runs)} runs leave none to train on. Give fewer "
                "test_runs, or use another split."
            )
        if self.test_runs:
            return [_fold(self.called, self.called, np.isin(trials.run, self.test_runs))]
        return [_fold(self.called, f"{self.called}-{run}", trials.run == run) for run in runs]


def _fold(split: str, name: str, tested: NDArray[np.bool_]) -> Fold:
    train, test = (tuple(np.flatnonzero(side).tolist()) for side in (~tested, tested))
    return Fold(split, name, train_trials=train, test_trials=test)


class HeldOutSubjects(TrialSplit):
    """People are tested who took no part in the training."""

    name: Literal["held_out"] = "held_out"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of the people to test on, drawn at random; at least one."""
    validation: float = Field(0.0, ge=0, lt=1)
    """Share of the people to stop the training by."""
    test_subjects: tuple[str, ...] = ()
    """People to test on by name, in place of a share."""
    seed: int = Field(0, ge=0)
    """Seed of the draw, so that it can be made again."""

    def make(self, trials: Trials, n_first: Sequence[int]) -> list[Fold]:
        """Return one fold; `n_first` plays no part."""
        people = list(trials.subjects)
        for name in self.test_subjects:
            if name not in people:
                raise DataError(
                    f"split '{self.called}': nobody is called '{name}'.{did_you_mean(name, people)}"
                )
        drawn = [people[i] for i in np.random.default_rng(self.seed).permutation(len(people))]
        tested = list(self.test_subjects) or drawn[: max(1, round(self.test * len(people)))]
        rest = [who for who in drawn if who not in tested]
        n_held = max(1, round(self.validation * len(people))) if self.validation else 0
        if len(rest) <= n_held:
            raise DataError(
                f"split '{self.called}': of {len(people)} people nobody is left to train on. Give "
                "more people, or smaller shares."
            )
        parts = (tested, rest[:n_held], rest[n_held:])
        test, held, train = (self._rows(trials, part) for part in parts)
        sides = Fold(self.called, self.called, train_trials=train, test_trials=test)
        return [replace(sides, validation_trials=held)]

    def _rows(self, trials: Trials, people: Sequence[str]) -> tuple[int, ...]:
        places = [trials.subjects.index(who) for who in people]
        return tuple(np.flatnonzero(np.isin(trials.person, places)).tolist())


TrialSplitConfig = Annotated[
    GivenSplit | StratifiedSplit | RepeatedSplit | ByRunSplit | HeldOutSubjects,
    Field(discriminator="name"),
]


def make_trial_folds(
    trials: Trials, n_first: Sequence[int], splits: Iterable[TrialSplitConfig]
) -> tuple[Fold, ...]:
    """Make the folds of several splits, all checked for leaks.

    Raises
    ------
    LeakError
        If one picture, or one voxel vector, is on both sides.
    DataError
        If a side is empty, labels are missing, or two splits have one label.
    """
    splits = tuple(splits)
    check_labels([split.called for split in splits])
    folds = tuple(
        split.set_apart(trials, fold) if isinstance(split, PictureSplit) else fold
        for split in splits
        for fold in split.make(trials, n_first)
    )
    items = None if trials.pictures is None and trials.item is None else items_of(trials)
    pixels = None if trials.pictures is None or trials.item is None else _by_pixels(trials.pictures)
    for fold in folds:
        check_fold_name(fold.name)
        check_no_trial_leak(fold, voxels=trials.voxels, items=items)
        # Equal pictures may have been given two numbers.
        check_no_trial_leak(fold, voxels=trials.voxels, items=pixels)
    return folds


def items_of(trials: Trials) -> Int64:
    """Number the trials by picture, so that repeats of one picture share a number.

    By the numbers that came with the data, else by pixels; without pictures by voxels, each trial
    alone.
    """
    if trials.item is not None:
        return trials.item
    return number_equal(trials.voxels) if trials.pictures is None else _by_pixels(trials.pictures)


def _by_pixels(pictures: NDArray[np.float32] | StoredPictures) -> Int64:
    return pictures.items() if isinstance(pictures, StoredPictures) else number_equal(pictures)
