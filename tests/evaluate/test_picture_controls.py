"""Cards of picture runs: people, controls beside the run, what is stamped."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.evaluate.pictures import score_trials
from brainreel.evaluate.scorecard import Scorecard
from brainreel.train.pictures import PicturesConfig, other_brains
from brainreel.train.predictions import PicturePrediction
from brainreel.train.recipe import ScoringConfig

SCORING = ScoringConfig(n_permutations=100, n_bootstrap=100, n_way=(2,))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written lands in no folder of the project."""
    monkeypatch.chdir(tmp_path)


class TwoControls(PicturesConfig):
    def control_names(self) -> tuple[str, ...]:
        return ("brain_shuffled", "class_alone")


@dataclass
class Run:
    """What the scoring asks of a fitted run."""

    predictions: list[PicturePrediction]
    scoring: ScoringConfig = SCORING

    @property
    def config(self) -> SimpleNamespace:
        stage = SimpleNamespace(task=TwoControls())
        return SimpleNamespace(scoring=self.scoring, seed=0, resolved_stages=lambda: (stage,))

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(folds=[SimpleNamespace(split="test")])

    def predict_control(self, control: str) -> list[PicturePrediction]:
        if control == "class_alone":
            flat = [np.broadcast_to(p.baseline, p.true.shape) + 0 for p in self.predictions]
            return [replace(p, predicted=f) for p, f in zip(self.predictions, flat, strict=True)]
        return [
            replace(p, predicted=p.predicted[other_brains(np.arange(len(p.true)), 0)])
            for p in self.predictions
        ]


def run(*noise: float, samples: int = 0) -> Run:
    rng = np.random.default_rng(0)
    predictions = []
    for who, level in enumerate(noise):
        true = rng.random((12, 1, 10, 10)).astype(np.float32)
        off = level * rng.standard_normal((12, max(samples, 1), 1, 10, 10))
        drawn = np.clip(true[:, None] + off, 0, 1).astype(np.float32)
        item = PicturePrediction(
            split="test",
            fold="test",
            subject=f"sub-{who:02}",
            predicted=drawn[:, 0],
            true=true,
            labels=np.zeros(12, np.int64),
            trials=np.arange(12),
            baseline=true.mean(axis=0),
        )
        predictions.append(replace(item, samples=drawn, rule="first") if samples else item)
    return Run(predictions)


def card_of(fitted: Run) -> Scorecard:
    card = Scorecard("")
    for part in score_trials(fitted, fitted.predictions, Path()):
        card = card.joined(part)
    return card


def test_controls_stand_beside_the_run_with_what_they_lose() -> None:
    card = card_of(run(0.2))
    shuffled, class_alone = (
        card.beside[f"control:{name}"] for name in ("brain_shuffled", "class_alone")
    )
    assert card.scores["ssim"] > 0.5
    assert abs(shuffled.scores["ssim"]) < 0.1
    fall = card.scores["ssim"] - shuffled.scores["ssim"]
    assert shuffled.falls["ssim"] == pytest.approx(fall)
    low, high = shuffled.intervals["ssim|fall"]
    assert 0 < low < fall < high
    # An error falls by as much as it is higher without the brain.
    assert shuffled.falls["mse"] == pytest.approx(shuffled.scores["mse"] - card.scores["mse"])
    assert shuffled.falls["mse"] > 0
    assert class_alone.scores["mse"] == pytest.approx(card.baselines["mse"])


def test_people_are_averaged_and_stand_by_themselves() -> None:
    card = card_of(run(0.1, 0.5))
    both = [card.scores[f"ssim/sub-{who:02}"] for who in (0, 1)]
    assert both[0] > both[1]
    assert card.scores["ssim"] == pytest.approx(np.mean(both))
    assert card.beside["control:brain_shuffled"].falls["ssim"] > 0


def test_samples_are_stamped_and_their_spread_is_on_the_card(tmp_path: Path) -> None:
    card = card_of(run(0.3, samples=4))
    assert card.protocol["pictures"] == {"samples": 4, "rule": "first"}
    assert card.spreads["ssim_each"] > 0
    assert "ssim" not in card.spreads
    assert card.scores["ssim_best"] > card.scores["ssim_each"]
    assert not any(name.endswith("_best") for name in card.beside["control:class_alone"].falls)
    card.save(tmp_path / "card.json")
    assert Scorecard.load(tmp_path / "card.json").spreads == card.spreads


def test_the_truth_shuffled_scores_what_chance_does() -> None:
    """A run whose brains say nothing: its interval holds the chance level, and p is no find."""
    fitted = run(0.2)
    order = np.random.default_rng(5).permutation(12)
    wrong = [replace(p, predicted=p.predicted[order]) for p in fitted.predictions]
    card = card_of(Run(wrong))
    low, high = card.intervals["identification_2way"]
    assert low < card.baselines["identification_2way"] < high
    assert card.p_values["ssim"] > 0.05


def test_a_control_that_lacks_a_fold_of_a_person_leaves_the_person_out() -> None:
    fitted = run(0.1, 0.5)
    second = replace(fitted.predictions[1], fold="other")
    fitted.predictions.append(second)

    class Lacking(Run):
        def predict_control(self, control: str) -> list[PicturePrediction]:
            return [p for p in super().predict_control(control) if p.fold == "test"]

    card = card_of(Lacking(fitted.predictions))
    shuffled = card.beside["control:brain_shuffled"]
    fall = card.scores["ssim/sub-00"] - shuffled.scores["ssim"]
    assert shuffled.falls["ssim"] == pytest.approx(fall)
    card = card_of(Lacking([second]))
    assert not card.beside


def test_a_control_that_a_task_does_not_have_is_refused() -> None:
    with pytest.raises(DataError, match="has no control 'film_noise'"):
        PicturesConfig().predict_control(None, {}, "film_noise")
