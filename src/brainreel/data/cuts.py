"""Cuts in film time: what part of a film is where, in which TRs of which recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from brainreel.data.leaks import Window
from brainreel.data.samples import Fold, Recording, Segment
from brainreel.timebase import TrGrid

WindowsOfFilm = dict[int, list[Window]]


def trs_within(grid: TrGrid, window: Window) -> range:
    """Return the TRs that lie wholly within a window [start, stop) of film time, in seconds."""
    first = math.ceil((window[0] - grid.first_s) / grid.tr_s)
    last = math.floor((window[1] - grid.first_s) / grid.tr_s)
    return range(max(first, 0), max(min(last, grid.n_trs), 0))


def extents_of(
    recordings: Sequence[Recording], films: Sequence[int]
) -> dict[int, tuple[Window, Fraction, str]]:
    """Film time that the recordings of each film cover together, its TR, and who has the most."""
    extents: dict[int, tuple[Window, Fraction, str]] = {}
    for film in dict.fromkeys(films):
        of_film = [r for r, number in zip(recordings, films, strict=True) if number == film]
        grids = [recording.bold.grid for recording in of_film]
        window = min(g.first_s for g in grids), max(g.stop_s for g in grids)
        longest = max(of_film, key=lambda r: r.bold.n_trs)
        extents[film] = window, longest.bold.tr_s, longest.label
    return extents


def fold_of_windows(
    recordings: Sequence[Recording],
    films: Sequence[int],
    names: tuple[str, str],
    train: WindowsOfFilm,
    validation: WindowsOfFilm,
    test: WindowsOfFilm,
) -> Fold:
    """Turn windows of film time into a fold named (split, fold)."""
    return Fold(
        *names,
        train=segments_within(recordings, films, train),
        validation=segments_within(recordings, films, validation),
        test=segments_within(recordings, films, test),
    )


def segments_within(
    recordings: Sequence[Recording], films: Sequence[int], windows: WindowsOfFilm
) -> tuple[Segment, ...]:
    """Return the segments of all recordings that lie in the windows of their film."""
    segments = []
    for i, (recording, film) in enumerate(zip(recordings, films, strict=True)):
        for window in windows[film]:
            trs = trs_within(recording.bold.grid, window)
            if trs:
                segments.append(Segment(i, trs.start, trs.stop))
    return tuple(segments)


def without(windows: list[Window], held: list[Window], gap: Fraction) -> list[Window]:
    """Cut held-out windows, and a gap on both sides of each, out of others."""
    for start, stop in held:
        cut = []
        for first, last in windows:
            cut += [(first, min(last, start - gap)), (max(first, stop + gap), last)]
        windows = [(first, last) for first, last in cut if first < last]
    return windows


def count_trs(amount: float, n_trs: int) -> int:
    """Return a count as it is, and a share below 1 as that part of `n_trs`, rounded down."""
    return amount if isinstance(amount, int) else math.floor(amount * n_trs)
