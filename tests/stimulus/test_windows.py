"""Frames and samples in their TRs, against the definition taken literally."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from brainreel.errors import DataError, ShapeError
from brainreel.stimulus.windows import sample_numbers, tr_mean
from brainreel.timebase import TrGrid


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(100)])
@pytest.mark.parametrize(("tr_s", "first_s"), [("0.608", "-1.1"), ("1.5", "0"), ("2", "7.25")])
def test_samples_at_the_middles_of_equal_steps(rate: Fraction, tr_s: str, first_s: str) -> None:
    grid = TrGrid(Fraction(tr_s), 7, Fraction(first_s))
    numbers = sample_numbers(grid, 3, rate)
    for tr in range(7):
        for k in range(3):
            time = grid.onset_s(tr) + (k + Fraction(1, 2)) * grid.tr_s / 3
            assert numbers[tr, k] <= time * rate < numbers[tr, k] + 1


def test_an_hour_of_uneven_steps_never_drifts() -> None:
    # 60.8 steps of 10 ms in a TR, taken as 61.
    grid = TrGrid(Fraction("0.608"), 6000)
    numbers = sample_numbers(grid, 61, 100)
    assert abs(int(numbers[-1, 0]) - int(60.8 * 5999)) <= 1
    assert set(np.diff(numbers.ravel())) == {0, 1}


def test_at_least_one_sample() -> None:
    with pytest.raises(DataError, match="0 samples in a TR cannot be taken"):
        sample_numbers(TrGrid(Fraction(1), 3), 0, 25)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(100)])
def test_tr_mean_equals_the_slow_loop(rate: Fraction) -> None:
    grid = TrGrid(Fraction("0.608"), 20, Fraction("-1.1"))
    times = [i / rate for i in range(int(14 * rate))]
    values = np.random.default_rng(0).standard_normal((len(times), 3)).astype(np.float32)
    expected = np.full((20, 3), -7.0)
    for tr in range(20):
        start, stop = grid.window_s(tr)
        inside = [i for i, time in enumerate(times) if start <= time < stop]
        if inside:
            expected[tr] = sum(values[i].astype(float) for i in inside) / len(inside)
    np.testing.assert_allclose(tr_mean(values, times, grid, empty=-7), expected, atol=1e-6)


def test_every_sample_is_counted_once() -> None:
    grid = TrGrid(Fraction(1, 3), 30)
    times = [Fraction(i, 30) for i in range(300)]
    each = tr_mean(np.arange(300.0)[:, None], times, grid)
    assert each.sum() * 10 == pytest.approx(np.arange(300).sum())


def test_a_boundary_belongs_to_the_later_tr() -> None:
    grid = TrGrid(Fraction("0.1"), 3)
    means = tr_mean(np.array([[5.0]]), ["0.1"], grid, empty=[-1.0])
    assert means.ravel().tolist() == [-1, 5, -1]


def test_wrong_times() -> None:
    grid = TrGrid(Fraction(1), 2)
    with pytest.raises(DataError, match="times of the values fall"):
        tr_mean(np.zeros((2, 1)), [1, 0], grid)
    with pytest.raises(ShapeError, match="values has 2 along axis F"):
        tr_mean(np.zeros((2, 1)), [1], grid)
