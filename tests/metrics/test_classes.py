from __future__ import annotations

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.metrics.classes import confusion, resampled_map, shuffled_map, topk_credit
from brainreel.metrics.ranking import mean_average_precision, topk_accuracy

RNG = np.random.default_rng(0)
TIED = RNG.integers(0, 4, size=(30, 5)).astype(np.float64)
TARGETS = (RNG.random((30, 5)) < 0.3).astype(np.int8)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_credit_of_the_true_class_is_topk_accuracy(k: int) -> None:
    credit = topk_credit(TIED, k)
    for c in range(5):
        assert credit[:, c] == pytest.approx(topk_accuracy(TIED, np.full(30, c), k))
    assert credit.sum(axis=1) == pytest.approx(k)
    with pytest.raises(DataError, match="top 6 of 5 classes"):
        topk_credit(TIED, 6)


def test_confusion_equals_a_loop() -> None:
    predicted, true = RNG.integers(0, 4, 50), RNG.integers(0, 4, 50)
    expected = np.zeros((4, 4), int)
    for p, t in zip(predicted, true, strict=True):
        expected[t, p] += 1
    assert np.array_equal(confusion(predicted, true, 4), expected)


def test_resamples_equal_copied_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainreel.metrics.classes._CELLS", 70)
    drawn = RNG.integers(0, 30, size=(7, 30))
    counts = np.stack([np.bincount(rows, minlength=30) for rows in drawn])
    expected = [mean_average_precision(TIED[rows], TARGETS[rows]).value for rows in drawn]
    assert resampled_map(TIED, TARGETS, counts) == pytest.approx(expected)


def test_shuffles_equal_shuffled_rows() -> None:
    orders = np.stack([RNG.permutation(30) for _ in range(6)])
    expected = [mean_average_precision(TIED, TARGETS[order]).value for order in orders]
    assert shuffled_map(TIED, TARGETS, orders) == pytest.approx(expected)


def test_a_resample_without_positives_is_undefined() -> None:
    targets = np.zeros((4, 2), int)
    targets[0] = 1
    counts = np.array([[0, 2, 2, 0], [1, 1, 1, 1]])
    found = resampled_map(TIED[:4, :2], targets, counts)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(mean_average_precision(TIED[:4, :2], targets).value)


def test_targets_must_be_0_or_1() -> None:
    with pytest.raises(DataError, match="targets must be 0 or 1"):
        shuffled_map(TIED, TARGETS - 1, np.arange(30)[None])
