from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, top_k_accuracy_score
from torchmetrics.functional.classification import multilabel_average_precision

from brainreel.errors import DataError
from brainreel.metrics.ranking import (
    average_precision,
    mean_average_precision,
    n_way_classification,
    n_way_identification,
    pairwise_identification,
    topk_accuracy,
)


def _by_hand(true: float, drawn: list[float], top_k: int) -> float:
    """Chance to be among the k best of a trial when ties are broken at random."""
    better = sum(other > true for other in drawn)
    ties = sum(other == true for other in drawn)
    return float(np.clip((top_k - better) / (ties + 1), 0, 1))


@pytest.mark.parametrize(("n_way", "top_k"), [(2, 1), (3, 1), (4, 2), (7, 1), (7, 6)])
def test_equal_to_a_loop_over_all_draws(rng, n_way, top_k):
    similarity = rng.integers(0, 5, size=(6, 7)).astype(float)
    found = n_way_identification(similarity, n_way, top_k=top_k)
    for i in range(6):
        others = [j for j in range(7) if j != i]
        trials = [
            _by_hand(similarity[i, i], [similarity[i, j] for j in drawn], top_k)
            for drawn in combinations(others, n_way - 1)
        ]
        assert found.per_item[i] == pytest.approx(np.mean(trials))
    assert found.chance == pytest.approx(top_k / n_way)


def test_trials_come_to_the_expectation(rng):
    similarity = np.round(rng.standard_normal((20, 20)) + np.eye(20), 1)
    exact = n_way_identification(similarity, 5, top_k=2)
    drawn = n_way_identification(similarity, 5, top_k=2, n_trials=20000, rng=rng)
    error = np.sqrt(exact.per_item * (1 - exact.per_item) / 20000)
    assert np.all(np.abs(drawn.per_item - exact.per_item) <= 4.5 * error + 1e-12)


def test_trials_have_the_law_of_a_loop(rng):
    similarity = rng.standard_normal((1, 9))
    found = n_way_identification(similarity, 4, n_trials=4000, rng=rng).per_item[0]
    loop = np.mean(
        [
            similarity[0, 0] > max(similarity[0, rng.choice(np.arange(1, 9), 3, replace=False)])
            for _ in range(4000)
        ]
    )
    assert found == pytest.approx(loop, abs=4.5 * np.sqrt(2 * 0.25 / 4000))


def test_no_information_is_chance_and_perfect_is_one():
    assert n_way_identification(np.zeros((10, 10)), 5).accuracy == pytest.approx(0.2)
    assert n_way_identification(np.eye(10), 10).accuracy == 1.0
    assert n_way_identification(-np.eye(10), 2).accuracy == 0.0


def test_pairwise_is_the_share_of_pairs_won(rng):
    similarity = np.round(rng.standard_normal((12, 12)), 1)
    won = [
        np.mean([np.sign(s[i] - s[j]) / 2 + 0.5 for j in range(12) if j != i])
        for i, s in enumerate(similarity)
    ]
    np.testing.assert_allclose(pairwise_identification(similarity).per_item, won)


@pytest.mark.parametrize(("n_way", "top_k"), [(2, 1), (4, 1), (5, 3)])
@pytest.mark.parametrize("columns", [9, 11])
def test_influence_equals_leaving_items_out_one_by_one(rng, n_way, top_k, columns):
    similarity = rng.integers(0, 6, size=(9, columns)).astype(float)
    similarity[3] = 2.0
    whole = n_way_identification(similarity, n_way, top_k=top_k)
    for i in range(9):
        left = np.delete(np.delete(similarity, i, axis=0), i, axis=1)
        without = n_way_identification(left, n_way, top_k=top_k).accuracy
        assert whole.influence[i] == pytest.approx(9 * whole.accuracy - 8 * without)


