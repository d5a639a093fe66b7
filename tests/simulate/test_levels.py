import numpy as np
import pytest

from brainreel.simulate.levels import cuts_between, spread


@pytest.mark.parametrize("duration_s", [1.0, 9.5, 11.9, 12.1, 200.0])
def test_cuts_fill_the_film_with_gaps_in_the_range(duration_s: float) -> None:
    cuts = cuts_between(duration_s, 3.0, 9.0, np.random.default_rng(0))
    gaps = np.diff(cuts)
    assert cuts[0] == 0
    assert cuts[-1] == duration_s
    assert gaps.max() <= 9.0
    assert gaps.min() >= min(3.0, duration_s / 2)


def test_levels_are_evenly_spaced_whatever_their_order() -> None:
    levels = spread(30, 0.2, 0.75, np.random.default_rng(1))
    np.testing.assert_allclose(np.sort(levels), np.linspace(0.2, 0.75, 30))
    assert spread(1, 2.0, 4.0, np.random.default_rng(1)).shape == (1,)


def test_neighbouring_levels_come_from_all_quarters() -> None:
    levels = spread(40, 0.0, 1.0, np.random.default_rng(2)).reshape(10, 4)
    quarters = np.sort(np.minimum((levels * 4).astype(int), 3), axis=1)
    np.testing.assert_array_equal(quarters, np.tile([0, 1, 2, 3], (10, 1)))


def test_levels_hold_less_slow_power_than_shuffled_levels() -> None:
    rng = np.random.default_rng(3)

    def slow(levels: np.ndarray) -> float:
        return float(np.var(levels.reshape(-1, 4).mean(axis=1)))

    own = np.mean([slow(spread(40, 0, 1, rng)) for _ in range(50)])
    shuffled = np.mean([slow(rng.permutation(np.linspace(0, 1, 40))) for _ in range(50)])
    assert own < 0.3 * shuffled
