"""Regressors from tables of events and of words, in TRs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from brainreel.errors import AlignmentError, DataError, did_you_mean
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

WORD_COLUMNS = ("rate", "duration", "length")


def covered(onset_s: ArrayLike, offset_s: ArrayLike, grid: TrGrid) -> Float64:
    """Return how much of each TR each interval covers.

    c[e, i] = |[onset_e, offset_e) and [start_i, stop_i)| / tr_s

    An interval of no length (an impulse) counts 1 in the TR in which it falls.

    Parameters
    ----------
    onset_s, offset_s
        (E,) film times in seconds.
    grid
        The T TRs, in film time.

    Returns
    -------
    (E, T) float64 in [0, 1].
    """
    tr_s = float(grid.tr_s)
    # In units of TRs after the first onset, where the edges are whole numbers.
    start = (np.asarray(onset_s, float) - float(grid.first_s)) / tr_s
    stop = (np.asarray(offset_s, float) - float(grid.first_s)) / tr_s
    edges = np.arange(grid.n_trs)
    overlap = np.minimum(stop[:, None], edges + 1) - np.maximum(start[:, None], edges)
    impulse = (start == stop)[:, None] & (np.floor(start)[:, None] == edges)
    share: Float64 = np.clip(overlap, 0.0, 1.0) + impulse
    return share


def event_regressors(events: pd.DataFrame, grid: TrGrid) -> tuple[Float32, tuple[str, ...]]:
    """Turn a table of events into one column per kind of event.

    x[i, k] = sum over events e of kind k of modulation_e * (share of TR i that e covers)

    An event of duration 0 counts as a whole TR. No haemodynamic response is put in: delays or a
    response function come later, in the model.

    Parameters
    ----------
    events
        Columns `onset` and `duration` in seconds of film time (a BIDS onset minus film_start_s;
        the same where there is no film), and `trial_type`, `modulation` if there are any. Without
        `trial_type` all events are of one kind, `"event"`.
    grid
        The T TRs, in film time.

    Returns
    -------
    values, names
        (T, K) float32 and the K kinds in alphabetical order.

    Raises
    ------
    DataError
        If a column is missing or an onset, duration or modulation is not a number.
    AlignmentError
        If no event lies within the run.
    """
    onset, duration = _numbers(events, "onset"), _numbers(events, "duration")
    modulation = np.ones(len(events))
    if "modulation" in events.columns:
        modulation = _numbers(events, "modulation")
    if (duration < 0).any():
        raise DataError(f"events: row {int(np.argmax(duration < 0)) + 1} has a negative duration.")
    kinds = np.full(len(events), "event", dtype=object)
    if "trial_type" in events.columns:
        kinds = events["trial_type"].astype(str).to_numpy(dtype=object)
    share = covered(onset, onset + duration, grid)
    _check_inside(share, onset, grid, "event")
    names = tuple(sorted(set(kinds)))
    weighted = modulation[:, None] * share
    columns = [weighted[kinds == name].sum(axis=0) for name in names]
    return np.stack(columns, axis=1).astype(np.float32), names


def word_regressors(
    word: Sequence[str], onset_s: ArrayLike, offset_s: ArrayLike, grid: TrGrid
) -> dict[str, Float32]:
    """Turn the words that were heard or read into columns.

    rate[i]     = (words beginning in TR i) / tr_s                        words per second
    duration[i] = sum over words of the share of TR i that they cover     in [0, 1] for one voice
    length[i]   = (letters of the words beginning in TR i) / tr_s         letters per second

    All three add up over words: they are what a linear response to each word sums.

    Parameters
    ----------
    word
        W words.
    onset_s, offset_s
        (W,) film times in seconds.
    grid
        The T TRs, in film time.

    Returns
    -------
    `{"words": (T, 3)}` float32, columns `WORD_COLUMNS`.

    Raises
    ------
    DataError
        If the numbers of words and times differ, a time is not a number, or a word ends before it
        begins.
    AlignmentError
        If no word lies within the run.
    """
    onset, offset = np.asarray(onset_s, float), np.asarray(offset_s, float)
    if not len(word) == len(onset) == len(offset):
        raise DataError(
            f"words: {len(word)} words, {len(onset)} onsets and {len(offset)} offsets; "
            "they must be as many."
        )
    wrong = ~(np.isfinite(onset) & np.isfinite(offset) & (offset >= onset))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"words: word {first + 1} ('{word[first]}') runs from {onset[first]} to "
            f"{offset[first]} s. Give times in seconds, each offset at or after its onset."
        )
    share = covered(onset, offset, grid)
    begins = covered(onset, onset, grid)
    _check_inside(share, onset, grid, "word")
    letters = np.array([len(str(item)) for item in word], float)
    tr_s = float(grid.tr_s)
    columns = (begins.sum(axis=0) / tr_s, share.sum(axis=0), letters @ begins / tr_s)
    return {"words": np.stack(columns, axis=1).astype(np.float32)}


def _numbers(events: pd.DataFrame, column: str) -> Float64:
    if column not in events.columns:
        raise DataError(f"events: no column '{column}'.{did_you_mean(column, events.columns)}")
    values = pd.to_numeric(events[column], errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise DataError(
            f"events: '{column}' of row {row + 1} is '{events[column].iloc[row]}', not a number. "
            "Give a number, or drop the row."
        )
    return values


def _check_inside(share: Float64, onset: Float64, grid: TrGrid, what: str) -> None:
    if share.size and share.any():
        return
    told = f" (they begin {onset.min():.1f} to {onset.max():.1f} s)" if onset.size else ""
    raise AlignmentError(
        f"no {what}{told} lies within the run, {float(grid.first_s):.1f} to "
        f"{float(grid.stop_s):.1f} s of film time. Check the units and film_start_s."
    )
