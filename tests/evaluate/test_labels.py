"""Labels of people, from what was told to the card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from brainreel.evaluate.labels import people_table, score_label
from brainreel.evaluate.parts import card_of
from brainreel.train.label_predictions import LabelPrediction, joined_labels
from brainreel.train.prediction_files import load_predictions, save_predictions
from brainreel.train.recipe import ScoringConfig

RNG = np.random.default_rng(0)
SCORING = ScoringConfig(n_permutations=200, n_bootstrap=200)


def told(n: int, n_classes: int, knows: float, fold: str = "f-1") -> LabelPrediction:
    targets = np.arange(n) % max(n_classes, 1)
    if n_classes:
        scores = RNG.random((n, n_classes))
        scores[np.arange(n), targets] += knows
        scores /= scores.sum(axis=1, keepdims=True)
        prior = np.tile([0.6, *[0.4 / (n_classes - 1)] * (n_classes - 1)], (n, 1))
    else:
        targets = RNG.normal(30, 5, n)
        scores = (knows * targets + (1 - knows) * RNG.normal(30, 5, n))[:, None]
        prior = np.full((n, 1), 28.0)
    return LabelPrediction(
        split="f", fold=fold, subject="", label="group" if n_classes else "age",
        classes=("a", "b", "c")[:n_classes], scores=scores, targets=targets.astype(float),
        prior=prior, people=tuple(f"sub-{fold}{i}" for i in range(n)),
        n_windows=np.full(n, 3), notes=(f"note of {fold}",),
    )  # fmt: skip


@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_are_scored_together(n_classes: int) -> None:
    folds = [told(20, n_classes, 0.5, "f-1"), told(13, n_classes, 0.5, "f-2")]
    test = joined_labels(folds)
    scores = score_label(test, SCORING, 0)
    found = test.scores.argmax(axis=1)
    balanced, area = scores["balanced_accuracy"], scores["auroc"]
    assert balanced.value == pytest.approx(balanced_accuracy_score(test.targets, found))
    given = test.scores[:, 1] if n_classes == 2 else test.scores
    assert area.value == pytest.approx(roc_auc_score(test.targets, given, multi_class="ovr"))
    assert scores["accuracy"].value == pytest.approx((found == test.targets).mean())
    assert balanced.baseline == pytest.approx(1 / n_classes)
    assert area.baseline == 0.5
    assert scores["accuracy"].baseline == pytest.approx((test.targets == 0).mean())
    assert abs(np.nanmean(area.null) - 0.5) < 0.03
    assert abs(np.nanmean(area.resamples) - area.value) < 0.03
    assert area.n_blocks == 33


def test_numbers_have_error_and_correlation() -> None:
    test = told(40, 0, 0.7)
    scores = score_label(test, SCORING, 0)
    off = np.abs(test.scores[:, 0] - test.targets)
    assert scores["mae"].value == pytest.approx(off.mean())
    assert scores["mae"].lower_is_better
    assert scores["mae"].baseline == pytest.approx(np.abs(28 - test.targets).mean())
    expected = np.corrcoef(test.scores[:, 0], test.targets)[0, 1]
    assert scores["r"].value == pytest.approx(expected)
    assert scores["mae"].null.min() > scores["mae"].value


@pytest.mark.parametrize("unit", [1.0, 365.25, 3e7])
def test_the_same_answer_for_everybody_ties_with_every_surrogate(unit: float) -> None:
    test = told(31, 0, 0.0)
    same = replace(test, targets=unit * test.targets, scores=np.full((31, 1), unit * 30.1))
    card = card_of("", score_label(same, SCORING, 0), level=0.95)
    assert card.p_values == {"mae": 1, "r": 1}


def test_the_null_of_no_knowledge_is_passed_as_often_as_it_should() -> None:
    few = ScoringConfig(n_permutations=19, n_bootstrap=0)
    beyond = 0
    for seed in range(200):
        scores = score_label(told(24, 2, 0.0), few, seed)["auroc"]
        beyond += scores.value > scores.null.max()
    assert beyond < 0.05 * 200 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_a_table_of_people_and_files_that_come_back(tmp_path: Path) -> None:
    folds = [told(3, 2, 0.5, "f-1"), told(2, 2, 0.5, "f-2")]
    head, first, *rest = people_table(folds).splitlines()
    assert head.split("\t") == [
        "participant_id", "fold", "group", "group_told", "p_a", "p_b", "n_windows"
    ]  # fmt: skip
    assert first.split("\t")[:3] == ["sub-f-10", "f-1", "a"]
    assert len(rest) == 4
    save_predictions(tmp_path, folds)
    for one, two in zip(load_predictions(tmp_path), folds, strict=True):
        assert isinstance(one, LabelPrediction)
        assert (one.people, one.classes, one.label) == (two.people, two.classes, two.label)
        assert one.notes == two.notes
        for name in ("scores", "targets", "prior", "n_windows"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    numbers = people_table([told(2, 0, 0.5)]).splitlines()
    assert numbers[0].split("\t") == ["participant_id", "fold", "age", "age_told", "n_windows"]


def test_one_person_has_a_score_and_no_interval() -> None:
    scores = score_label(told(1, 2, 0.5), SCORING, 0)
    assert np.isnan(scores["auroc"].value)
    assert scores["accuracy"].resamples.size == 0
