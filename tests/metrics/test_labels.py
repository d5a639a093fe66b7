from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import (
    balanced_accuracy_score,
    mean_absolute_error,
    roc_auc_score,
    roc_curve,
)

from brainreel.errors import DataError, ShapeError
from brainreel.metrics import labels

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_classes_against_scikit_learn(n_classes: int) -> None:
    for _ in range(5):
        true = np.append(np.arange(n_classes), RNG.integers(0, n_classes, 30))
        scores = RNG.integers(1, 6, (len(true), n_classes)).astype(float)  # with ties
        scores /= scores.sum(axis=1, keepdims=True)
        told = scores.argmax(axis=1)
        ours = labels.balanced_accuracy(told, true)
        assert ours == pytest.approx(balanced_accuracy_score(true, told))
        given = scores[:, 1] if n_classes == 2 else scores
        expected = roc_auc_score(true, given, multi_class="ovr", average="macro")
        assert labels.macro_auroc(scores, true) == pytest.approx(expected)


def test_the_curve_and_its_area() -> None:
    scores, positive = RNG.integers(0, 6, 40).astype(float), RNG.random(40) < 0.4
    false, true = labels.roc_curve(scores, positive)
    theirs = roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(false, theirs[0])
    np.testing.assert_allclose(true, theirs[1])
    assert np.trapezoid(true, false) == pytest.approx(labels.auroc(scores, positive))
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    assert labels.auroc(scores, positive) == pytest.approx(np.mean(pairs))


def test_numbers_against_their_witnesses() -> None:
    told, true = RNG.normal(30, 5, 20), RNG.normal(30, 5, 20)
    assert labels.mean_absolute_error(told, true) == pytest.approx(mean_absolute_error(true, told))
    assert labels.correlation_of(told, true) == pytest.approx(pearsonr(told, true)[0])


def test_knowing_nothing_scores_chance() -> None:
    true = np.array([0, 0, 0, 1, 2, 2])
    assert labels.balanced_accuracy(np.zeros(6, int), true) == pytest.approx(1 / 3)
    assert labels.macro_auroc(np.full((6, 3), 1 / 3), true) == 0.5
    assert labels.correlation_of(np.full(6, 31.0), np.arange(6.0)) == 0


def test_what_is_not_defined_is_nan_or_left_out() -> None:
    scores = RNG.random((4, 3))
    assert np.isnan(labels.auroc(scores[:, 0], np.ones(4, bool)))
    assert np.isnan(labels.macro_auroc(scores[:, :2], np.zeros(4, int)))
    assert np.isnan(labels.correlation_of(scores[:, 0], np.ones(4)))
    assert np.isnan(labels.correlation_of(np.ones(1), np.ones(1)))
    assert np.isnan(labels.balanced_accuracy(np.zeros(0, int), np.zeros(0, int)))
    true = np.array([0, 0, 2, 2])
    expected = np.mean([labels.auroc(scores[:, k], true == k) for k in (0, 2)])
    assert labels.macro_auroc(scores, true) == pytest.approx(expected)
    with pytest.raises(DataError, match="scores"):
        labels.auroc(np.array([np.nan, 1.0]), np.array([True, False]))
    with pytest.raises(ShapeError, match="told has 2 along axis N"):
        labels.balanced_accuracy(np.zeros(2, int), true)
