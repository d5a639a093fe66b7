"""Voxel vectors paired with pictures or labels, from files by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.data.person_trials import PersonTrials, join_people, shuffled_pairs
from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import kept_once, squared
from brainreel.data.trial_files import TrialFile
from brainreel.data.trial_splits import StratifiedSplit, TrialSplitConfig, make_trial_folds
from brainreel.errors import ConfigError, DataError
from brainreel.files import digest_file


class TrialsData(Config):
    """Single-trial voxel vectors with the pictures that were seen, or class labels."""

    name: Literal["trials"] = "trials"
    path: Path | dict[str, Path]
    """A .npz, .mat or .h5 file; or one of each person, by name: path.sub-01=FILE."""
    voxel_keys: tuple[str, ...] = Field(default=("voxels",), min_length=1)
    """Arrays (trials, voxels); several are stacked, such as training and test."""
    picture_keys: tuple[str, ...] = ()
    """Arrays of pictures, one for each voxel key: (trials, pixels), (trials, H, W) or
    (trials, C, H, W)."""
    label_keys: tuple[str, ...] = ()
    """Arrays of class labels, one for each voxel key."""
    item_keys: tuple[str, ...] = ()
    """Arrays that say which picture each trial saw, one for each voxel key, in numbers or names
    that are the same for all people; empty: trials with equal pictures saw one."""
    run_keys: tuple[str, ...] = ()
    """Arrays of the run of each trial, one for each voxel key; the split by_run needs them."""
    picture_shape: tuple[int, int] | tuple[int, int, int] | None = None
    """(H, W) or (C, H, W) of one picture, where the file holds rows of pixels."""
    picture_order: Literal["C", "F"] = "C"
    """How pixels were strung into a row: C row by row, F column by column (MATLAB)."""
    picture_max: float | None = Field(default=None, gt=0)
    """Pixel value of white; none: 255 for whole numbers, 1 for others."""
    picture_size: int | None = Field(default=None, ge=1)
    """Pixels along a side, of which the middle square of each picture is resized; none: as they
    are."""
    repeats: Literal["each", "average", "average_test"] = "each"
    """each trial by itself; or the average of all trials that saw one picture, under the first key
    and under the others by themselves; or that of the other keys, which test, alone."""
    subject: str = "sub-01"
    """Whose brain it is, where path is one file."""
    shuffle_pairs: bool = False
    """Negative control: pair each brain with another trial's picture and label; scores must fall
    to chance."""
    seed: int = 0
    """Seed of that shuffle."""
    splits: tuple[TrialSplitConfig, ...] = (StratifiedSplit(),)
    """How trials are parted into training and test; each is scored by itself."""

    def open(self) -> Trials:
        """Read the files and make the folds.

        Raises
        ------
        DataError
            For keys of different lengths, NaN, fewer than two trials, or pictures that do not fit
            `picture_shape`.
        LeakError
            If a picture is on both sides of a split.
        """
        if self.repeats == "average_test" and len(self.voxel_keys) < 2:
            raise ConfigError(
                "data.repeats=average_test needs a voxel key for training and one for the test. "
                "Give both as data.voxel_keys, or use average."
            )
        files = self._files()
        people, shown = [], []
        for who, path in files.items():
            person, pictures = self._person(who, path)
            people.append(person)
            shown.append(pictures)
        people, stored = _with_pictures(_numbered(people), shown)
        if self.repeats != "each":
            people = [p.averaged(train=self.repeats == "average") for p in people]
        several = len(files) > 1
        sources = {
            f"{who}/{path.name}" if several else path.name: digest_file(path)
            for who, path in files.items()
        }
        trials = join_people(people, stored, sources)
        if self.shuffle_pairs:
            trials = shuffled_pairs(trials, self.seed)
        firsts = [person.n_train for person in people]
        return replace(trials, folds=make_trial_folds(trials, firsts, self.splits))

    def _files(self) -> dict[str, Path]:
        if not isinstance(self.path, Mapping):
            return {self.subject: self.path}
        if not self.path:
            raise ConfigError("data.path names nobody. Give data.path.NAME=FILE of each person.")
        return dict(self.path)

    def _person(self, who: str, path: Path) -> tuple[PersonTrials, NDArray[Any] | None]:
        """Return one person's trials, with labels and numbers as the file calls them."""
        file = TrialFile(path, self.voxel_keys)
        voxels, lengths = file.voxels()
        if len(voxels) < 2:
            raise DataError(f"{path}: one trial cannot be split into training and test.")
        pictures = None
        if self.picture_keys:
            layout = (self.picture_shape, self.picture_order, self.picture_max)
            read = file.pictures(self.picture_keys, lengths, *layout)
            pictures = squared(read, self.picture_size)
        labels, items = (
            file.numbers(keys, lengths, option) if keys else None
            for keys, option in ((self.label_keys, "label_keys"), (self.item_keys, "item_keys"))
        )
        runs = None
        if self.run_keys:
            runs = file.numbers(self.run_keys, lengths, "run_keys").astype(str)
        return PersonTrials(who, voxels, lengths[0], None, items, labels, runs), pictures


def _numbered(people: list[PersonTrials]) -> list[PersonTrials]:
    """Number labels and items of all people from 0 in sorted order, whatever the files say."""
    labels = _from_zero([person.labels for person in people])
    items = _from_zero([person.item for person in people])
    return [
        replace(person, labels=own, item=item)
        for person, own, item in zip(people, labels, items, strict=True)
    ]


def _from_zero(values: Sequence[NDArray[Any] | None]) -> list[NDArray[np.int64] | None]:
    there = [value for value in values if value is not None]
    if not there:
        return [None] * len(values)
    numbers = np.unique(np.concatenate(there), return_inverse=True)[1].astype(np.int64)
    return list(np.split(numbers, np.cumsum([len(value) for value in there])[:-1]))


def _with_pictures(
    people: list[PersonTrials], shown: list[NDArray[Any] | None]
) -> tuple[list[PersonTrials], NDArray[Any] | None]:
    """Keep each picture once, whoever saw it, and say of each trial which it was."""
    there = [pictures for pictures in shown if pictures is not None]
    if not there:
        return people, None
    if len({(pictures.shape[1:], pictures.dtype) for pictures in there}) > 1:
        kinds = [f"{pictures.shape[1:]} {pictures.dtype}" for pictures in there]
        told = ", ".join(f"{p.subject} {kind}" for p, kind in zip(people, kinds, strict=True))
        raise DataError(f"the pictures of people differ: {told}. Give picture_size, or all alike.")
    stored, number = kept_once(np.concatenate(there))
    parts = np.split(number, np.cumsum([len(pictures) for pictures in there])[:-1])
    return [replace(p, seen=part) for p, part in zip(people, parts, strict=True)], stored
