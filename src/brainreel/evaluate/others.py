"""What all the other people measured at the moments that one person is tested at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainreel.data.leaks import films_of
from brainreel.data.samples import Recording, Segment, Series
from brainreel.evaluate.bold import centred
from brainreel.metrics.correlation import unit_columns
from brainreel.train.predictions import Prediction

Float64 = NDArray[np.float64]
FEWEST_PEOPLE = 3


class _Moments(NamedTuple):
    """Stretches of film (film, onset, TRs), the TR, and where in the brain the columns lie."""

    stretches: tuple[tuple[int, Fraction, int], ...]
    tr_s: Fraction
    place: Hashable


class _Sum(NamedTuple):
    """Z-scores of everybody, summed, (T, V); how many vary, (V,); the segments of each person."""

    total: Float64
    n_varying: NDArray[np.int64]
    segments: dict[str, tuple[Segment, ...]]


class OtherPeople:
    """The mean time course of everybody else, in the same voxels at the same film time.

    c_p = mean over q ≠ p of (y_q - ȳ_q) / sd(y_q)

    Everybody counts whose recordings hold the same moments, trained on, tested, or neither; means
    of groups do not. Fewer than three people give nothing.

    Parameters
    ----------
    series
        All recordings.
    """

    def __init__(self, series: Series) -> None:
        self._series, self._films = series, films_of(series.recordings)
        self._number = {recording.label: i for i, recording in enumerate(series.recordings)}
        self._sums: dict[_Moments, _Sum | None] = {}

    def course(self, item: Prediction) -> Float64 | None:
        """Return the (T, V) mean of the others in z-scores, NaN where none of them varies.

        None where there are too few, or the prediction is of a group mean.
        """
        own = self._segments_of(item)
        if any(self._series.recordings[segment.recording].members for segment in own):
            return None
        moments = self._moments(own)
        if moments not in self._sums:
            self._sums[moments] = self._sum(moments)
        found = self._sums[moments]
        if found is None:
            return None
        mine, varies = self._zscores(found.segments[item.subject])
        n_others = found.n_varying - varies
        course: Float64 = np.full(mine.shape, np.nan)
        np.divide(found.total - mine, n_others, out=course, where=n_others > 0)
        return course

    def _segments_of(self, item: Prediction) -> tuple[Segment, ...]:
        segments = []
        for number, label in enumerate(item.recordings):
            index = self._number[label]
            grid = self._series.recordings[index].bold.grid
            times = item.film_time_s[item.segment == number]
            first = round((times[0] - float(grid.first_s)) / float(grid.tr_s))
            segments.append(Segment(index, first, first + len(times)))
        return tuple(segments)

    def _moments(self, segments: tuple[Segment, ...]) -> _Moments:
        first = self._series.recordings[segments[0].recording]
        stretches = []
        for segment in segments:
            grid = self._series.recordings[segment.recording].bold.grid
            film = self._films[segment.recording]
            stretches.append((film, grid.onset_s(segment.start_tr), segment.n_trs))
        return _Moments(tuple(stretches), first.bold.tr_s, _place(first))

    def _sum(self, moments: _Moments) -> _Sum | None:
        found = {who: self._same(who, moments) for who in self._series.subjects}
        people = {who: segments for who, segments in found.items() if segments}
        if len(people) < FEWEST_PEOPLE:
            return None
        total, n_varying = np.zeros(()), np.zeros((), dtype=np.int64)
        for segments in people.values():
            scores, varies = self._zscores(segments)
            total, n_varying = total + scores, n_varying + varies
        return _Sum(total, n_varying, people)

    def _same(self, who: str, moments: _Moments) -> tuple[Segment, ...]:
        """Return a person's segments at the same moments; nothing if one is not there."""
        segments: list[Segment] = []
        shown: Counter[tuple[int, Fraction, int]] = Counter()
        for stretch in moments.stretches:
            there = [
                segment
                for i, recording in enumerate(self._series.recordings)
                if recording.subject == who
                and not recording.members
                and self._films[i] == stretch[0]
                and recording.bold.tr_s == moments.tr_s
                and _place(recording) == moments.place
                and (segment := _at(recording, i, stretch[1], stretch[2])) is not None
            ]
            # A film shown twice has two recordings of each moment, taken in turn.
            if len(there) <= shown[stretch]:
                return ()
            segments.append(there[shown[stretch]])
            shown[stretch] += 1
        return tuple(segments)

    def _zscores(self, segments: tuple[Segment, ...]) -> tuple[Float64, NDArray[np.bool_]]:
        """Return a person's z-scores over all segments, each centred, and what of it varies."""
        values = np.concatenate([self._series.bold_of(segment) for segment in segments])
        numbers = np.repeat(np.arange(len(segments)), [segment.n_trs for segment in segments])
        units, varies = unit_columns(centred(values, numbers))
        return units * np.sqrt(len(values)), varies


def _place(recording: Recording) -> Hashable:
    mask = recording.bold.mask
    inside = None if mask is None else (mask.inside.tobytes(), mask.affine.tobytes())
    return recording.bold.names, recording.bold.n_voxels, inside


def _at(recording: Recording, index: int, onset_s: Fraction, n_trs: int) -> Segment | None:
    """Return the segment of a recording that begins at a film time, if its TRs fall there."""
    grid = recording.bold.grid
    first = (onset_s - grid.first_s) / grid.tr_s
    if first.denominator != 1 or first < 0 or first + n_trs > grid.n_trs:
        return None
    return Segment(index, int(first), int(first) + n_trs)
