from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import correlation as correlation_distance
from scipy.stats import pearsonr
from skimage.metrics import (
    mean_squared_error,
    peak_signal_noise_ratio,
    structural_similarity,
)

from brainreel.errors import DataError, ShapeError
from brainreel.metrics.images import (
    feature_distance,
    frechet_distance,
    mse,
    pixel_correlation,
    psnr,
    ssim,
)


@pytest.fixture(params=[(1, 28, 28), (3, 16, 19)])
def pictures(request, rng):
    true = rng.uniform(size=(4, *request.param))
    return np.clip(true + 0.2 * rng.standard_normal(true.shape), 0, 1).astype(np.float32), true


def test_scores_equal_scikit_image_picture_by_picture(pictures):
    predicted, true = pictures
    for b in range(4):
        x, y = predicted[b].astype(float), true[b]
        assert mse(predicted, true)[b] == pytest.approx(mean_squared_error(y, x))
        expected = peak_signal_noise_ratio(y, x, data_range=1.0)
        assert psnr(predicted, true)[b] == pytest.approx(expected)
        expected = structural_similarity(y, x, channel_axis=0, data_range=1.0)
        assert ssim(predicted, true)[b] == pytest.approx(expected, rel=1e-9)
        expected = pearsonr(x.ravel(), y.ravel()).statistic
        assert pixel_correlation(predicted, true)[b] == pytest.approx(expected)


def test_equal_pictures(pictures):
    _, true = pictures
    np.testing.assert_array_equal(mse(true, true), np.zeros(4))
    np.testing.assert_array_equal(psnr(true, true), np.full(4, np.inf))
    np.testing.assert_allclose(ssim(true, true), np.ones(4))
    np.testing.assert_allclose(pixel_correlation(true, true), np.ones(4))


def test_a_plain_surface_has_no_correlation(pictures):
    predicted, true = pictures
    predicted, true = predicted.copy(), true.copy()
    predicted[1] = 0.3
    true[2] = 0.3
    found = pixel_correlation(predicted, true)
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, False])
    assert found[1] == 0  # leaving out what told nothing would pay


def test_feature_distance_equals_scipy(rng):
    x, y = rng.standard_normal((2, 5, 30))
    expected = [correlation_distance(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(feature_distance(x, y), expected, rtol=1e-12)


@pytest.mark.parametrize(("n", "m", "width"), [(200, 150, 12), (40, 300, 12), (9, 11, 5)])
def test_frechet_distance_equals_the_matrix_root(rng, n, m, width):
    mixing = rng.standard_normal((width, width))
    x, y = rng.standard_normal((n, width)) @ mixing, 2 * rng.standard_normal((m, width)) + 1
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    gap = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    expected = gap + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    found = frechet_distance(x, y, features="random")
    assert found.value == pytest.approx(expected, rel=1e-8)
    assert found.name == f"frechet_distance[random, {width}-d]"
    assert (found.n_predicted, found.n_true) == (n, m)


def test_frechet_distance_with_fewer_pictures_than_features(rng):
    """Closed form of commuting covariances: one varying direction each, the same or another."""
    line, other = np.zeros((6, 50)), np.zeros((6, 50))
    line[:, 0] = np.array([-1, 1, -1, 1, -1, 1]) * np.sqrt(5 / 6)
    other[:, 1] = 2 * line[:, 0]
    same = frechet_distance(line, 3 * line, features="toy").value
    assert same == pytest.approx((3 - 1) ** 2)
    assert frechet_distance(line, other, features="toy").value == pytest.approx(1 + 4)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_frechet_distance_of_equal_sets_is_nothing(rng, shape):
    x = rng.standard_normal(shape) + 100
    assert frechet_distance(x, x[::-1], features="toy").value == pytest.approx(0.0, abs=1e-9)


def test_bad_input_is_named(rng):
    small = rng.uniform(size=(2, 1, 6, 9))
    with pytest.raises(DataError, match="6 x 9 are too small for SSIM"):
        ssim(small, small)
    with pytest.raises(ShapeError, match="true has 3 along axis B"):
        mse(small, rng.uniform(size=(3, 1, 6, 9)))
    with pytest.raises(DataError, match="at least 2 pictures"):
        frechet_distance(np.zeros((1, 3)), np.zeros((4, 3)), features="toy")
    with pytest.raises(DataError, match="predicted holds 108 NaN"):
        psnr(small * np.nan, small)
