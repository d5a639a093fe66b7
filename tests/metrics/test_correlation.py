from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from brainreel.errors import DataError, ShapeError
from brainreel.metrics.correlation import (
    VOXEL_CHUNK,
    CorrelationSums,
    correlation_similarity,
    median_of,
    pearson_r,
    r2_score_voxelwise,
    unit_columns,
)


@pytest.fixture
def series(rng):
    measured = rng.standard_normal((90, 7)) * 3 + 1000
    return measured + rng.standard_normal((90, 7)) * 4 + np.arange(7), measured


def test_r_equals_scipy_voxel_by_voxel(series):
    predicted, measured = series
    expected = [pearsonr(predicted[:, v], measured[:, v]).statistic for v in range(7)]
    np.testing.assert_allclose(pearson_r(predicted, measured), expected, rtol=1e-12)


def test_r2_equals_scikit_learn(series):
    predicted, measured = series
    expected = r2_score(measured, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2_score_voxelwise(predicted, measured), expected, rtol=1e-11)


def test_many_voxels_are_worked_in_pieces(rng):
    x, y = rng.standard_normal((2, 5, VOXEL_CHUNK + 3)).astype(np.float32)
    r, r2 = pearson_r(x, y), r2_score_voxelwise(x, y)
    assert r.shape == r2.shape == (VOXEL_CHUNK + 3,)
    for v in (0, VOXEL_CHUNK - 1, VOXEL_CHUNK, VOXEL_CHUNK + 2):
        assert r[v] == pytest.approx(np.corrcoef(x[:, v], y[:, v])[0, 1], abs=1e-6)


def test_batches_in_any_order_and_merged_ranks_give_the_same(series):
    predicted, measured = series
    ranks = [CorrelationSums(7), CorrelationSums(7)]
    for i, rows in enumerate(np.array_split(np.arange(90)[::-1], 8)):
        ranks[i % 2].update(predicted[rows], measured[rows])
    whole = pickle.loads(pickle.dumps(ranks[0]))
    whole.merge(ranks[1])
    whole.merge(CorrelationSums(7))
    np.testing.assert_allclose(whole.r(), pearson_r(predicted, measured), rtol=1e-12)
    np.testing.assert_allclose(whole.r2(), r2_score_voxelwise(predicted, measured), rtol=1e-12)
    assert whole.n_rows == 90


def test_merging_does_not_change_the_other_sums(series):
    predicted, measured = series
    first, second = CorrelationSums(7), CorrelationSums(7)
    second.update(predicted, measured)
    before = second.r()
    first.merge(second)
    first.update(predicted[:9], measured[:9])
    np.testing.assert_array_equal(second.r(), before)


def test_a_large_mean_costs_no_digits(rng):
    small = rng.standard_normal((2, 400, 3))
    sums = CorrelationSums(3)
    for rows in np.array_split(np.arange(400), 40):
        sums.update(small[0][rows] + 1e7, small[1][rows] - 1e7)
    np.testing.assert_allclose(sums.r(), pearson_r(small[0], small[1]), atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_constant_measurements_are_nan_and_counted_and_constant_predictions_0(rng, dtype):
    predicted = rng.standard_normal((50, 4)).astype(dtype)
    measured = (predicted + rng.standard_normal((50, 4))).astype(dtype)
    predicted[:, 1] = 0.1
    measured[:, 2] = 1000.1
    r, r2 = pearson_r(predicted, measured), r2_score_voxelwise(predicted, measured)
    np.testing.assert_array_equal(np.isnan(r), [False, False, True, False])
    np.testing.assert_array_equal(np.isnan(r2), [False, False, True, False])
    assert r[1] == 0
    assert median_of(r) == (pytest.approx(np.median(r[[0, 1, 3]])), 3, 1)


def test_jitter_of_the_last_digit_is_no_variance(rng):
    predicted = np.full((60, 1), 0.3, dtype=np.float32)
    predicted[::2] = np.nextafter(np.float32(0.3), np.float32(1))
    noise = rng.standard_normal((60, 1))
    assert pearson_r(predicted, noise) == [0]
    assert np.isnan(pearson_r(noise, predicted)).all()


def test_raw_bold_with_little_variance_is_kept(rng):
    raw = (10000 + rng.standard_normal((80, 2))).astype(np.float32)
    assert pearson_r(raw, raw) == pytest.approx([1.0, 1.0])


def test_the_median_of_nothing_is_nan():
    summary = median_of(np.full(3, np.nan))
    assert np.isnan(summary.value)
    assert (summary.n_used, summary.n_excluded) == (0, 3)


def test_products_of_unit_columns_are_r(series):
    predicted, measured = series
    x, varies = unit_columns(predicted)
    y, _ = unit_columns(measured)
    np.testing.assert_allclose((x * y).sum(axis=0), pearson_r(predicted, measured), rtol=1e-12)
    assert varies.all()


def test_similarity_equals_a_loop(rng):
    rows, columns = rng.standard_normal((4, 12)), rng.standard_normal((6, 12))
    rows[2] = 5.0
    found = correlation_similarity(rows, columns)
    for i in (0, 1, 3):
        for j in range(6):
            assert found[i, j] == pytest.approx(pearsonr(rows[i], columns[j]).statistic)
    np.testing.assert_array_equal(found[2], np.zeros(6))


def test_bad_input_is_named(rng):
    x = rng.standard_normal((5, 3))
    with pytest.raises(ShapeError, match="measured has 4 along axis V"):
        pearson_r(x, rng.standard_normal((5, 4)))
    with pytest.raises(DataError, match="at least 2 time points; 1 were given"):
        pearson_r(x[:1], x[:1])
    x[2, 1] = np.nan
    with pytest.raises(DataError, match="predicted holds 1 NaN or infinite values of 15"):
        pearson_r(x, np.zeros((5, 3)))
    with pytest.raises(DataError, match="sums of 2 voxels cannot be merged with sums of 3"):
        CorrelationSums(3).merge(CorrelationSums(2))
    with pytest.raises(DataError, match="0 were given"):
        CorrelationSums(3).r()
