"""A network as a feature space: against a loop over TRs, kept on disk, and read by ridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.checkpoints.store import save_run
from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.strips import WindowsConfig
from brainreel.errors import CheckpointError, ConfigError, DataError, LeakError
from brainreel.fmri.bold import Bold
from brainreel.layers.clip import Clip
from brainreel.models.encoding import EncodingConfig
from brainreel.models.ridge import RidgeConfig
from brainreel.shapes import DataSpec
from brainreel.simulate.film import render_film
from brainreel.stimulus.audio import log_mel, read_sound
from brainreel.stimulus.frames import read_frames
from brainreel.stimulus.spectrograms import SILENCE
from brainreel.timebase import TrGrid
from brainreel.train.feature_ridge import FeatureRidgeConfig
from brainreel.train.network_space import NetworkSpace, facts_for, network_space
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job
from brainreel.train.trainer import TrainerConfig

WINDOWS = WindowsConfig(frames_per_tr=2, height=8, width=8, mel_bands=8)
GRID = TrGrid(Fraction(1), 30, Fraction(-2))
SMALL = {"width": 8, "depth": 1, "heads": 2}
MBT = {"name": "mbt", "patch": 4, "sound_patch": [20, 8], **SMALL}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    render_film(path, 24, seed=3, size=(16, 16))
    return path


def make(cache: Path, backbone: dict[str, Any], clip_trs: int, seed: int = 0) -> NetworkSpace:
    config = EncodingConfig.parse({"backbone": backbone}).backbone
    torch.manual_seed(seed)
    network = config.build(facts_for(config, WINDOWS, 1.0, clip_trs))
    return network_space(
        config, network, WINDOWS, clip_trs, ("mean",), cache=cache, device=torch.device("cpu")
    )


@torch.no_grad()
def test_it_is_the_network_on_the_film_before_each_tr(film: Path, tmp_path: Path) -> None:
    space = make(tmp_path, MBT, 2)
    values = space(film, GRID)
    assert values.shape == (30, 16)
    steps = log_mel(read_sound(film), 16000, 8)
    # Wholly before the film, at its start, well inside (twice), and after its end.
    for tr in (0, 2, 3, 17, 29):
        frames, sound = [], []
        for k in range(4):
            time = GRID.onset_s(tr - 1) + (k + Fraction(1, 2)) / 2
            inside = 0 <= time < 24
            frames.append(read_frames(film, [time], (8, 8))[0] if inside else np.zeros((3, 8, 8)))
        for k in range(200):
            number = int((GRID.onset_s(tr - 1)) * 100) + k
            heard = steps[number] if 0 <= number < len(steps) else np.full(8, SILENCE)
            sound.append(heard)
        clip = Clip(
            frames=torch.from_numpy(np.stack(frames).astype(np.uint8))[None],
            sound=torch.from_numpy(np.stack(sound).astype(np.float32))[None, None],
        )
        expected = space.network.features(clip)[0]
        np.testing.assert_allclose(values[tr], expected, rtol=1e-4, atol=1e-5)


def test_values_are_kept_for_the_same_film_clock_and_weights(film: Path, tmp_path: Path) -> None:
    space = make(tmp_path, {"name": "pixels", "cells": 2}, 1)
    first = space(film, GRID)

    def kept() -> set[Path]:
        return {path for path in tmp_path.glob("film_*") if "frames" not in path.name}

    (made,) = kept()
    np.save(made, first + 1)
    np.testing.assert_array_equal(space(film, GRID), first + 1)
    space(film, TrGrid(Fraction(1), 30, Fraction(-1)))
    assert len(kept()) == 2
    one, other = (make(tmp_path, {"name": "vit", "patch": 4, **SMALL}, 1, seed) for seed in (0, 1))
    assert one.digest() != other.digest()
    one(film, GRID), other(film, GRID)
    assert len(kept()) == 4
    faster = replace(one, windows=WINDOWS.model_copy(update={"n_workers": 2}))
    assert faster.digest() == one.digest()


def test_features_that_are_no_numbers_are_refused(film: Path, tmp_path: Path) -> None:
    space = make(tmp_path, {"name": "vit", "patch": 4, **SMALL}, 1)
    with torch.no_grad():
        next(space.network.parameters()).fill_(torch.nan)
    with pytest.raises(DataError, match=r"film.mp4: the features of 'vit' hold NaN"):
        space(film, GRID)
    assert not list(tmp_path.glob("film_vit*"))


def job_on(films: Sequence[Path], folder: Path) -> Job:
    """One person whose voxels follow the brightness of the films two TRs before."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(1, 2, 4)
    recordings = []
    for film in films:
        grid = TrGrid(Fraction(1), 20, Fraction(2))
        times = [grid.onset_s(tr - 2) + Fraction(1, 2) for tr in range(20)]
        level = read_frames(film, times, (8, 8)).mean(axis=(1, 2, 3))
        signal = level[:, None] * weights
        noisy = (signal + rng.normal(0, 0.1 * signal.std(), signal.shape)).astype(np.float32)
        recordings.append(Recording("sub-01", film.stem, film.stem, Bold(noisy, grid), film))
    last = len(films) - 1
    fold = Fold(
        "film",
        "last",
        train=tuple(Segment(i, 0, 20) for i in range(max(last, 1))),
        test=(Segment(last, 0, 20),),
    )
    series = Series(tuple(recordings), (fold,), sources={"film.mp4": "of the film"})
    model = RidgeConfig(alphas=(0.1, 1.0, 10.0), n_folds=2, delay_prior="flat", gap_trs=1)
    return Job(series, fold, model, OptimConfig(), TrainerConfig(accelerator="cpu"), 1, folder)


