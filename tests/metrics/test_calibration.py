from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from brainreel.errors import DataError, ShapeError
from brainreel.metrics.calibration import interval_coverage


def series(rng, n_trs=400, n_voxels=300):
    """A true signal, the deviation of its noise, and a measurement of both."""
    signal = rng.standard_normal((n_trs, n_voxels))
    spread = rng.uniform(0.3, 3.0, (n_trs, n_voxels))
    return signal, spread, signal + spread * rng.standard_normal((n_trs, n_voxels))


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_a_true_signal_with_known_noise_is_covered_as_often_as_told(rng, level):
    signal, spread, measured = series(rng)
    covered = interval_coverage(signal, spread, measured, level=level)
    error = np.sqrt(level * (1 - level) / signal.size)
    assert abs(covered.mean() - level) < 4 * error


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_deviation_told_too_small_or_large_covers_as_theory_says(rng, factor):
    signal, spread, measured = series(rng)
    covered = interval_coverage(signal, factor * spread, measured, level=0.9).mean()
    expected = 2 * norm.cdf(factor * norm.ppf(0.95)) - 1
    assert covered == pytest.approx(expected, abs=0.005)


def test_coverage_equals_a_loop_and_leaves_constant_voxels_out(rng):
    signal, spread, measured = series(rng, 7, 5)
    measured[:, 2] = signal[:, 2] = 0.0
    found = interval_coverage(
        signal.astype(np.float32),
        spread.astype(np.float32),
        measured.astype(np.float32),
        level=0.5,
    )
    for t in range(7):
        inside = []
        for v in (0, 1, 3, 4):
            low, high = norm.interval(0.5, signal[t, v], spread[t, v])
            inside.append(low <= measured[t, v] <= high)
        assert found[t] == pytest.approx(np.mean(inside))


def test_no_deviation_covers_an_exact_hit_alone(rng):
    measured = rng.standard_normal((4, 3))
    predicted = measured.copy()
    predicted[1] += 1e-6
    covered = interval_coverage(predicted, np.zeros((4, 3)), measured, level=0.9)
    np.testing.assert_array_equal(covered, [1, 0, 1, 1])
    assert np.isnan(interval_coverage(predicted, measured**2, np.ones((4, 3)), level=0.9)).all()


def test_bad_input_is_named(rng):
    x = rng.standard_normal((4, 3))
    with pytest.raises(DataError, match=r"level of 1\.5 cannot be used"):
        interval_coverage(x, np.abs(x), x, level=1.5)
    with pytest.raises(DataError, match="spread holds negative deviations"):
        interval_coverage(x, -np.abs(x), x, level=0.5)
    with pytest.raises(DataError, match="spread holds 1 NaN"):
        interval_coverage(x, np.where(x == x[0, 0], np.nan, 1.0), x, level=0.5)
    with pytest.raises(ShapeError, match="spread has 2 along axis V"):
        interval_coverage(x, np.ones((4, 2)), x, level=0.5)
