"""Which frames and samples belong to which TR."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.timebase import Seconds, TrGrid, exact

Float32 = NDArray[np.float32]


def frame_times(grid: TrGrid, frames_per_tr: int, film_s: Seconds | None = None) -> list[Fraction]:
    """Return the film times at which a model looks at the film: equal steps within each TR.

    t[i, k] = first_s + (i + (k + 1/2) / K) tr_s, clipped to [0, film_s]

    The middle of each step is taken, where no rounding of a time stamp can slip to the next frame.
    TRs before the film look at its first frame, TRs after it at its last.

    Parameters
    ----------
    grid
        The T TRs of the run, in film time.
    frames_per_tr
        K, the number of frames in each TR.
    film_s
        Length of the film in seconds; None leaves the far end open.

    Returns
    -------
    T * K exact times in seconds, in order.
    """
    if frames_per_tr < 1:
        raise DataError(f"frames_per_tr is {frames_per_tr}; it must be at least 1.")
    steps = grid.divided(frames_per_tr)
    half = steps.tr_s / 2
    times = [max(steps.onset_s(i) + half, Fraction(0)) for i in range(steps.n_trs)]
    if film_s is None:
        return times
    end = exact(film_s)
    return [min(time, end) for time in times]


def tr_mean(
    values: NDArray[np.floating],
    times_s: Sequence[Seconds],
    grid: TrGrid,
    *,
    empty: ArrayLike = 0.0,
) -> Float32:
    """Average samples into TRs.

    y[i] = mean of values[f] over all f with onset(i) <= times_s[f] < onset(i + 1)

    The rule of `timebase`: half-open intervals, so no sample is lost or counted twice.

    Parameters
    ----------
    values
        (F, D) samples.
    times_s
        F film times in seconds, rising.
    grid
        The T TRs, in film time.
    empty
        What a TR without any sample gets: a number, or D numbers.

    Returns
    -------
    (T, D) float32.

    Raises
    ------
    DataError
        If the times fall, or are not as many as the values.
    """
    n_columns = check_shape(values, "F D", name="values", F=len(times_s))["D"]
    times = [exact(time) for time in times_s]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise DataError("the times of the values fall. Sort values and times together.")
    means = np.empty((grid.n_trs, n_columns), np.float32)
    means[:] = np.asarray(empty, np.float32)
    start = bisect_left(times, grid.onset_s(0))
    for tr in range(grid.n_trs):
        stop = bisect_left(times, grid.onset_s(tr + 1), lo=start)
        if stop > start:
            means[tr] = values[start:stop].mean(axis=0, dtype=np.float64)
        start = stop
    return means
