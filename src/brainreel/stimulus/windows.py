"""Which frames and samples belong to which TR."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.timebase import Seconds, TrGrid, exact

Float32 = NDArray[np.float32]


def sample_numbers(grid: TrGrid, per_tr: int, rate_hz: Seconds) -> NDArray[np.int64]:
    """Return which samples of a film a model takes: those at the middle of equal steps of each TR.

    n[i, k] = floor(t rate_hz),  t = first_s + (i + (k + 1/2) / K) tr_s

    The middle of each step is taken, where no rounding of a time stamp can slip to the next
    sample. Exact for every rate and TR: where a TR is no whole number of samples, now and then
    one is skipped or stands twice, and nothing ever drifts.

    Parameters
    ----------
    grid
        The T TRs of the run, in film time.
    per_tr
        K, the number of samples in each TR.
    rate_hz
        Samples (frames, steps of a spectrogram) per second.

    Returns
    -------
    (T, K) int64; below 0 before the film, and not clipped at its end.
    """
    if per_tr < 1:
        raise DataError(f"{per_tr} samples in a TR cannot be taken; it must be at least 1.")
    steps, rate = grid.divided(per_tr), exact(rate_hz)
    first, each = (steps.first_s + steps.tr_s / 2) * rate, steps.tr_s * rate
    # Whole numbers over one denominator: exact, and fast enough for hours of sound.
    shared = math.lcm(first.denominator, each.denominator)
    begin, step = int(first * shared), int(each * shared)
    numbers = [(begin + n * step) // shared for n in range(steps.n_trs)]
    return np.asarray(numbers, np.int64).reshape(grid.n_trs, per_tr)


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
