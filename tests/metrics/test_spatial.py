from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from brainreel.errors import DataError
from brainreel.metrics.permutation import permutation_p
from brainreel.metrics.spatial import spatial_null, spatial_similarity
from brainreel.metrics.surrogates import surrogate_orders

from .noise import ar1, haemodynamic, numbered


def test_every_pair_of_volumes_equals_scipy(rng):
    predicted, measured = rng.standard_normal((2, 6, 40)) + 3
    found = spatial_similarity(predicted, measured)
    for t in range(6):
        for u in range(6):
            assert found[t, u] == pytest.approx(pearsonr(predicted[t], measured[u]).statistic)


def test_flat_volumes(rng):
    predicted, measured = rng.standard_normal((2, 4, 9))
    predicted[1], measured[2] = 5.0, 0.1
    found = spatial_similarity(predicted, measured)
    np.testing.assert_array_equal(found[1, [0, 1, 3]], 0)
    assert np.isnan(found[:, 2]).all()
    assert np.isfinite(found[:, [0, 1, 3]]).all()
    null = spatial_null(found, n_permutations=9, block_trs=1, rng=rng)
    assert np.isfinite(null).all()


def test_the_mean_volume_flatters_and_its_p_does_not(rng):
    """Anatomy makes r high for any prediction; only a prediction in time beats its surrogates."""
    anatomy = 10 * rng.standard_normal(200)
    signal = haemodynamic(rng, 150, 200)
    measured = anatomy + signal + ar1(rng, 150, 200)
    told = []
    for predicted in (np.tile(anatomy, (150, 1)), anatomy + signal):
        found = spatial_similarity(predicted, measured)
        null = spatial_null(found, n_permutations=99, block_trs=10, rng=rng)
        value = float(np.diagonal(found).mean())
        told.append((value, permutation_p(value, null)))
    (mean_r, mean_p), (r, p) = told
    assert 0.98 < mean_r < r
    assert mean_p == 1
    assert p == 0.01


def test_the_null_equals_a_loop_over_reordered_predictions(rng):
    predicted, measured = rng.standard_normal((2, 30, 12))
    segments = numbered([20, 10])
    options = {"block_trs": 3, "segments": segments}
    found = spatial_similarity(predicted, measured)
    null = spatial_null(found, n_permutations=8, rng=np.random.default_rng(1), **options)
    orders = surrogate_orders(30, n=8, rng=np.random.default_rng(1), **options)
    expected = [
        np.mean([pearsonr(predicted[a], measured[t]).statistic for t, a in enumerate(order)])
        for order in orders
    ]
    np.testing.assert_allclose(null, expected, rtol=1e-10)


def test_bad_input_is_named(rng):
    x = rng.standard_normal((4, 3))
    with pytest.raises(DataError, match="measured has 2 along axis V"):
        spatial_similarity(x, x[:, :2])
    x[0, 0] = np.inf
    with pytest.raises(DataError, match="predicted holds 1 NaN or infinite"):
        spatial_similarity(x, np.zeros((4, 3)))
