"""Splits of trials without a time axis: the published order, or stratified folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from sklearn.model_selection import StratifiedKFold

from brainreel.config import Config
from brainreel.data.leaks import check_no_trial_leak
from brainreel.data.samples import Fold, Int64, Trials
from brainreel.data.splits import check_labels
from brainreel.data.stored_pictures import StoredPictures, number_equal
from brainreel.errors import DataError


class TrialSplit(Config):
    """What every split of trials has."""

    label: str = ""
    """What its scores are called; empty: the name of the split."""

    @property
    def called(self) -> str:
        """The label, or the split's name."""
        return self.label or str(getattr(self, "name", ""))


class GivenSplit(TrialSplit):
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


class StratifiedSplit(TrialSplit):
    """Random folds with equal shares of every class; equal pictures stay on one side."""

    name: Literal["stratified"] = "stratified"
    n_folds: int = Field(default=10, ge=2)
    """Folds; each trial is tested once."""
    seed: int = 0
    """Seed of the shuffle, so that the folds can be made again."""

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
            train = tuple(int(trial) for trial in np.flatnonzero(~tested))
            test = tuple(int(trial) for trial in np.flatnonzero(tested))
            name = f"{self.called}-{i + 1}"
            folds.append(Fold(self.called, name, train_trials=train, test_trials=test))
        return folds


TrialSplitConfig = Annotated[GivenSplit | StratifiedSplit, Field(discriminator="name")]


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
    folds = tuple(fold for split in splits for fold in split.make(trials, n_first))
    items = None if trials.pictures is None and trials.item is None else items_of(trials)
    for fold in folds:
        check_no_trial_leak(fold, voxels=trials.voxels, items=items)
    return folds


def items_of(trials: Trials) -> Int64:
    """Number the trials by picture, so that repeats of one picture share a number.

    By the numbers that came with the data, else by pixels; without pictures by voxels, each trial
    alone.
    """
    if trials.item is not None:
        return trials.item
    if isinstance(trials.pictures, StoredPictures):
        return trials.pictures.items()
    return number_equal(trials.voxels if trials.pictures is None else trials.pictures)
