"""Every backbone, by its name alone, from a film with sound to predicted voxels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.strips import WindowsConfig
from brainreel.errors import DataError
from brainreel.fmri.bold import Bold
from brainreel.models.backbones import Backbone
from brainreel.models.encoding import EncodingConfig
from brainreel.simulate.film import render_film
from brainreel.timebase import TrGrid
from brainreel.train.film_network import SupervisedConfig
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job
from brainreel.train.trainer import TrainerConfig

# `hf` needs an optional package and a folder; tests/models/test_hf.py uses it.
NAMES = {c.model_fields["name"].default for c in get_args(get_args(Backbone)[0])} - {"hf"}
N_TRS = 16


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    render_film(path, 24, seed=3, size=(32, 32), frame_rate_hz=5)
    return path


def make_job(film: Path, folder: Path, model: EncodingConfig) -> Job:
    grid = TrGrid(Fraction(3, 2), N_TRS)
    rng = np.random.default_rng(0)
    recordings = tuple(
        Recording(who, "run", "film", Bold(rng.standard_normal((N_TRS, 3), np.float32), grid), film)
        for who in ("sub-01", "sub-02")
    )
    fold = Fold(
        "time",
        "late",
        train=tuple(Segment(i, 0, 10) for i in (0, 1)),
        test=tuple(Segment(i, 10, N_TRS) for i in (0, 1)),
    )
    trainer = TrainerConfig(max_steps=2, max_epochs=None, accelerator="cpu", progress=False)
    return Job(Series(recordings, (fold,)), fold, model, OptimConfig(), trainer, 1, folder)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_its_name_alone_is_enough(film: Path, tmp_path: Path, name: str, frozen: bool) -> None:
    model = EncodingConfig.parse({"backbone": {"name": name}, "hrf_window_s": 3, "frozen": frozen})
    task = SupervisedConfig(windows=WindowsConfig(window_trs=4), cache=film.parent / "cache")
    job = make_job(film, tmp_path, model)
    predictions = task.predict(job, task.fit(job))
    assert [item.predicted.shape for item in predictions] == [(6, 3)] * 2
    assert all(np.isfinite(item.predicted).all() for item in predictions)
    assert all(item.predicted.std(axis=0).min() > 0 for item in predictions)


def test_a_silent_film_is_named(tmp_path: Path, tiny: object) -> None:
    film = tiny.write_film(tmp_path / "silent.mp4", seed=0)  # type: ignore[attr-defined]
    model = EncodingConfig.parse({"listener": {"name": "bands"}})
    with pytest.raises(DataError, match="silent.mp4: the film has no sound, and the network list"):
        SupervisedConfig().fit(make_job(film, tmp_path, model))
