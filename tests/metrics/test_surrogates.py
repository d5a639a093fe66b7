from __future__ import annotations

import numpy as np
import pytest

from brainreel.errors import DataError, ShapeError
from brainreel.metrics.surrogates import (
    block_starts,
    blocks_of_segment,
    rows_of,
    stretches,
    surrogate_orders,
)

from .noise import numbered


def _joints(order: np.ndarray) -> int:
    """Number of places on the circle of a segment where neighbours were parted."""
    size = order.size
    return int(np.count_nonzero((np.roll(order, -1) - order) % size != 1))


def test_a_number_that_comes_back_begins_a_new_stretch():
    assert stretches(6, np.array([0, 0, 1, 1, 0, 0])) == [(0, 2), (2, 4), (4, 6)]
    assert stretches(4) == [(0, 4)]


def test_orders_are_permutations_that_stay_in_their_segment(rng):
    sizes = [30, 7, 52]
    segments = numbered(sizes)
    for order in surrogate_orders(89, n=50, block_trs=5, rng=rng, segments=segments):
        np.testing.assert_array_equal(np.sort(order), np.arange(89))
        np.testing.assert_array_equal(segments[order], segments)


def test_three_segments_are_shifted_and_one_is_cut_into_five_blocks(rng):
    segments = numbered([40, 40, 40])
    for order in surrogate_orders(120, n=30, block_trs=5, rng=rng, segments=segments):
        assert _joints(order[40:80] - 40) == 0
    joints = [_joints(o) for o in surrogate_orders(120, n=200, block_trs=5, rng=rng)]
    assert max(joints) == blocks_of_segment(1) == 5
    two = numbered([60, 60])
    joints = [
        _joints(o[:60]) for o in surrogate_orders(120, n=99, block_trs=5, rng=rng, segments=two)
    ]
    assert max(joints) == blocks_of_segment(2) == 3


def test_blocks_are_at_least_as_long_as_asked(rng):
    for order in surrogate_orders(100, n=200, block_trs=15, rng=rng):
        parted = np.flatnonzero((np.roll(order, -1) - order) % 100 != 1)
        if parted.size:
            gaps = np.diff(np.append(parted, parted[0] + 100))
            assert gaps.min() >= 15


def test_a_short_segment_is_only_shifted(rng):
    for order in surrogate_orders(20, n=40, block_trs=10, rng=rng):
        assert _joints(order) == 0


def test_every_shift_is_equally_likely(rng):
    segments = numbered([8, 8, 8])
    orders = surrogate_orders(24, n=8000, block_trs=20, rng=rng, segments=segments)
    counts = np.bincount(orders[:, 0], minlength=8)
    # Four standard errors of a multinomial count.
    assert np.abs(counts[:8] - 1000).max() < 4 * np.sqrt(1000 * 7 / 8)
    independent = np.corrcoef(orders[:, 0], orders[:, 8])[0, 1]
    assert abs(independent) < 4 / np.sqrt(8000)


def test_every_row_may_go_anywhere_in_one_segment(rng):
    orders = surrogate_orders(60, n=12000, block_trs=5, rng=rng)
    counts = np.bincount(orders[:, 17], minlength=60)
    assert np.abs(counts - 200).max() < 4.5 * np.sqrt(200)


def test_bootstrap_rows_wrap_inside_their_segment(rng):
    segments = numbered([6, 9])
    draws = block_starts(15, block=4, n=20, rng=rng, segments=segments)
    parts = stretches(15, segments)
    for draw in draws.starts:
        rows = rows_of(draw, draws.lengths, parts)
        expected = []
        for start in draw:
            first, size = (0, 6) if start < 6 else (6, 9)
            expected += [first + (start - first + step) % size for step in range(4)]
        np.testing.assert_array_equal(rows, expected)


def test_a_block_longer_than_its_segment_is_the_segment(rng):
    draws = block_starts(10, block=7, n=5, rng=rng, segments=numbered([3, 7]))
    np.testing.assert_array_equal(draws.lengths, [3] * 3 + [7] * 7)


def test_bad_input_is_named(rng):
    with pytest.raises(DataError, match="a block of 0 TRs"):
        surrogate_orders(10, n=2, block_trs=0, rng=rng)
    with pytest.raises(DataError, match="a block of 0 rows"):
        block_starts(10, block=0, n=2, rng=rng)
    with pytest.raises(ShapeError, match="segments has 3 along axis T"):
        surrogate_orders(10, n=2, block_trs=2, rng=rng, segments=np.zeros(3, dtype=int))
    with pytest.raises(DataError, match="without a time point"):
        stretches(0)
