from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, kstest

from brainreel.errors import DataError
from brainreel.metrics.correlation import correlation_similarity
from brainreel.metrics.identification import (
    identification_interval,
    pairing_null,
    segment_identification,
    segment_identification_null,
)
from brainreel.metrics.permutation import permutation_p
from brainreel.metrics.ranking import n_way_identification, pairwise_identification
from brainreel.metrics.surrogates import surrogate_orders

from .noise import ar1, haemodynamic, joined, numbered

SIZES = [33, 47]


def _similarity_by_copies(predicted, measured, segment_trs, sizes):
    windows = []
    for side in (measured, predicted):
        cut, first = [], 0
        for size in sizes:
            part = side[first : first + size] - side[first : first + size].mean(axis=0)
            n = size // segment_trs
            cut += [part[i * segment_trs : (i + 1) * segment_trs].ravel() for i in range(n)]
            first += size
        windows.append(np.array(cut))
    return correlation_similarity(*windows)


def test_similarity_of_windows_equals_copies(rng):
    measured = joined(ar1, rng, SIZES, 6) + 3
    predicted = measured + joined(ar1, rng, SIZES, 6)
    found = segment_identification(
        predicted, measured, segment_trs=5, n_way=4, segments=numbered(SIZES)
    )
    expected = _similarity_by_copies(predicted, measured, 5, SIZES)
    np.testing.assert_allclose(found.similarity, expected, atol=1e-12)
    per_item = n_way_identification(expected, 4).per_item
    np.testing.assert_allclose(found.identification.per_item, per_item)
    np.testing.assert_array_equal(found.first_rows[5:8], [25, 33, 38])
    np.testing.assert_array_equal(found.segments, [0] * 6 + [1] * 9)
    assert found.n_dropped == 5


def test_null_equals_a_loop_over_reordered_predictions(rng):
    segments = numbered(SIZES)
    measured, predicted = joined(ar1, rng, SIZES, 4), joined(haemodynamic, rng, SIZES, 4)
    options = {"segment_trs": 6, "n_way": 3, "segments": segments}
    null = segment_identification_null(
        predicted, measured, n_permutations=12, block_trs=5, rng=np.random.default_rng(9), **options
    )
    orders = surrogate_orders(
        80, n=12, block_trs=5, rng=np.random.default_rng(9), segments=segments
    )
    loop = [
        segment_identification(predicted[order], measured, **options).identification.accuracy
        for order in orders
    ]
    np.testing.assert_allclose(null, loop)


def test_a_pattern_that_is_always_there_identifies_nothing(rng):
    pattern = 20 * rng.standard_normal((2, 30)).repeat(60, axis=0)
    found = segment_identification(
        haemodynamic(rng, 120, 30) + pattern, ar1(rng, 120, 30) + pattern,
        segment_trs=6, n_way=2, segments=numbered([60, 60]),
    )  # fmt: skip
    assert found.identification.accuracy < 0.75


def test_a_prediction_without_variance_scores_chance(rng):
    found = segment_identification(np.zeros((40, 3)), ar1(rng, 40, 3), segment_trs=5, n_way=4)
    assert found.identification.accuracy == pytest.approx(0.25)


def test_p_of_identification_is_uniform_under_the_null():
    rng = np.random.default_rng(31)
    p = []
    for _ in range(200):
        measured, predicted = ar1(rng, 120, 5), haemodynamic(rng, 120, 5)
        options = {"segment_trs": 8, "n_way": 2}
        found = segment_identification(predicted, measured, **options)
        null = segment_identification_null(
            predicted, measured, n_permutations=60, block_trs=10, rng=rng, **options
        )
        p.append(permutation_p(found.identification.accuracy, null))
    assert kstest(p, "uniform").pvalue > 0.001
    assert np.count_nonzero(np.array(p) <= 0.05) <= binom.ppf(0.999, 200, 0.05)


def test_pairing_null_equals_a_loop(rng):
    similarity = np.round(rng.standard_normal((8, 8)), 1)
    null = pairing_null(similarity, 3, n_permutations=10, rng=np.random.default_rng(4))
    again = np.random.default_rng(4)
    for value in null:
        truth = again.permutation(8)
        total = 0.0
        for i in range(8):
            swapped = similarity[i].copy()
            swapped[[i, truth[i]]] = swapped[[truth[i], i]]
            total += n_way_identification(
                np.vstack([swapped if j == i else np.zeros(8) for j in range(8)]), 3
            ).per_item[i]
        assert value == pytest.approx(total / 8)


def test_p_of_pairing_is_uniform_under_the_null():
    rng = np.random.default_rng(13)
    p = []
    for _ in range(300):
        similarity = correlation_similarity(*rng.standard_normal((2, 15, 10)))
        null = pairing_null(similarity, 2, n_permutations=99, rng=rng)
        p.append(permutation_p(pairwise_identification(similarity).accuracy, null))
    assert kstest(p, "uniform").pvalue > 0.001


@pytest.mark.parametrize("n_way", [2, 5])
@pytest.mark.parametrize("own", [0.0, 1.0])
def test_the_interval_covers_where_distractors_differ(n_way, own):
    """Some pictures are like everything, their own reconstruction included or not."""
    rng = np.random.default_rng([n_way, int(own)])

    def draw(n):
        strength = 1.5 * rng.standard_normal(n)
        level = strength[None, :] * (1 - (1 - own) * np.eye(n))
        return rng.standard_normal((n, n)) + 1.5 * np.eye(n) + level

    true = np.mean([n_way_identification(draw(400), n_way).accuracy for _ in range(30)])
    covered, alone, n_studies = 0, 0, 200
    for _ in range(n_studies):
        found = n_way_identification(draw(40), n_way)
        interval = identification_interval(found, n=200, rng=rng)
        covered += interval.low <= true <= interval.high
        error = found.per_item.std(ddof=1) / np.sqrt(40)
        alone += abs(found.accuracy - true) <= 2.02 * error
    low, high = binom.ppf([0.0001, 0.9999], n_studies, 0.95)
    assert low <= covered <= high
    # Without the part as a distractor the interval is too narrow or too wide.
    assert alone < low if own == 0.0 else alone > covered


def test_the_interval_stays_between_0_and_1(rng):
    similarity = np.eye(12) * 3 + rng.standard_normal((12, 12)) * 0.8
    interval = identification_interval(n_way_identification(similarity, 12), n=200, rng=rng)
    assert 0 <= interval.low <= interval.high <= 1


def test_without_a_single_miss_the_interval_is_the_binomial_one(rng):
    for sign, end in ((1, "high"), (-1, "low")):
        found = n_way_identification(sign * np.eye(9), 2)
        interval = identification_interval(found, n=50, rng=rng)
        exact = binomtest(9 * (sign > 0), 9).proportion_ci(method="exact")
        np.testing.assert_allclose(interval[:2], [exact.low, exact.high])
        assert getattr(interval, end) == found.accuracy


def test_bad_input_is_named(rng):
    x = ar1(rng, 20, 2)
    with pytest.raises(DataError, match="20 test TRs hold 4 windows of 5 TRs; 5-way"):
        segment_identification(x, x, segment_trs=5, n_way=5)
    with pytest.raises(DataError, match="a window of 0 TRs"):
        segment_identification(x, x, segment_trs=0, n_way=2)
    with pytest.raises(DataError, match="as many candidates as items"):
        pairing_null(np.zeros((3, 4)), 2, n_permutations=2, rng=rng)
