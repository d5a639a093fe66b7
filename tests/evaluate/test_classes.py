from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainreel.data.labelled_samples import Labelled
from brainreel.data.samples import Fold
from brainreel.evaluate.classes import (
    class_table,
    join_folds,
    labelled_facts,
    score_classes,
    score_labelled,
)
from brainreel.evaluate.run import fitted_on_test
from brainreel.files import read_json
from brainreel.metrics.ranking import average_precision, topk_accuracy
from brainreel.train.class_predictions import ClassPrediction
from brainreel.train.fit import FittedRun
from brainreel.train.prediction_files import save_predictions
from brainreel.train.recipe import RunConfig, ScoringConfig

SCORING = ScoringConfig(n_permutations=200, n_bootstrap=200)
VERBS, NOUNS = ("open", "close"), tuple(f"noun-{i}" for i in range(7))


def epic(n: int = 60, seed: int = 0, **changed: Any) -> ClassPrediction:
    """Verbs that are right four times in five, nouns three times in five; some lack a noun."""
    rng = np.random.default_rng(seed)
    verb, noun = rng.integers(0, 2, n), rng.integers(0, 7, n)
    targets = np.concatenate([np.eye(2)[verb], np.eye(7)[noun]], axis=1).astype(np.int8)
    scores = rng.random((n, 9)).astype(np.float32)
    sure_verb, sure_noun = rng.random(n) < 0.6, rng.random(n) < 0.5
    scores[np.flatnonzero(sure_verb), verb[sure_verb]] += 1
    scores[np.flatnonzero(sure_noun), 2 + noun[sure_noun]] += 1
    given: dict[str, Any] = {
        "split": "given",
        "fold": "given",
        "subject": "",
        "scores": scores,
        "targets": targets,
        "prior": np.array([0.7, 0.3, 0.4, 0.2, 0.1, 0.1, 0.1, 0.1, 0.0], dtype=np.float32),
        "items": tuple(f"clip-{i}" for i in range(n)),
        "n_views": np.full(n, 3),
        "classes": {"verb": VERBS, "noun": NOUNS},
    }
    return ClassPrediction(**{**given, **changed})


def test_scores_equal_a_loop_over_items() -> None:
    given = epic()
    scores = score_classes(join_folds([given]), SCORING, 0)
    assert list(scores) == [
        "verb_top1", "verb_map", "noun_top1", "noun_top5", "noun_map", "action_top1"
    ]  # fmt: skip
    right = []
    for row, target in zip(given.scores, given.targets, strict=True):
        verb = row[:2].argmax() == target[:2].argmax()
        noun = row[2:].argmax() == target[2:].argmax()
        five = target[2:].argmax() in np.argsort(-row[2:])[:5]
        right.append((verb, noun, five, verb and noun))
    verb, noun, five, action = np.mean(right, axis=0)
    assert scores["verb_top1"].value == pytest.approx(verb)
    assert scores["noun_top1"].value == pytest.approx(noun)
    assert scores["noun_top5"].value == pytest.approx(five)
    assert scores["action_top1"].value == pytest.approx(action)
    expected = np.nanmean(average_precision(given.scores[:, 2:], given.targets[:, 2:]))
    assert scores["noun_map"].value == pytest.approx(expected)


def test_baselines_name_the_commonest_training_class() -> None:
    given = epic()
    scores = score_classes(join_folds([given]), SCORING, 0)
    assert scores["verb_top1"].baseline == pytest.approx(given.targets[:, 0].mean())
    assert scores["noun_top1"].baseline == pytest.approx(given.targets[:, 2].mean())
    both = given.targets[:, 0] * given.targets[:, 2]
    assert scores["action_top1"].baseline == pytest.approx(both.mean())
    prevalence = given.targets[:, 2:].mean(axis=0)
    assert scores["noun_map"].baseline == pytest.approx(prevalence[prevalence > 0].mean())


def test_shuffled_items_fall_to_chance_and_resamples_lie_around_the_score() -> None:
    scores = score_classes(join_folds([epic(200)]), SCORING, 0)
    assert scores["verb_top1"].null.mean() == pytest.approx(0.5, abs=0.03)
    assert scores["noun_top1"].null.mean() == pytest.approx(1 / 7, abs=0.02)
    assert scores["noun_top5"].null.mean() == pytest.approx(5 / 7, abs=0.03)
    for score in scores.values():
        assert score.resamples.mean() == pytest.approx(score.value, abs=0.03)
        assert len(score.null) == len(score.resamples) == 200
        assert score.value > score.null.max()
        assert score.n_blocks == 200


def test_nothing_learned_is_not_significant() -> None:
    rng = np.random.default_rng(1)
    given = epic(scores=rng.random((60, 9)).astype(np.float32))
    for score in score_classes(join_folds([given]), SCORING, 0).values():
        assert np.mean(score.null >= score.value) > 0.02