RIDGE = {"first_delay_s": 1, "last_delay_s": 3, "windows": WINDOWS.to_dict()}


def task(**options: Any) -> FeatureRidgeConfig:
    return FeatureRidgeConfig.parse({**RIDGE, **options})


def test_ridge_finds_what_the_network_sees(tiny: ModuleType, tmp_path: Path) -> None:
    films = [tiny.write_film(tmp_path / f"{seed}.mp4", seed) for seed in (0, 1, 2)]
    job = job_on(films, tmp_path)
    wanted = task(backbone={"name": "pixels", "cells": 1})
    state = wanted.fit(job)
    assert wanted.spec(job).feature_sizes == {"backbone": 3 * 12}
    (item,) = wanted.predict(job, state)
    r = [np.corrcoef(item.predicted[:, v], item.measured[:, v])[0, 1] for v in range(4)]
    assert min(r) > 0.8
    assert (tmp_path / "frames").is_dir()


def test_it_stands_beside_other_spaces(film: Path, tmp_path: Path) -> None:
    wanted = task(backbone=MBT, features=["loudness"], cache=str(tmp_path / "cache"))
    sizes = wanted.spec(job_on([film], tmp_path)).feature_sizes
    assert list(sizes.items()) == [("loudness", 6), ("backbone", 48)]


def test_weights_of_an_import_are_used_and_must_stay_the_same(film: Path, tmp_path: Path) -> None:
    config = EncodingConfig.parse({"backbone": {"name": "vit", "patch": 4, **SMALL}}).backbone
    spec = DataSpec(frame_shape=(3, 8, 8), classes={"label": 2})
    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made = Imported(config, spec, config.build(spec).state_dict())
        folders.append(save_imported(tmp_path / f"vit-{seed}", made, origin="vit"))
    job = job_on([film], tmp_path / "run")
    wanted = task(backbone_from=str(folders[0]))
    assert wanted.protocol() == {"backbone_from": str(folders[0])}
    state = wanted.fit(job)
    assert len(wanted.predict(job, state)) == 1
    with pytest.raises(CheckpointError, match="fold 'last': the backbone is not the one that the"):
        task(backbone_from=str(folders[1])).predict(job, state)
    with pytest.raises(ConfigError, match=r"task.backbone.width is 16, .* are for 8"):
        task(backbone_from=str(folders[0]), backbone={"name": "vit", "width": 16}).fit(job)
    with pytest.raises(ConfigError, match="clip_trs=3 is for networks on clips, and 'vit' looks"):
        task(backbone_from=str(folders[0]), clip_trs=3).fit(job)


def test_a_network_that_may_have_seen_the_test_is_refused(film: Path, tmp_path: Path) -> None:
    job = job_on([film], tmp_path / "run")
    model = EncodingConfig.parse({"backbone": {"name": "pixels"}})
    spec = DataSpec(frame_shape=(3, 8, 8), subjects=("a",), n_voxels=(2,), tr_s=1)
    state = {f"x:network/{k}": v for k, v in model.build(spec).state_dict().items()}
    folder = save_run(
        tmp_path / "encoding",
        {"model": model.to_dict()},
        spec,
        state,
        digests={"film.mp4": "of the film", "folds": "others"},
    )
    with pytest.raises(LeakError, match=r"fitted on the same data \(film.mp4\) with other splits"):
        task(backbone_from=str(folder)).fit(job)
    other = replace(job.data, sources={"film.mp4": "of another film"})
    assert task(backbone_from=str(folder)).spaces(replace(job, data=other))
