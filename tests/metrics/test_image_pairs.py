import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.metrics.image_pairs import (
    correlation_pairs,
    mse_pairs,
    perceptual_vectors,
    squared_distance_pairs,
    ssim_pairs,
)
from brainreel.metrics.images import mse, pixel_correlation, ssim


@pytest.fixture
def sides(rng):
    return rng.random((5, 3, 11, 14)).astype(np.float32), rng.random((4, 3, 11, 14))


def by_loop(score, predicted, true):
    return [[score(p[None], t[None])[0] for t in true] for p in predicted]


@pytest.mark.parametrize(
    ("pairs", "score"),
    [(mse_pairs, mse), (ssim_pairs, ssim), (correlation_pairs, pixel_correlation)],
)
def test_all_pairs_are_the_scores_one_by_one(sides, pairs, score):
    np.testing.assert_allclose(pairs(*sides), by_loop(score, *sides), atol=1e-12)


def test_pairs_that_are_cut_into_pieces_are_the_same(rng, monkeypatch):
    predicted, true = rng.random((2, 3, 1, 9, 9))
    whole = ssim_pairs(predicted, true)
    monkeypatch.setattr("brainreel.metrics.image_pairs._AT_ONCE", 1)
    np.testing.assert_array_equal(ssim_pairs(predicted, true), whole)


def test_plain_pictures_have_an_ssim_and_no_correlation(rng):
    predicted, true = rng.random((2, 3, 1, 9, 9))
    true[1] = 0.7
    assert np.isnan(correlation_pairs(predicted, true)[:, 1]).all()
    assert np.isfinite(correlation_pairs(predicted, true)[:, ::2]).all()
    np.testing.assert_allclose(ssim_pairs(predicted, true), by_loop(ssim, predicted, true))
    assert ssim_pairs(true, true)[1, 1] == pytest.approx(1.0)
    # A plain reconstruction has told nothing, and is not left out for it.
    np.testing.assert_array_equal(correlation_pairs(true, predicted)[1], np.zeros(3))


def test_distances_of_near_vectors_far_from_zero_do_not_cancel(rng):
    x = 1e4 + rng.random((3, 20))
    expected = [[np.sum((a - b) ** 2) for b in x] for a in x]
    np.testing.assert_allclose(squared_distance_pairs(x, x), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_perceptual_distance_is_that_of_its_formula(rng, weighted):
    shapes = [(4, 3, 5), (2, 6, 1)]
    maps = [[rng.standard_normal((n, *shape)) for shape in shapes] for n in (3, 2)]
    weights = [rng.random(shape[0]) for shape in shapes] if weighted else None
    vectors = [perceptual_vectors(side, weights) for side in maps]
    expected = np.zeros((3, 2))
    for layer, (c, h, w) in enumerate(shapes):
        for i, x in enumerate(maps[0][layer]):
            for j, y in enumerate(maps[1][layer]):
                for row in range(h):
                    for column in range(w):
                        a, b = x[:, row, column], y[:, row, column]
                        gap = (a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2
                        own = np.ones(c) if weights is None else weights[layer]
                        expected[i, j] += np.sum(own * gap) / (h * w)
    np.testing.assert_allclose(squared_distance_pairs(*vectors), expected, rtol=1e-5)


def test_bad_input_is_refused(rng):
    pictures = rng.random((2, 1, 9, 9))
    with pytest.raises(DataError, match="too small for SSIM"):
        ssim_pairs(pictures[..., :5], pictures[..., :5])
    with pytest.raises(DataError, match="true"):
        mse_pairs(pictures, pictures[..., :8])
    with pytest.raises(DataError, match="NaN"):
        mse_pairs(np.where(pictures > 0.5, np.nan, pictures), pictures)
    with pytest.raises(DataError, match="at least one layer"):
        perceptual_vectors([])
    with pytest.raises(DataError, match="must not be negative"):
        perceptual_vectors([pictures], [np.array([-1.0])])
    with pytest.raises(DataError, match="weights"):
        perceptual_vectors([pictures], [np.ones(2)])
