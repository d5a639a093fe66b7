"""Orders in which time points may be read: surrogates for the null, resamples for intervals.

Test series are made of *segments*: stretches of time points that follow each other (a film, a
block of a run). Neighbours across two segments are no neighbours in time, so nothing here ever
moves a time point out of its segment.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape

Indices = NDArray[np.intp]
Int64 = NDArray[np.integer]


class Stretch(NamedTuple):
    """Rows [start, stop) that follow each other in time."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.stop - self.start


def stretches(n_rows: int, segments: Int64 | None = None) -> list[Stretch]:
    """Return the stretches of rows that share a segment number and follow each other.

    Parameters
    ----------
    n_rows
        Rows of the series.
    segments
        (T,) integers, one per row; None is one segment. A number that comes back later begins a
        new stretch.
    """
    if n_rows < 1:
        raise DataError("a test series without a time point cannot be scored.")
    if segments is None:
        return [Stretch(0, n_rows)]
    check_shape(segments, "T", name="segments", T=n_rows)
    edges = np.flatnonzero(np.diff(segments)) + 1
    bounds = [0, *(int(edge) for edge in edges), n_rows]
    return [Stretch(a, b) for a, b in pairwise(bounds)]


def blocks_of_segment(n_segments: int) -> int:
    """Return into how many blocks each segment is cut before the blocks are put in a new order.

    Every cut destroys a little of the autocorrelation and makes the null too narrow; too few
    surrogates limit the smallest p. One segment needs 5 blocks (24 orders on a circle, beside
    the shifts), two need 3 each; from three on, the shifts alone multiply to more than enough.
    """
    return {1: 5, 2: 3}.get(n_segments, 1)


def surrogate_orders(
    n_rows: int,
    *,
    n: int,
    block_trs: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
) -> Indices:
    """Draw `n` orders that keep the autocorrelation of a series and lose its time.

    Each segment, closed to a circle, is turned by a uniformly random number of TRs, cut at
    random places into a few blocks of at least `block_trs`, and the blocks are put in random
    order. Shift 0 is a shift like any other: leaving out small shifts, though it looks prudent,
    breaks the group that makes the test exact and lets through too many false positives (with
    shifts of at least 10 out of 100 TRs, 0.076 instead of 0.05).

    Parameters
    ----------
    n_rows
        T.
    n
        Number of orders.
    block_trs
        Shortest block in TRs; a segment too short for 3 of them is only shifted.
    rng
        Where the randomness comes from.
    segments
        (T,) segment number of each row, or None.

    Returns
    -------
    (n, T) row indices; each row of it is a permutation that stays within segments.
    """
    if block_trs < 1:
        raise DataError(f"a block of {block_trs} TRs cannot be used; it needs at least one.")
    parts = stretches(n_rows, segments)
    n_blocks = blocks_of_segment(len(parts))
    orders = np.empty((n, n_rows), dtype=np.intp)
    for part in parts:
        most = part.size // block_trs
        blocks = min(n_blocks, most) if most >= 3 else 1
        for order in orders:
            order[part.start : part.stop] = part.start + _turned(part.size, blocks, block_trs, rng)
    return orders


def _turned(size: int, n_blocks: int, shortest: int, rng: np.random.Generator) -> Indices:
    """Return one random turn of a circle of `size` rows, its blocks in random order."""
    rows = (np.arange(size) + rng.integers(size)) % size
    if n_blocks >= 3:
        # The rows beyond the shortest blocks are shared out at random, all ways alike.
        spare = size - n_blocks * shortest
        marks = np.sort(rng.choice(spare + n_blocks - 1, n_blocks - 1, replace=False))
        cuts = marks - np.arange(n_blocks - 1) + shortest * np.arange(1, n_blocks)
        blocks = np.split(rows, cuts)
        rows = np.concatenate([blocks[k] for k in rng.permutation(n_blocks)])
    # Turned again, so that the joint of the circle falls anywhere.
    return np.roll(rows, int(rng.integers(size)))


class BlockStarts(NamedTuple):
    """Draws of a circular block bootstrap.

    Attributes
    ----------
    starts
        (n, K) first rows of the blocks drawn in each resample.
    lengths
        (T,) length of the block that starts at each row: `block`, or its segment if shorter.
    """

    starts: Indices
    lengths: Indices


def block_starts(
    n_rows: int,
    *,
    block: int,
    n: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
) -> BlockStarts:
    """Draw the blocks of `n` resamples: starts uniform over all rows, wrapping in the segment.

    Circular block bootstrap (Politis and Romano 1992): every row is equally likely, and a
    resample has about as many rows as the series.
    """
    if block < 1:
        raise DataError(f"a block of {block} rows cannot be used; it needs at least one.")
    lengths = np.empty(n_rows, dtype=np.intp)
    for part in stretches(n_rows, segments):
        lengths[part.start : part.stop] = min(block, part.size)
    n_blocks = max(1, round(n_rows / float(lengths.mean())))
    return BlockStarts(rng.integers(n_rows, size=(n, n_blocks)), lengths)


def rows_of(draw: Indices, lengths: Indices, parts: list[Stretch]) -> Indices:
    """Return the row indices of one resample: blocks that start at `draw`, laid end to end."""
    firsts = np.array([part.start for part in parts])
    sizes = np.array([part.size for part in parts])
    home = np.searchsorted(firsts, draw, side="right") - 1
    rows = [
        firsts[k] + (start - firsts[k] + np.arange(lengths[start])) % sizes[k]
        for start, k in zip(draw, home, strict=True)
    ]
    return np.concatenate(rows).astype(np.intp)
