from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.classes import make_class_figures, read_class_tables
from brainreel.report.page import write_report
from brainreel.report.protocol import tell
from brainreel.report.runs import RunRecord, read_run
from brainreel.report.words import ScoreName


def run_with(folder: Path, labels: dict[str, int], *, several: bool = False) -> RunRecord:
    """A scored run of a classifier, as the evaluation leaves it."""
    home, rng = folder / "predictions", np.random.default_rng(0)
    home.mkdir(parents=True)
    (folder / "config.yaml").write_text("model: {name: vit}\n")
    scores = {"top1": 0.5} if len(labels) == 1 else {"verb_top1": 0.5, "action_top1": 0.25}
    Scorecard(
        "Two labels",
        scores=scores,
        intervals=dict.fromkeys(scores, (0.2, 0.6)),
        baselines=dict.fromkeys(scores, 0.1),
        protocol={"scoring": {"n_permutations": 9, "n_bootstrap": 9, "level": 0.9}},
    ).save(folder / "scorecard.json")
    k = sum(labels.values())
    table: dict[str, np.ndarray] = {
        "label": np.repeat(list(labels), list(labels.values())),
        "name": np.array([f"class <{i}>" for n in labels.values() for i in range(n)]),
        "n_items": np.full(k, 10),
        "average_precision": rng.random(k),
        "accuracy": np.full(k, np.nan) if several else rng.random(k),
    }
    table["average_precision"][-1] = np.nan
    if not several:
        table |= {f"confusion_{label}": rng.integers(0, 4, (n, n)) for label, n in labels.items()}
    np.savez(home / "classes_given.npz", **table)
    entry = {"file": "given.npz", "kind": "classes", "split": "given", "fold": "given"}
    index = [{**entry, "subject": "", "classes": "classes_given.npz"}]
    (home / "index.json").write_text(json.dumps(index))
    return read_run(folder)


def test_few_classes_have_bars_and_a_confusion_matrix(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"label": 4})
    (figures,) = make_class_figures(run, "p")
    assert figures.title == ""
    assert figures.confusion is not None
    for name in ("class &lt;0&gt;", "class &lt;2&gt;"):
        assert name in figures.bars.svg
        assert name in figures.confusion.svg
    (table,) = read_class_tables(run)
    assert table.confusion is not None
    wrong = table.confusion * (1 - np.eye(4, dtype=int))
    r, c = np.unravel_index(wrong.argmax(), wrong.shape)
    assert f"Most often taken: class <{r}> for class <{c}> ({wrong[r, c]} of 10)" in (
        figures.confusion_caption
    )
    # One cell a count above 0, its share of the row as opacity; a whole row's is not written.
    counts = table.confusion
    partly = (counts > 0) & (counts < counts.sum(axis=1, keepdims=True))
    assert len(re.findall("fill-opacity", figures.confusion.svg)) >= np.count_nonzero(partly)


def test_many_classes_are_cut_to_the_best_and_the_worst(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"label": 60})
    (figures,) = make_class_figures(run, "p")
    assert figures.confusion is None
    assert "35 more" in figures.bars.svg
    (table,) = read_class_tables(run)
    best, worst = np.nanargmax(table.precision), np.nanargmin(table.precision)
    assert f"Found best: class <{best}> ({table.precision[best]:.3f})" in figures.bars_caption
    assert f"Found worst: class <{worst}>" in figures.bars_caption
    assert "60 of 60 classes have test items" in figures.bars_caption


def test_each_label_has_its_figures_on_the_page(tmp_path: Path) -> None:
    run_with(tmp_path, {"verb": 3, "noun": 5})
    page = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "<summary>verb</summary>" in page
    assert "<summary>noun</summary>" in page
    assert "Top-1 accuracy, verb" in page
    assert "Action accuracy" in page
    assert "items are given each other" in page
    assert "resamples of items" in page
    assert "No ceiling is known" not in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_labels_with_several_classes_have_no_confusions(tmp_path: Path) -> None:
    (figures,) = make_class_figures(run_with(tmp_path, {"tag": 4}, several=True), "p")
    assert figures.confusion is None
    assert "share named right" not in figures.bars.svg


def test_nothing_confused_is_said(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"label": 3})
    path = tmp_path / "predictions" / "classes_given.npz"
    with np.load(path) as stored:
        table = dict(stored) | {"confusion_label": np.diag([3, 3, 3])}
    np.savez(path, **table)
    (figures,) = make_class_figures(run, "p")
    assert figures.confusion_caption == "No class was taken for another."


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("top1", "Top-1 accuracy"),
        ("given:noun_top5", "Top-5 accuracy, noun"),
        ("action_top1", "Action accuracy"),
        ("joint_top1", "All labels right"),
        ("map", "Mean average precision"),
        ("noun_map", "Mean average precision, noun"),
    ],
)
def test_scores_in_words(key: str, words: str) -> None:
    assert ScoreName.parse(key).words == words
    assert ScoreName.parse(key).meaning


def test_a_random_share_is_told() -> None:
    told = tell(Scorecard("", protocol={"splits": [{"name": "held_out", "test": 0.2}]}))
    assert told.how == ("Tested on 20\u00a0% of every class, at random.",)
