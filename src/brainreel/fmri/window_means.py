"""Means over windows of seconds: of a whole run, or after the onset of each trial."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import AlignmentError, DataError
from brainreel.fmri.bold import Float32
from brainreel.timebase import Seconds, TrGrid, exact


def volumes_between(grid: TrGrid, start_s: Seconds, stop_s: Seconds) -> range:
    """Return the volumes sampled in [start, stop) of film time; they may lie outside the run.

    i with start <= first_s + i tr_s < stop
    """
    start, stop = (
        math.ceil((exact(time_s) - grid.first_s) / grid.tr_s) for time_s in (start_s, stop_s)
    )
    return range(start, stop)


def windowed(grid: TrGrid, window_s: Seconds, *, where: str) -> TrGrid:
    """Return the grid of whole windows, one after another from the first volume on.

    A last window that the scan does not fill is left out.

    Raises
    ------
    DataError
        If a window is shorter than a TR, or longer than the run.
    """
    window = exact(window_s)
    length = grid.n_trs * grid.tr_s
    told = f"{where}: windows of {float(window):g} s"
    if window < grid.tr_s:
        raise DataError(f"{told} are shorter than a TR of {float(grid.tr_s):g} s. Widen window_s.")
    if window > length:
        raise DataError(
            f"{told} are longer than its {float(length):g} s. Give a smaller window_s, or leave "
            "the run out."
        )
    return TrGrid(window, math.floor(length / window), grid.first_s)


def average_windows(values: NDArray[np.floating], grid: TrGrid, windows: TrGrid) -> Float32:
    """Average (T, V) values over windows: y_k = mean of x_i over the TRs i that begin in window k.

    Parameters
    ----------
    values
        (T, V), one row a TR of `grid`.
    grid, windows
        The TRs, and what `windowed` made of them.

    Returns
    -------
    (K, V) float32.
    """
    rows = [volumes_between(grid, *windows.window_s(k)) for k in range(windows.n_trs)]
    return means_over(values, rows)


def trial_volumes(
    grid: TrGrid, onsets_s: Sequence[Fraction], window_s: tuple[float, float], *, where: str
) -> list[range | None]:
    """Return the volumes in [onset + from, onset + to) of each trial.

    Parameters
    ----------
    grid
        The TRs of a run, in film time.
    onsets_s
        When each trial began, in film time.
    window_s
        From and to, in seconds after the onset.
    where
        The run, for errors.

    Returns
    -------
    Rows of each trial; None for a trial whose window is not wholly in the run.

    Raises
    ------
    AlignmentError
        If no volume is sampled in the window of a trial that lies in the run.
    """
    low, high = map(exact, window_s)
    found: list[range | None] = []
    for number, onset in enumerate(onsets_s, start=1):
        rows = volumes_between(grid, onset + low, onset + high)
        whole = rows.start >= 0 and rows.stop <= grid.n_trs
        if whole and not rows:
            raise AlignmentError(
                f"{where}: no volume is sampled {float(low):g} to {float(high):g} s after trial "
                f"{number}; the TR is {float(grid.tr_s):g} s. Widen trials.from_s to trials.to_s."
            )
        found.append(rows if whole else None)
    return found


def means_over(values: NDArray[np.floating], rows: Sequence[range]) -> Float32:
    """Return the mean of (T, V) values over each range of rows, (K, V) float32."""
    means = np.empty((len(rows), values.shape[1]), np.float32)
    for number, part in enumerate(rows):
        means[number] = values[part.start : part.stop].mean(axis=0, dtype=np.float64)
    return means


def n_shared(rows: Sequence[range]) -> int:
    """Count the trials that share a volume with the trial before them, by onset."""
    ordered = sorted(rows, key=lambda part: part.start)
    return sum(after.start < before.stop for before, after in itertools.pairwise(ordered))
