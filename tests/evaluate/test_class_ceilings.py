"""Classifiers of simulated films are held against what any classifier could reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainreel.errors import DataError
from brainreel.evaluate.class_ceilings import exact_accuracy
from brainreel.evaluate.run import check_scoring, evaluate
from brainreel.evaluate.scorecard import Scorecard
from brainreel.simulate.motions import MotionConfig, simulate_motion
from brainreel.simulate.pairs import PairsConfig, simulate_pairs
from brainreel.train.fit import fit
from brainreel.train.recipe import resolve

FEW = {"n_train": 8, "n_validation": 2, "n_test": 8, "frame_size": (16, 16)}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ceilings") / "pairs"
    simulate_pairs(root, PairsConfig(**FEW, label_noise=0.2))
    return root


def test_the_ceiling_is_that_of_the_senses_taken_in(pairs: Path, tmp_path: Path) -> None:
    films = ["films/test-00000.mp4", "films/test-00007.mp4"]
    assert exact_accuracy(pairs, {"pictures"}, films) == pytest.approx(0.225)
    assert exact_accuracy(pairs, {"sound"}, films) == pytest.approx(0.225)
    assert exact_accuracy(pairs, {"sound", "pictures"}, films) == pytest.approx(0.825)
    simulate_motion(tmp_path / "motion", MotionConfig(**FEW))
    assert exact_accuracy(tmp_path / "motion", {"pictures"}, films) == 1
    assert exact_accuracy(tmp_path / "motion", {"sound"}, films) == 0.25


def test_films_of_another_set_have_no_ceiling(pairs: Path) -> None:
    with pytest.raises(DataError, match=r"knows no film films/test-00008\.mp4"):
        exact_accuracy(pairs, {"sound"}, ["films/test-00007.mp4", "films/test-00008.mp4"])


def test_a_card_shows_ceiling_and_share(pairs: Path, tmp_path: Path) -> None:
    config = resolve(
        "mbt_pairs",
        [
            f"data.path={pairs}", f"scoring.truth={pairs}", "model.inputs=[pictures]",
            "model.width=8", "model.depth=1", "model.fusion_layer=0", "trainer.max_epochs=1",
            "trainer.progress=false", "scoring.n_permutations=20", "scoring.n_bootstrap=20",
        ],
    )  # fmt: skip
    check_scoring(config)
    fit(config, tmp_path / "run")
    card = evaluate(tmp_path / "run")
    assert card.ceilings == {"exact": pytest.approx(0.225)}
    assert card.shares == {"top1|exact": pytest.approx(card.scores["top1"] / 0.225)}
    for share, score in zip(card.intervals["top1|exact"], card.intervals["top1"], strict=True):
        assert share == pytest.approx(score / 0.225)
    (row,) = (r for r in Scorecard.load(tmp_path / "run" / "scorecard.json").rows()
              if r["score"] == "top1")  # fmt: skip
    assert (row["estimator"], row["ceiling"]) == ("exact", pytest.approx(0.225))


def test_a_truth_that_is_none_is_refused_before_the_fit(pairs: Path, tmp_path: Path) -> None:
    given = [f"data.path={pairs}", f"scoring.truth={tmp_path}"]
    with pytest.raises(DataError, match=r"truth\.json: no such file"):
        check_scoring(resolve("mbt_pairs", given))
