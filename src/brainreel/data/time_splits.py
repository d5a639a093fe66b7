"""Splits in film time: the last part of every film, or contiguous blocks in turn.

Cuts are made over all that any recording shows of a film, so that people whose scans began or ended
at different volumes are cut at the same frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Self

from pydantic import Field, model_validator

from brainreel.data.cuts import (
    WindowsOfFilm,
    count_trs,
    extents_of,
    fold_of_windows,
    without,
)
from brainreel.data.leaks import Window, check_everybody_tested, films_of
from brainreel.data.samples import Fold, Recording
from brainreel.data.split_base import Amount, SeriesSplit, checked
from brainreel.errors import DataError
from brainreel.timebase import exact


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
        windows = self.windows(recordings, films)
        fold = fold_of_windows(recordings, films, (self.called, self.called), *windows)
        check_everybody_tested(recordings, fold)
        return checked(recordings, [fold], self.gap_s)

    def windows(
        self, recordings: Sequence[Recording], films: Sequence[int]
    ) -> tuple[WindowsOfFilm, WindowsOfFilm, WindowsOfFilm]:
        """Return the training, validation and test windows of every film."""
        sides: tuple[WindowsOfFilm, WindowsOfFilm, WindowsOfFilm] = ({}, {}, {})
        for film, (extent, tr_s, where) in extents_of(recordings, films).items():
            for side, window in zip(sides, self._cut(extent, tr_s, where), strict=True):
                side[film] = [window]
        return sides

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
