from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm, t

from brainreel.errors import DataError
from brainreel.metrics.bootstrap import (
    block_bootstrap_interval,
    bootstrap_r,
    interval_of_mean,
    interval_of_r,
    percentile_interval,
)
from brainreel.metrics.correlation import pearson_r
from brainreel.metrics.surrogates import block_starts, rows_of, stretches

from .noise import ar1, haemodynamic, joined, numbered


@pytest.mark.parametrize("sizes", [[60], [25, 8, 40]])
def test_resampled_r_equals_a_loop_over_copies(sizes):
    rng = np.random.default_rng(2)
    n_rows, segments = sum(sizes), numbered(sizes)
    measured = joined(ar1, rng, sizes, 5) + 100
    predicted = 0.5 * measured + joined(ar1, rng, sizes, 5)
    measured[:, 3], predicted[:, 2] = 7.0, 0.1
    found, n_blocks = bootstrap_r(
        predicted, measured, block_trs=10, n=15, rng=np.random.default_rng(5), segments=segments
    )
    draws = block_starts(n_rows, block=10, n=15, rng=np.random.default_rng(5), segments=segments)
    for i, draw in enumerate(draws.starts):
        rows = rows_of(draw, draws.lengths, stretches(n_rows, segments))
        np.testing.assert_allclose(found[i], pearson_r(predicted[rows], measured[rows]), atol=1e-6)
    assert n_blocks == draws.starts.shape[1]


def test_the_generic_way_gives_the_same_interval(rng):
    predicted, measured = haemodynamic(rng, 80, 9), ar1(rng, 80, 9)
    options = {"n": 200, "segments": numbered([40, 40])}
    slow = block_bootstrap_interval(
        lambda x, y: float(np.median(pearson_r(x, y))), predicted, measured,
        block=8, rng=np.random.default_rng(1), **options,
    )  # fmt: skip
    fast = interval_of_r(predicted, measured, block_trs=8, rng=np.random.default_rng(1), **options)
    np.testing.assert_allclose(fast[:2], slow[:2], atol=1e-6)
    assert fast[2:] == slow[2:] == (0.95, 200, 10)


def test_the_mean_of_items_equals_the_generic_way(rng):
    items = rng.uniform(size=41)
    for block, segments in ((1, None), (4, numbered([20, 21]))):
        fast = interval_of_mean(
            items, n=300, rng=np.random.default_rng(3), block=block, segments=segments
        )
        slow = block_bootstrap_interval(
            np.mean, items, block=block, n=300, rng=np.random.default_rng(3), segments=segments
        )
        np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_the_interval_is_the_widened_percentile(rng):
    values = rng.standard_normal(5000)
    middle = np.median(values)
    found = percentile_interval(middle, values, n_blocks=8, level=0.9)
    reach = t.ppf(0.95, 7) * np.sqrt(8 / 7)
    np.testing.assert_allclose(
        found[:2], np.quantile(values, [norm.cdf(-reach), norm.cdf(reach)]), rtol=1e-12
    )
    plain = np.quantile(values, [0.05, 0.95])
    assert found.low < plain[0] < plain[1] < found.high
    many = percentile_interval(middle, values, n_blocks=10**6, level=0.9)
    np.testing.assert_allclose(many[:2], plain, rtol=1e-4)
    moved = percentile_interval(3.0, values, n_blocks=8, level=0.9, bounds=(-np.inf, 4.0))
    assert moved.low == pytest.approx(found.low - middle + 3.0)
    assert moved.high == 4.0


GAINS = {
    "alike": np.full(40, 0.6),
    "mixed": np.linspace(0, 1.2, 40),
    "mostly silent": np.r_[np.zeros(27), np.linspace(0.3, 1.5, 13)],
}


