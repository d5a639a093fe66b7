"""What is kept of latent units, and parts of it."""

from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError, ShapeError
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.prediction_files import load_predictions, save_predictions

T, UNITS = 6, 3


def latents(**changes: object) -> LatentPrediction:
    rng = np.random.default_rng(0)
    names = ("posterior_mean", "posterior_std", "prior_mean", "prior_std")
    facts: dict[str, object] = {
        "split": "time",
        "fold": "time",
        "subject": "sub-01",
        **{name: rng.random((T, UNITS)).astype(np.float32) for name in names},
        "segment": np.repeat([0, 1], [4, 2]),
        "film_time_s": np.arange(T) * 1.5,
    }
    return LatentPrediction(**{**facts, **changes})  # type: ignore[arg-type]


def test_files_and_parts_keep_everything(tmp_path: Path) -> None:
    whole = latents()
    save_predictions(tmp_path, [whole])
    assert (tmp_path / "latents_time_sub-01.npz").is_file()
    (again,) = load_predictions(tmp_path)
    part = whole.part([1], split="cell", fold="cell")
    for name, values in whole._arrays().items():
        np.testing.assert_array_equal(getattr(again, name), values)
        expected = [0, 0] if name == "segment" else values[4:]
        np.testing.assert_array_equal(getattr(part, name), expected)
    assert (part.split, part.fold, part.subject, part.n_segments) == ("cell", "cell", "sub-01", 1)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ShapeError, match="prior_std has 2 along axis L"):
        latents(prior_std=np.ones((T, 2), np.float32))
    with pytest.raises(DataError, match="sub-01: the prior_mean of latent units holds NaN"):
        latents(prior_mean=np.full((T, UNITS), np.nan, np.float32))