def test_one_label_has_plain_names_and_several_classes_have_no_top1() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((30, 3)) < 0.4).astype(np.int8)
    tags = epic(
        30, scores=rng.random((30, 3)).astype(np.float32), targets=targets,
        prior=np.full(3, 0.4, np.float32), classes={"tag": ("a", "b", "c")},
        several=frozenset({"tag"}),
    )  # fmt: skip
    scores = score_classes(join_folds([tags]), SCORING, 0)
    assert list(scores) == ["map"]
    assert np.isnan(class_table(join_folds([tags]))["accuracy"]).all()


def test_folds_are_joined_and_items_without_a_label_left_out() -> None:
    one, two = epic(20), epic(30, seed=2)
    two.targets[:10, 2:] = -1
    verb, noun = join_folds([one, two])
    assert (len(verb.rows), len(noun.rows)) == (50, 40)
    scores = score_classes([verb, noun], SCORING, 0)
    # Verb and noun are not known of the same items, so there is no action.
    assert "action_top1" not in scores
    found = np.concatenate([one.scores[:, 2:], two.scores[10:, 2:]])
    true = np.concatenate([one.targets[:, 2:], two.targets[10:, 2:]]).argmax(axis=1)
    assert scores["noun_top1"].value == pytest.approx(topk_accuracy(found, true).mean())


def test_the_table_of_classes_equals_a_loop() -> None:
    given = epic()
    table = class_table(join_folds([given]))
    assert list(table["name"]) == [*VERBS, *NOUNS]
    assert list(table["label"]) == ["verb"] * 2 + ["noun"] * 7
    confusion = np.zeros((7, 7))
    for row, target in zip(given.scores, given.targets, strict=True):
        confusion[target[2:].argmax(), row[2:].argmax()] += 1
    assert np.array_equal(table["confusion_noun"], confusion)
    assert np.array_equal(table["n_items"][2:], confusion.sum(axis=1))
    assert table["accuracy"][2:] == pytest.approx(np.diag(confusion) / confusion.sum(axis=1))
    expected = average_precision(given.scores[:, 2:], given.targets[:, 2:])
    assert table["average_precision"][2:] == pytest.approx(expected)


def test_one_item_or_one_class_gives_no_interval() -> None:
    scores = score_classes(join_folds([epic(1)]), SCORING, 0)
    for score in scores.values():
        assert score.resamples.size == 0
        assert score.null.size == 0


def run_of(tmp_path: Path, given: list[ClassPrediction]) -> FittedRun:
    config = RunConfig.parse(
        {
            "data": {"name": "series", "path": tmp_path / "x.npz", "bold_key": "b", "tr_s": 1},
            "model": {"name": "ridge"},
            "task": {"name": "feature_ridge"},
            "scoring": SCORING.to_dict(),
        }
    )
    data = Labelled((), {"verb": VERBS, "noun": NOUNS}, ())
    save_predictions(tmp_path, given)
    return FittedRun(config, data, {}, tmp_path)


def test_cards_say_what_was_not_read_and_what_was_never_trained(tmp_path: Path) -> None:
    given = [epic(notes=("given: 1 of 61 test items could not be read.",))]
    (card,) = score_labelled(run_of(tmp_path, given), given, tmp_path)
    assert card.notes == (
        "given: 1 of 61 test items could not be read.",
        "1 of 7 classes of 'noun' are tested and have no training item, so they cannot be named "
        "right: noun-6.",
    )
    assert card.intervals.keys() == card.scores.keys() == card.p_values.keys()
    assert card.data["tested"]["verb"]["chance_top1"] == 0.5
    assert card.data["tested"]["noun"]["chance_top5"] == pytest.approx(5 / 7)
    (entry,) = read_json(tmp_path / "index.json")
    with np.load(tmp_path / entry["classes"]) as stored:
        assert len(stored["name"]) == 9


def test_several_splits_are_told_apart(tmp_path: Path) -> None:
    given = [epic(), epic(split="random", fold="random", seed=3)]
    cards = score_labelled(run_of(tmp_path, given), given, tmp_path)
    assert [next(iter(card.scores)) for card in cards] == ["given:verb_top1", "random:verb_top1"]
    assert {path.name for path in tmp_path.glob("classes_*")} == {
        "classes_given.npz", "classes_random.npz"
    }  # fmt: skip


def test_facts_count_items_and_classes() -> None:
    facts = labelled_facts(Labelled((), {"verb": VERBS, "noun": NOUNS}, ()))
    assert facts == {"n_items": 0, "classes": {"verb": 2, "noun": 7}}


def test_validation_items_in_the_test_are_fitted_on_test() -> None:
    assert fitted_on_test(Fold("s", "f", validation_trials=(1, 2), test_trials=(2, 3)))
    assert not fitted_on_test(Fold("s", "f", train_trials=(0,), test_trials=(2, 3)))