@pytest.mark.parametrize("kind", GAINS)
@pytest.mark.parametrize("sizes", [[120], [100, 100, 100]])
def test_the_interval_covers_the_expected_score(sizes, kind):
    """Common stimulus, common and own noise, all autocorrelated."""
    rng = np.random.default_rng([77, len(sizes), len(kind)])
    n_studies, gain = 120, GAINS[kind]

    def study():
        predicted = joined(haemodynamic, rng, sizes, 4) @ _unit(rng.standard_normal((4, 40)))
        common = joined(ar1, rng, sizes, 3) @ _unit(rng.standard_normal((3, 40)))
        noise = 0.6 * common + 0.8 * joined(ar1, rng, sizes, 40)
        return predicted, gain * predicted + noise

    expected = np.mean([np.median(pearson_r(*study())) for _ in range(400)])
    if kind != "mostly silent":
        assert expected == pytest.approx(np.median(gain / np.sqrt(gain**2 + 1)), abs=0.02)
    covered = 0
    for _ in range(n_studies):
        predicted, measured = study()
        interval = interval_of_r(
            predicted, measured, block_trs=12, n=200, rng=rng, segments=numbered(sizes)
        )
        assert interval.low < np.median(pearson_r(predicted, measured)) < interval.high
        covered += interval.low <= expected <= interval.high
    # Not below 95 % beyond chance; above it where resampled noise is wider than the noise.
    assert covered >= binom.ppf(0.001, n_studies, 0.95)


def _unit(weights: np.ndarray) -> np.ndarray:
    return weights / np.linalg.norm(weights, axis=0)


def test_the_interval_of_a_mean_covers_the_true_one_with_few_items():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(600):
        interval = interval_of_mean(rng.uniform(size=12), n=300, rng=rng)
        covered += interval.low <= 0.5 <= interval.high
    low, high = binom.ppf([0.001, 0.9999], 600, 0.95)
    assert low <= covered <= high


def test_blocks_widen_the_interval_of_dependent_items(rng):
    items = np.repeat(rng.standard_normal(30), 5)
    alone = interval_of_mean(items, n=500, rng=rng)
    together = interval_of_mean(items, n=500, rng=rng, block=5)
    assert together.high - together.low > 1.6 * (alone.high - alone.low)


def test_another_statistic_of_the_r_map(rng):
    predicted = ar1(rng, 60, 6)
    measured = predicted + ar1(rng, 60, 6)
    best = interval_of_r(
        predicted, measured, block_trs=6, n=100, rng=rng, statistic=lambda r: r.max(axis=1)
    )
    middle = interval_of_r(predicted, measured, block_trs=6, n=100, rng=rng)
    assert best.low > middle.low


def test_nan_items_are_left_out(rng):
    items = np.array([0.2, np.nan, 0.4, 0.6])
    whole = interval_of_mean(items, n=200, rng=np.random.default_rng(1))
    kept = interval_of_mean(items[[0, 2, 3]], n=200, rng=np.random.default_rng(1))
    assert whole == kept


def test_nothing_to_resample_gives_nan(rng):
    assert np.isnan(interval_of_mean(np.full(4, np.nan), n=10, rng=rng).low)
    flat = interval_of_r(ar1(rng, 20, 2), np.zeros((20, 2)), block_trs=5, n=10, rng=rng)
    assert np.isnan(flat.low)
    assert np.isnan(flat.high)
    told = interval_of_r(np.zeros((20, 2)), ar1(rng, 20, 2), block_trs=5, n=10, rng=rng)
    assert told[:2] == (0, 0)
    assert np.isnan(percentile_interval(4.0, np.arange(9.0), n_blocks=1).low)


def test_bad_input_is_named(rng):
    with pytest.raises(DataError, match=r"arrays of \[3, 4\] rows"):
        block_bootstrap_interval(np.mean, np.zeros(3), np.zeros(4), block=1, n=2, rng=rng)
    with pytest.raises(DataError, match=r"a level of 1\.5 cannot be used"):
        percentile_interval(4.0, np.arange(9.0), n_blocks=3, level=1.5)
