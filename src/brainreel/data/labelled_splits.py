"""Splits of labelled items: as the lists part them, or made with equal shares of every class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from brainreel.config import Config
from brainreel.data.labelled_samples import Item
from brainreel.data.samples import Fold
from brainreel.data.splits import check_labels
from brainreel.errors import DataError, LeakError
from brainreel.files import digest_file

_SIDES = ("train", "validation", "test")


class LabelledSplit(Config):
    """What every split of labelled items has."""

    label: str = ""
    """What its scores are called; empty: the name of the split."""

    @property
    def called(self) -> str:
        """The label, or the split's name."""
        return self.label or str(getattr(self, "name", ""))


class GivenParts(LabelledSplit):
    """As the lists, the folders or the split column say."""

    name: Literal["given"] = "given"

    def make(self, items: Sequence[Item], parts: Sequence[str]) -> list[Fold]:
        """Return one fold; items without a part train."""
        known = set(parts)
        if "test" not in known:
            raise DataError(
                f"split '{self.called}': no item is for testing. Give data.test, or a split of "
                "your own (data.splits.0.name=held_out)."
            )
        sides = [part or "train" for part in parts]
        return [_fold(self.called, self.called, sides)]


class HeldOutItems(LabelledSplit):
    """A random share of every class is tested; spans of one file stay on one side."""

    name: Literal["held_out"] = "held_out"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of the files of each class to test on."""
    validation: float = Field(0.0, ge=0, lt=1)
    """Share of the files of each class to stop the training by."""
    seed: int = 0
    """Seed of the draw, so that it can be made again."""

    @model_validator(mode="after")
    def _room_for_training(self) -> Self:
        if self.test + self.validation >= 1:
            raise ValueError("test and validation leave nothing to train on")
        return self

    def make(self, items: Sequence[Item], parts: Sequence[str]) -> list[Fold]:
        """Return one fold; what lists said of parts plays no role."""
        side_of: dict[Path, str] = {}
        for files in _shuffled(items, self.seed):
            # A class of two files and more is always tested.
            n_test = max(round(self.test * len(files)), int(len(files) > 1))
            n_validation = round(self.validation * len(files))
            for place, file in enumerate(files):
                last = "validation" if place < n_test + n_validation else "train"
                side_of[file] = "test" if place < n_test else last
        return [_fold(self.called, self.called, [side_of[item.path] for item in items])]


class StratifiedItems(LabelledSplit):
    """Random folds with equal shares of every class; spans of one file stay on one side."""

    name: Literal["stratified"] = "stratified"
    n_folds: int = Field(5, ge=2)
    """Folds; each item is tested once."""
    seed: int = 0
    """Seed of the shuffle, so that the folds can be made again."""

    def make(self, items: Sequence[Item], parts: Sequence[str]) -> list[Fold]:
        """Return `n_folds` folds named `label-1`, `label-2`, ..."""
        fold_of: dict[Path, int] = {}
        dealt = 0
        for files in _shuffled(items, self.seed):
            if len(files) < self.n_folds:
                raise DataError(
                    f"split '{self.called}': a class has {len(files)} files, among them "
                    f"{files[0]}, fewer than {self.n_folds} folds. Use fewer folds."
                )
            # Dealing goes on over classes, so that folds differ by one file at most.
            fold_of.update({file: (dealt + i) % self.n_folds for i, file in enumerate(files)})
            dealt += len(files)
        return [
            _fold(
                self.called,
                f"{self.called}-{k + 1}",
                ["test" if fold_of[item.path] == k else "train" for item in items],
            )
            for k in range(self.n_folds)
        ]


LabelledSplitConfig = Annotated[
    GivenParts | HeldOutItems | StratifiedItems, Field(discriminator="name")
]


def make_labelled_folds(
    items: Sequence[Item],
    parts: Sequence[str],
    splits: Iterable[LabelledSplitConfig],
    *,
    find_copies: bool,
) -> tuple[Fold, ...]:
    """Make the folds of several splits, all checked for leaks.

    Parameters
    ----------
    items
        All items.
    parts
        train, validation, test or nothing of each, as the lists say.
    splits
        The splits.
    find_copies
        Whether files of one size on two sides are compared byte by byte.

    Raises
    ------
    LeakError
        If one file, in overlapping spans or as a copy under another name, is on two sides.
    DataError
        If a side is empty, or two splits have one label.
    """
    splits = tuple(splits)
    check_labels([split.called for split in splits])
    folds = tuple(fold for split in splits for fold in split.make(items, parts))
    for fold in folds:
        where = f"split '{fold.split}', fold '{fold.name}'"
        for side, numbers in (("train on", fold.train_trials), ("test on", fold.test_trials)):
            if not numbers:
                raise DataError(
                    f"{where}: nothing to {side}. Give it more files, or another split."
                )
        check_no_item_leak(items, fold, find_copies=find_copies)
    return folds


def check_no_item_leak(items: Sequence[Item], fold: Fold, *, find_copies: bool) -> None:
    """Refuse a fold with one moment of one file on two of its sides.

    Raises
    ------
    LeakError
        Naming both items.
    """
    where = f"split '{fold.split}', fold '{fold.name}'"
    sides = dict(
        zip(_SIDES, (fold.train_trials, fold.validation_trials, fold.test_trials), strict=True)
    )
    spans: dict[Path, list[tuple[str, Item]]] = defaultdict(list)
    for side, numbers in sides.items():
        for number in numbers:
            spans[items[number].path.resolve()].append((side, items[number]))
    for placed in spans.values():
        if len({side for side, _ in placed}) > 1:
            _check_spans(placed, where)
    if find_copies:
        _check_copies(spans, where)


def _check_spans(placed: list[tuple[str, Item]], where: str) -> None:
    """Refuse overlapping spans of one file on two sides; sorted, so that each is met once."""
    placed.sort(key=lambda entry: entry[1].start_s or 0)
    latest: dict[str, tuple[Fraction | None, Item]] = {}
    for side, item in placed:
        start = item.start_s or Fraction(0)
        for other, (stop, before) in latest.items():
            if other != side and (stop is None or start < stop):
                raise LeakError(
                    f"{where}: {before.name} ({other}) and {item.name} ({side}) are the same "
                    f"moments of {item.path}. Keep them on one side."
                )
        known = latest.get(side)
        longer = known is None or (known[0] is not None and _beyond(item.stop_s, known[0]))
        if longer:
            latest[side] = (item.stop_s, item)


def _beyond(stop: Fraction | None, other: Fraction) -> bool:
    return stop is None or stop > other


def _check_copies(spans: dict[Path, list[tuple[str, Item]]], where: str) -> None:
    """Refuse a file on one side that is byte for byte a file on another."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in spans:
        by_size[path.stat().st_size].append(path)
    for paths in by_size.values():
        if len({side for path in paths for side, _ in spans[path]}) < 2 or len(paths) < 2:
            continue
        by_digest: dict[str, Path] = {}
        for path in paths:
            twin = by_digest.setdefault(digest_file(path), path)
            (side, item), (other, before) = spans[path][0], spans[twin][0]
            if side != other:
                raise LeakError(
                    f"{where}: {before.path} ({other}) and {item.path} ({side}) are the same "
                    "file. Keep one of them."
                )


def _shuffled(items: Sequence[Item], seed: int) -> list[list[Path]]:
    """Return the files of each class (of the first label, first class), shuffled by the seed."""
    by_class: dict[tuple[int, tuple[tuple[str, int], ...]], list[Path]] = defaultdict(list)
    seen: set[Path] = set()
    for item in items:
        if item.path not in seen:
            seen.add(item.path)
            first = tuple((label, numbers[0]) for label, numbers in item.labels.items() if numbers)
            by_class[item.source, first[:1]].append(item.path)
    rng = np.random.default_rng(seed)
    return [
        [files[i] for i in rng.permutation(len(files))]
        for _, files in sorted(by_class.items(), key=lambda entry: entry[0])
    ]


def _fold(split: str, name: str, sides: Sequence[str]) -> Fold:
    train, validation, test = (
        tuple(i for i, side in enumerate(sides) if side == wanted) for wanted in _SIDES
    )
    return Fold(split, name, train_trials=train, validation_trials=validation, test_trials=test)