def test_influence_of_all_candidates_at_once_is_finite(rng):
    found = n_way_identification(rng.standard_normal((6, 6)), 6)
    assert np.isfinite(found.influence).all()
    assert np.isfinite(n_way_identification(np.eye(2), 2).influence).all()


def test_n_way_classification_equals_a_loop(rng):
    scores = rng.integers(0, 6, size=(5, 8)).astype(float)
    labels = rng.integers(0, 8, size=5)
    found = n_way_classification(scores, labels, 4, top_k=2)
    for b in range(5):
        others = [k for k in range(8) if k != labels[b]]
        trials = [
            _by_hand(scores[b, labels[b]], list(scores[b, list(drawn)]), 2)
            for drawn in combinations(others, 3)
        ]
        assert found[b] == pytest.approx(np.mean(trials))
    drawn = n_way_classification(scores, labels, 4, top_k=2, n_trials=20000, rng=rng)
    np.testing.assert_allclose(drawn, found, atol=0.02)


@pytest.mark.parametrize("k", [1, 3])
def test_top_k_equals_scikit_learn(rng, k):
    scores, labels = rng.standard_normal((60, 7)), rng.integers(0, 7, size=60)
    expected = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(7))
    assert topk_accuracy(scores, labels, k).mean() == pytest.approx(expected)


def test_top_k_of_ties_is_the_chance_of_a_random_order():
    scores = np.array([[0.5, 0.5, 0.9, 0.5]])
    assert topk_accuracy(scores, np.array([0]), 1)[0] == 0.0
    assert topk_accuracy(scores, np.array([0]), 2)[0] == pytest.approx(1 / 3)
    assert topk_accuracy(scores, np.array([0]), 4)[0] == 1.0


@pytest.mark.parametrize("decimals", [1, 9])
def test_average_precision_equals_scikit_learn_and_torchmetrics(rng, decimals):
    scores = np.round(rng.uniform(size=(80, 5)), decimals)
    targets = (rng.uniform(size=(80, 5)) < 0.3).astype(int)
    expected = average_precision_score(targets, scores, average=None)
    np.testing.assert_allclose(average_precision(scores, targets), expected, rtol=1e-12)
    witness = multilabel_average_precision(
        torch.tensor(scores), torch.tensor(targets), num_labels=5, average="macro"
    )
    found = mean_average_precision(scores, targets)
    assert found == (pytest.approx(float(witness)), 5, 0)


def test_a_class_without_a_positive_is_counted_and_left_out(rng):
    targets = np.zeros((6, 2))
    targets[:2, 0] = 1
    found = mean_average_precision(np.arange(12.0).reshape(6, 2), targets)
    assert (found.n_used, found.n_excluded) == (1, 1)
    assert np.isnan(mean_average_precision(np.ones((3, 2)), np.zeros((3, 2))).value)


def test_bad_input_is_named(rng):
    square = rng.standard_normal((5, 5))
    with pytest.raises(DataError, match="6-way identification cannot be made with 5 candidates"):
        n_way_identification(square, 6)
    with pytest.raises(DataError, match="top 3 of 3 is no test"):
        n_way_identification(square, 3, top_k=3)
    with pytest.raises(DataError, match="4 candidates for 5 items"):
        n_way_identification(square[:, :4], 2)
    with pytest.raises(DataError, match="give n_trials, rng"):
        n_way_identification(square, 2, n_trials=10)
    with pytest.raises(DataError, match="similarity holds 1 NaN"):
        n_way_identification(np.where(np.eye(5), [0, np.nan, 0, 0, 0], 1.0), 2)
    with pytest.raises(DataError, match="true_class runs from 0 to 5"):
        topk_accuracy(square, np.arange(5) + np.array([0, 0, 0, 0, 1]))
    with pytest.raises(DataError, match="top 6 of 5 classes"):
        topk_accuracy(square, np.arange(5), 6)
    with pytest.raises(DataError, match="targets must be 0 or 1"):
        average_precision(square, square)
