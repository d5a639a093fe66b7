"""Splits of recordings into training, validation and test that cannot leak.

Cuts are made in film time, over all that any recording shows of a film, so that people whose scans
began or ended at different volumes are cut at the same frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brainreel.config import Config
from brainreel.data.cuts import (
    WindowsOfFilm,
    count_trs,
    extents_of,
    fold_of_windows,
    without,
)
from brainreel.data.leaks import (
    Window,
    check_everybody_tested,
    check_no_leak,
    check_sides,
    films_of,
)
from brainreel.data.samples import Fold, Recording, Segment
from brainreel.errors import DataError, did_you_mean
from brainreel.timebase import exact

Amount = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)]


class SeriesSplit(Config):
    """What every split of recordings in time has."""

    label: str = ""
    """What its scores are called; empty: the name of the split."""
    gap_s: float = Field(default=16.0, ge=0)
    """Seconds of the same film left out between training and test; 16 s, since a canonical
    haemodynamic response is back within a tenth of its peak by then."""

    @property
    def called(self) -> str:
        """The label, or the split's name."""
        return self.label or str(getattr(self, "name", ""))


class HoldOutStimulus(SeriesSplit):
    """Test on films that nobody saw in training."""

    name: Literal["hold_out_stimulus"] = "hold_out_stimulus"
    test_stimuli: tuple[str, ...] = ()
    """Names of the films to test on; empty: the last by name."""
    validation_stimuli: tuple[str, ...] = ()
    """Films to stop the training by; empty: none."""

    def make(self, recordings: Sequence[Recording]) -> list[Fold]:
        """Return one fold; its three sides are whole recordings."""
        names = sorted({recording.stimulus for recording in recordings})
        _check_known(self.test_stimuli + self.validation_stimuli, names, "stimulus", self.called)
        test = self.test_stimuli or names[-1:]
        sides = _sides(recordings, lambda r: r.stimulus, test, self.validation_stimuli)
        fold = Fold(self.called, self.called, *sides)
        return checked(recordings, [fold], self.gap_s)


class HoldOutSubject(SeriesSplit):
    """Test on people who were not in training; they may have seen the same film."""

    name: Literal["hold_out_subject"] = "hold_out_subject"
    test_subjects: tuple[str, ...] = ()
    """People to test on; empty: the last by name."""
    validation_subjects: tuple[str, ...] = ()
    """People to stop the training by; empty: none."""

    def make(self, recordings: Sequence[Recording]) -> list[Fold]:
        """Return one fold; group means, which hold everybody, are left out of it."""
        names = sorted({r.subject for r in recordings if not r.members})
        _check_known(self.test_subjects + self.validation_subjects, names, "subject", self.called)
        test = self.test_subjects or names[-1:]
        sides = _sides(recordings, lambda r: r.subject, test, self.validation_subjects, alone=True)
        fold = Fold(self.called, self.called, *sides)
        return checked(recordings, [fold], self.gap_s, across_subjects=True)


class TimeSplit(SeriesSplit):
    """Train on the first part of every film, test on its last."""

    name: Literal["time"] = "time"
    train: Amount | None = None
    """First TRs to train on, a count or a share below 1; none: all before the gap."""
    validation: Amount = 0
    """TRs before the test, a gap away on both sides, to stop the training by."""
    test: Amount = 0.25
    """Last TRs to test on, a count or a share below 1."""

    def make(self, recordings: Sequence[Recording]) -> list[Fold]:
        """Return one fold over all films."""
        films = films_of(recordings)
        train: WindowsOfFilm = {}
        validation: WindowsOfFilm = {}
        test: WindowsOfFilm = {}
        for film, (extent, tr_s, where) in extents_of(recordings, films).items():
            cut = self._cut(extent, tr_s, where)
            train[film], validation[film], test[film] = ([window] for window in cut)
        fold = fold_of_windows(
            recordings, films, (self.called, self.called), train, validation, test
        )
        check_everybody_tested(recordings, fold)
        return checked(recordings, [fold], self.gap_s)

    def _cut(self, extent: Window, tr_s: Fraction, where: str) -> tuple[Window, Window, Window]:
        """Return the training, validation and test windows of one film."""
        start, stop = extent
        n_trs = math.floor((stop - start) / tr_s)
        gap = exact(self.gap_s)
        n_test, n_validation = count_trs(self.test, n_trs), count_trs(self.validation, n_trs)
        test_start = stop - n_test * tr_s
        held_start = test_start - gap - n_validation * tr_s if n_validation else test_start
        if self.train is None:
            n_train = math.floor((held_start - gap - start) / tr_s)
        else:
            n_train = count_trs(self.train, n_trs)
        if n_train < 1 or n_train + n_validation + n_test > n_trs:
            train = "some" if self.train is None else str(n_train)
            held = f"{n_test} TRs of test" + (n_validation > 0) * f", {n_validation} of validation"
            raise DataError(
                f"split '{self.called}': {where} has {n_trs} TRs of {float(tr_s):g} s; {train} TRs "
                f"of training and {held}, {self.gap_s:g} s apart, do not fit. Ask for fewer."
            )
        held_stop = held_start + n_validation * tr_s
        return (start, start + n_train * tr_s), (held_start, held_stop), (test_start, stop)


