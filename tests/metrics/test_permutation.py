from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control, kstest

from brainreel.errors import DataError
from brainreel.metrics.correlation import pearson_r
from brainreel.metrics.permutation import block_permutation_p, fdr_bh, permutation_p
from brainreel.metrics.surrogates import surrogate_orders

from .noise import ar1, haemodynamic, joined, numbered


@pytest.mark.parametrize("tail", ["greater", "two-sided"])
@pytest.mark.parametrize("sizes", [[60], [30, 30], [20, 20, 25]])
def test_equal_to_a_loop_over_surrogates_and_voxels(sizes, tail):
    rng = np.random.default_rng(3)
    segments = numbered(sizes)
    measured = joined(ar1, rng, sizes, 140) + 5
    predicted = 0.3 * measured + joined(haemodynamic, rng, sizes, 140)
    result = block_permutation_p(
        predicted, measured, n_permutations=39, block_trs=6, rng=np.random.default_rng(1),
        segments=segments, tail=tail,
    )  # fmt: skip
    orders = surrogate_orders(
        sum(sizes), n=39, block_trs=6, rng=np.random.default_rng(1), segments=segments
    )
    null = np.array([pearson_r(predicted[order], measured) for order in orders])
    r = pearson_r(predicted, measured)
    np.testing.assert_allclose(result.observed, r, rtol=1e-10)
    np.testing.assert_allclose(result.null_median, np.median(null, axis=1), rtol=1e-9, atol=1e-12)
    size = np.abs if tail == "two-sided" else np.asarray
    p = [(1 + np.sum(size(null[:, v]) >= size(r[v]))) / 40 for v in range(140)]
    p_max = [(1 + np.sum(size(null).max(axis=1) >= size(r[v]))) / 40 for v in range(140)]
    np.testing.assert_allclose(result.p, p)
    np.testing.assert_allclose(result.p_max, p_max)
    median_p = permutation_p(size(np.median(r)), size(np.median(null, axis=1)))
    assert result.p_median == pytest.approx(median_p)


@pytest.mark.parametrize(
    ("sizes", "n_voxels"),
    [([100], 800), ([150], 1500), ([240], 800), ([120, 120], 600), ([60, 80, 110], 600)],
)
@pytest.mark.parametrize("shared", [False, True])
def test_p_is_uniform_where_nothing_is_predicted(sizes, n_voxels, shared):
    rng = np.random.default_rng([len(sizes), n_voxels, sum(sizes), shared])
    measured = joined(ar1, rng, sizes, n_voxels)
    predicted = joined(haemodynamic, rng, sizes, 3 if shared else n_voxels)
    if shared:
        predicted = predicted @ rng.standard_normal((3, n_voxels))
    result = block_permutation_p(
        predicted, measured, n_permutations=400, block_trs=10, rng=rng, segments=numbered(sizes)
    )
    assert kstest(result.p, "uniform").pvalue > 0.001
    false_positives = np.count_nonzero(result.p <= 0.05)
    low, high = binom.ppf([0.0005, 0.9995], n_voxels, 0.05)
    assert low <= false_positives <= high
    assert np.count_nonzero(result.p <= 0.01) <= binom.ppf(0.9995, n_voxels, 0.01)


def test_ignoring_autocorrelation_would_have_failed():
    """The witness that the test above can fail: single TRs permuted, as for white noise."""
    rng = np.random.default_rng(8)
    measured, predicted = ar1(rng, 100, 800), haemodynamic(rng, 100, 800)
    r = pearson_r(predicted, measured)
    null = [pearson_r(predicted[rng.permutation(100)], measured) for _ in range(200)]
    p = (1 + np.sum(np.array(null) >= r, axis=0)) / 201
    assert np.mean(p <= 0.05) > 0.1
    assert kstest(p, "uniform").pvalue < 1e-4


def test_the_maximum_holds_the_family_wise_error():
    rng = np.random.default_rng(12)
    n_studies, rejected, median_rejected = 120, 0, 0
    for _ in range(n_studies):
        measured = ar1(rng, 100, 30)
        predicted = haemodynamic(rng, 100, 2) @ rng.standard_normal((2, 30))
        result = block_permutation_p(predicted, measured, n_permutations=99, block_trs=10, rng=rng)
        rejected += result.p_max.min() <= 0.05
        median_rejected += result.p_median <= 0.05
    assert rejected <= binom.ppf(0.999, n_studies, 0.05)
    assert median_rejected <= binom.ppf(0.999, n_studies, 0.05)


