"""Samples of a brain in the gallery, and controls beside pictures."""

from pathlib import Path

import numpy as np

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.gallery import N_SAMPLES, make_galleries
from brainreel.report.protocol import tell
from brainreel.report.runs import RunRecord, read_run
from brainreel.report.without_brain import make_without_brain
from brainreel.train.prediction_files import save_predictions
from brainreel.train.predictions import PicturePrediction


def run_of(folder: Path, rule: str) -> RunRecord:
    rng = np.random.default_rng(0)
    true = rng.random((3, 1, 8, 8)).astype(np.float32)
    samples = rng.random((3, N_SAMPLES + 2, 1, 8, 8)).astype(np.float32)
    predicted = samples.mean(axis=1) if rule == "average" else samples[:, 4]
    item = PicturePrediction(
        split="test",
        fold="test",
        subject="sub-01",
        predicted=predicted,
        true=true,
        labels=np.arange(3),
        trials=np.arange(3),
        baseline=true.mean(axis=0),
        samples=samples,
        rule=rule,
    )
    save_predictions(folder / "predictions", [item])
    (folder / "config.yaml").write_text("title: pictures\n")
    Scorecard("", scores={"ssim": 0.2}).save(folder / "scorecard.json")
    return read_run(folder)


def test_samples_stand_beside_the_one_that_is_scored(tmp_path: Path) -> None:
    gallery = make_galleries(run_of(tmp_path, "consensus"))[0]
    for pair in gallery.pairs:
        assert len(pair.samples) == N_SAMPLES
        assert [sample.chosen for sample in pair.samples].index(True) == 4
        assert sum(sample.chosen for sample in pair.samples) == 1


def test_a_mean_of_samples_is_none_of_them(tmp_path: Path) -> None:
    gallery = make_galleries(run_of(tmp_path, "average"))[0]
    assert not any(sample.chosen for pair in gallery.pairs for sample in pair.samples)


def test_the_page_says_how_one_of_several_was_chosen() -> None:
    card = Scorecard("", protocol={"pictures": {"samples": 5, "rule": "consensus"}})
    told = " ".join(tell(card, kind="pictures").how)
    assert "5 pictures were drawn" in told
    assert "the one nearest to the mean of all" in told


def test_controls_stand_below_the_scores_of_the_run() -> None:
    scores = {
        "pixel_correlation": 0.8,
        "mse": 0.1,
        "ssim": 0.5,
        "ssim_each": 0.4,
        "class_50way_top1": 0.3,
        "identification_2way": 0.9,
        "identification_10way": 0.6,
    }
    control = Scorecard(
        "",
        scores=dict.fromkeys(scores, 0.1),
        falls={"ssim": 0.4},
        intervals={"ssim|fall": (0.3, 0.5)},
    )
    card = Scorecard("", scores=scores, beside={"control:class_alone": control})
    (table,) = make_without_brain(card)
    assert table.columns == (
        "Pixel correlation",
        "Structural similarity (SSIM)",
        "50-way top-1 by a classifier",
        "10-way identification",
    )
    assert [name for name, _ in table.rows] == ["As it is", "Class alone"]
    assert table.rows[1][1][1].under == "falls by 0.400, 0.300 to 0.500"
    assert make_without_brain(Scorecard("", scores=scores)) == ()
