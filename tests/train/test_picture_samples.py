from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.train.prediction_files import load_predictions, save_predictions
from brainreel.train.predictions import PicturePrediction


def prediction(samples: np.ndarray | None, rule: str = "") -> PicturePrediction:
    rng = np.random.default_rng(0)
    pictures = rng.random((2, 3, 1, 8, 8)).astype(np.float32)
    return PicturePrediction(
        split="test",
        fold="test",
        subject="sub-01",
        predicted=pictures[0],
        true=pictures[1],
        labels=np.arange(3),
        trials=np.arange(3),
        baseline=pictures[1, 0],
        samples=samples,
        rule=rule,
    )


def drawn() -> np.ndarray:
    return np.random.default_rng(1).random((3, 4, 1, 8, 8)).astype(np.float32)


def test_samples_come_back_as_they_were_scored(tmp_path: Path) -> None:
    before = prediction(drawn(), "consensus")
    save_predictions(tmp_path, [before])
    after = load_predictions(tmp_path)[0]
    assert isinstance(after, PicturePrediction)
    assert after.rule == "consensus"
    np.testing.assert_array_equal(after.samples, before.samples)
    np.testing.assert_allclose(after.samples, drawn(), atol=0.5 / 255 + 1e-6)
    with np.load(tmp_path / "test_sub-01.npz") as stored:
        assert stored["samples"].dtype == np.uint8


def test_without_samples_nothing_of_them_is_stored(tmp_path: Path) -> None:
    save_predictions(tmp_path, [prediction(None)])
    after = load_predictions(tmp_path)[0]
    assert isinstance(after, PicturePrediction)
    assert after.samples is None
    assert after.rule == ""


@pytest.mark.parametrize(
    ("samples", "rule", "told"),
    [
        (drawn(), "", "samples need a rule"),
        (None, "first", "a rule needs samples"),
        (drawn()[:2], "first", "samples"),
        (drawn() * 2, "first", r"must lie in \[0, 1\]"),
        (drawn() * np.nan, "first", "hold NaN"),
        (drawn()[:, :0], "first", "are empty"),
    ],
)
def test_samples_that_cannot_be_are_refused(
    samples: np.ndarray | None, rule: str, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        prediction(samples, rule)
