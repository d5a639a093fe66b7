from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.page import write_report
from brainreel.report.people import make_people_figures, read_told
from brainreel.report.protocol import tell
from brainreel.report.runs import RunRecord, read_run
from brainreel.report.words import ScoreName
from brainreel.train.label_predictions import LabelPrediction
from brainreel.train.prediction_files import save_predictions

RNG = np.random.default_rng(0)


def fold(name: str, first: int, n: int, classes: tuple[str, ...]) -> LabelPrediction:
    k = max(len(classes), 1)
    targets = np.arange(n) % k if classes else RNG.normal(30, 5, n)
    scores = RNG.random((n, k)) if classes else targets[:, None] + RNG.normal(0, 1, (n, 1))
    return LabelPrediction(
        "stratified", name, "", "diag <1>", classes, scores, targets.astype(float),
        np.full((n, k), 1 / k), tuple(f"sub-{i:02}" for i in range(first, first + n)),
        np.full(n, 4),
    )  # fmt: skip


def run_with(folder: Path, classes: tuple[str, ...]) -> RunRecord:
    """A scored run of two folds, as the evaluation leaves it."""
    folds = [fold("stratified-1", 10, 9, classes), fold("stratified-2", 1, 8, classes)]
    save_predictions(folder / "predictions", folds)
    (folder / "config.yaml").write_text("model: {name: tff_label}\n")
    scores = {"balanced_accuracy": 0.7, "auroc": 0.8} if classes else {"mae": 3.2, "r": 0.4}
    splits = [{"name": "given", "test_subjects": ["sub-01", "sub-02"]}]
    protocol = {"splits": splits, "scoring": {"n_permutations": 9, "n_bootstrap": 9}}
    Scorecard("People", scores, protocol=protocol).save(folder / "scorecard.json")
    return read_run(folder)


@pytest.mark.parametrize("classes", [("a <x>", "b"), ("a <x>", "b", "c"), ()])
def test_everybody_who_was_tested_stands_on_the_page(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    run = run_with(tmp_path, classes)
    found = make_people_figures(run, "p")
    assert found is not None
    assert [person.who for person in found.people] == [
        f"sub-{i:02}" for i in range(1, 19) if i != 9
    ]
    assert (found.confusion is not None) == bool(classes)
    told = read_told(run)
    assert told is not None
    if classes:
        rows = told.scores.argmax(axis=1) == told.true
        assert sum(person.right for person in found.people) == rows.sum()
        assert "AUROC: " in found.caption
        assert found.caption.count(",") == (0 if len(classes) == 2 else 2)
    page = write_report([tmp_path], tmp_path / "page.html").read_text()
    assert "Person by person: diag &lt;1&gt;" in page
    assert "sub-17" in page
    assert ("a &lt;x&gt;" in page) == bool(classes)
    assert "a <x>" not in page
    assert "Tested on people by name: sub-01, sub-02." in page
    assert "from 9 surrogates in which people are given each other" in page
    assert "9 resamples of people" in page


def test_other_runs_have_none(tmp_path: Path) -> None:
    run = run_with(tmp_path, ("a", "b"))
    bare = RunRecord(run.folder, run.card, run.config, run.logs, (), ())
    assert make_people_figures(bare, "p") is None
    assert tell(run.card, kind="labels").how


def test_scores_of_people_have_words() -> None:
    for key in ("balanced_accuracy", "auroc", "accuracy", "mae", "r"):
        name = ScoreName.parse(f"held_out:{key}")
        assert name.meaning
        assert name.lower_is_better == (key == "mae")
    assert ScoreName.parse("r_median").words == "Correlation r, all voxels"
    assert ScoreName.parse("verb_map").words == "Mean average precision, verb"