@pytest.mark.parametrize("sizes", [[240], [120, 120], [80, 80, 80]])
def test_a_true_effect_is_found(sizes):
    rng = np.random.default_rng(4)
    predicted = joined(haemodynamic, rng, sizes, 60)
    measured = 0.75 * predicted + joined(ar1, rng, sizes, 60)
    result = block_permutation_p(
        predicted, measured, n_permutations=999, block_trs=10, rng=rng, segments=numbered(sizes)
    )
    assert np.mean(result.p < 0.01) > 0.9
    assert np.mean(result.p_max < 0.05) > 0.8
    assert result.p_median == pytest.approx(0.001)


def test_means_of_segments_stay_where_they_are():
    """An offset between films is kept by every surrogate, so it cannot make a voxel significant."""
    rng = np.random.default_rng(6)
    sizes = [60, 60, 60]
    offset = 5.0 * np.repeat([0.0, 1.0, 2.0], 60)[:, None]
    measured = joined(ar1, rng, sizes, 300) + offset
    predicted = joined(haemodynamic, rng, sizes, 300) + offset
    result = block_permutation_p(
        predicted, measured, n_permutations=200, block_trs=10, rng=rng, segments=numbered(sizes)
    )
    assert result.observed.min() > 0.8
    assert kstest(result.p, "uniform").pvalue > 0.01


def test_measurements_without_variance_are_nan_and_predictions_without_it_0(rng):
    """A witness in a loop: r of a constant prediction is 0 in the data and in every surrogate."""
    predicted, measured = ar1(rng, 50, 6), ar1(rng, 50, 6)
    measured[:, 1], predicted[:, [3, 5]] = 2.0, 0.1
    options = {"n_permutations": 20, "block_trs": 5}
    result = block_permutation_p(predicted, measured, rng=np.random.default_rng(8), **options)
    for values in (result.observed, result.p, result.p_max):
        np.testing.assert_array_equal(np.isnan(values), [False, True, *[False] * 4])
    assert result.n_excluded == 1
    np.testing.assert_array_equal(result.observed[[3, 5]], 0)
    np.testing.assert_array_equal(result.p[[3, 5]], 1)
    orders = surrogate_orders(50, n=20, block_trs=5, rng=np.random.default_rng(8))
    null = np.array([pearson_r(predicted[order], measured) for order in orders])
    np.testing.assert_allclose(result.null_median, np.nanmedian(null, axis=1), atol=1e-12)
    np.testing.assert_allclose(result.null_max, np.nanmax(null, axis=1), atol=1e-12)
    reached = (result.null_max >= 0).sum()
    assert result.p_max[3] == pytest.approx((1 + reached) / 21)


def test_a_prediction_that_never_varies_has_no_r_to_test(rng):
    result = block_permutation_p(
        np.zeros((20, 3)), ar1(rng, 20, 3), n_permutations=5, block_trs=5, rng=rng
    )
    np.testing.assert_array_equal(result.observed, 0)
    np.testing.assert_array_equal(result.p, 1)
    np.testing.assert_array_equal(result.null_median, 0)
    assert result.p_median == 1
    assert result.n_excluded == 0


def test_nothing_but_constant_measurements_gives_nan(rng):
    result = block_permutation_p(
        ar1(rng, 20, 3), np.ones((20, 3)), n_permutations=5, block_trs=5, rng=rng
    )
    assert np.isnan(result.p).all()
    assert np.isnan(result.p_median)
    assert result.n_excluded == 3


def test_the_same_generator_gives_the_same_p(rng):
    predicted, measured = ar1(rng, 50, 5), ar1(rng, 50, 5)
    first, second = (
        block_permutation_p(
            predicted, measured, n_permutations=30, block_trs=5, rng=np.random.default_rng(7)
        ).p
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_fdr_equals_scipy_and_leaves_nan(rng):
    p = np.concatenate([rng.uniform(size=80), rng.uniform(size=20) * 1e-3])
    p[5:9] = p[4]
    with_gaps = np.insert(p, [0, 50], np.nan)
    q = fdr_bh(with_gaps)
    np.testing.assert_allclose(q[~np.isnan(with_gaps)], false_discovery_control(p), rtol=1e-12)
    assert np.isnan(q).sum() == 2
    assert fdr_bh(np.full(3, np.nan)).shape == (3,)


def test_p_of_one_number_counts_ties_against_it():
    assert permutation_p(0.5, np.array([0.1, 0.5, 0.7])) == pytest.approx(3 / 4)
    assert permutation_p(2.0, np.zeros(9)) == pytest.approx(0.1)


def test_bad_input_is_named(rng):
    x = ar1(rng, 10, 2)
    with pytest.raises(DataError, match="0 permutations cannot give a p-value"):
        block_permutation_p(x, x, n_permutations=0, block_trs=2, rng=rng)
    with pytest.raises(DataError, match="between 0 and 1"):
        fdr_bh(np.array([0.5, 1.2]))
    with pytest.raises(DataError, match="0 permutations"):
        permutation_p(0.1, np.zeros(0))