class BlocksSplit(SeriesSplit):
    """Cut every film into contiguous blocks; test on each in turn, train on the rest."""

    name: Literal["blocks"] = "blocks"
    n_folds: int = Field(default=5, ge=2)
    """Blocks of equal length, each tested once."""
    n_validation: int = Field(default=0, ge=0)
    """Blocks after the tested one (the first after the last) to stop the training by."""

    @model_validator(mode="after")
    def _room_for_training(self) -> Self:
        if self.n_validation + 2 > self.n_folds:
            raise ValueError(
                "n_validation leaves no block to train on; it must be n_folds - 2 at most"
            )
        return self

    def make(self, recordings: Sequence[Recording]) -> list[Fold]:
        """Return `n_folds` folds named `label-1`, `label-2`, ..."""
        films = films_of(recordings)
        blocks = {
            film: self._blocks(extent, tr_s, where)
            for film, (extent, tr_s, where) in extents_of(recordings, films).items()
        }
        folds = [self._fold(i, recordings, films, blocks) for i in range(self.n_folds)]
        return checked(recordings, folds, self.gap_s)

    def _blocks(self, extent: Window, tr_s: Fraction, where: str) -> list[Window]:
        start, stop = extent
        n_trs = math.floor((stop - start) / tr_s)
        if n_trs < self.n_folds:
            raise DataError(
                f"split '{self.called}': {where} has {n_trs} TRs, fewer than {self.n_folds} "
                "blocks. Ask for fewer."
            )
        # Cut on TR onsets, so that no TR falls between two blocks.
        edges = [start + (i * n_trs // self.n_folds) * tr_s for i in range(self.n_folds)]
        return list(zip(edges, [*edges[1:], stop], strict=True))

    def _fold(
        self,
        index: int,
        recordings: Sequence[Recording],
        films: Sequence[int],
        blocks: WindowsOfFilm,
    ) -> Fold:
        gap = exact(self.gap_s)
        held = [(index + 1 + i) % self.n_folds for i in range(self.n_validation)]
        train: WindowsOfFilm = {}
        validation: WindowsOfFilm = {}
        test: WindowsOfFilm = {}
        for film, windows in blocks.items():
            test[film] = [windows[index]]
            validation[film] = without([windows[i] for i in held], test[film], gap)
            whole = (windows[0][0], windows[-1][1])
            train[film] = without([whole], test[film] + validation[film], gap)
        names = self.called, f"{self.called}-{index + 1}"
        return fold_of_windows(recordings, films, names, train, validation, test)


SeriesSplitConfig = Annotated[
    HoldOutStimulus | HoldOutSubject | TimeSplit | BlocksSplit, Field(discriminator="name")
]


def make_folds(
    recordings: Sequence[Recording], splits: Iterable[SeriesSplitConfig]
) -> tuple[Fold, ...]:
    """Make the folds of several splits, all checked for leaks.

    Raises
    ------
    LeakError
        If training and test data are nearer than the gap.
    DataError
        If a side is empty, or two splits have one label.
    """
    splits = tuple(splits)
    check_labels([split.called for split in splits])
    return tuple(fold for split in splits for fold in split.make(recordings))


def check_labels(labels: Sequence[str]) -> None:
    """Refuse two splits with one label: their scores could not be told apart."""
    for label in labels:
        if labels.count(label) > 1:
            raise DataError(f"two splits are called '{label}'. Give each its own label.")


def checked(
    recordings: Sequence[Recording],
    folds: list[Fold],
    gap_s: float,
    *,
    across_subjects: bool = False,
) -> list[Fold]:
    """Return the folds if none is empty on a side and none leaks, else raise."""
    for fold in folds:
        check_sides(recordings, fold, across_subjects=across_subjects)
        check_no_leak(recordings, fold, gap_s, across_subjects=across_subjects)
    return folds


def _sides(
    recordings: Sequence[Recording],
    name_of: Callable[[Recording], str],
    test: Sequence[str],
    validation: Sequence[str],
    *,
    alone: bool = False,
) -> tuple[tuple[Segment, ...], tuple[Segment, ...], tuple[Segment, ...]]:
    """Put whole recordings on the train, validation and test side by name."""
    sides: tuple[list[Segment], list[Segment], list[Segment]] = ([], [], [])
    for i, recording in enumerate(recordings):
        if alone and recording.members:
            continue
        name = name_of(recording)
        side = 2 if name in test else 1 if name in validation else 0
        sides[side].append(Segment(i, 0, recording.bold.n_trs))
    return tuple(sides[0]), tuple(sides[1]), tuple(sides[2])


def _check_known(asked: Sequence[str], known: Sequence[str], what: str, called: str) -> None:
    for name in asked:
        if name not in known:
            raise DataError(f"split '{called}': no {what} '{name}'.{did_you_mean(name, known)}")
