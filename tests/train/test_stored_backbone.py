"""Backbones that begin with the weights of an import or a fit, frozen or trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.checkpoints.store import save_run
from brainreel.errors import CheckpointError, ConfigError
from brainreel.models.encoding import EncodingConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec
from brainreel.train.film_network import SupervisedConfig
from brainreel.train.optim import OptimConfig
from brainreel.train.stored_backbone import load_backbone, read_backbone, settled_backbone
from brainreel.train.task import Job
from brainreel.train.trainer import TrainerConfig

VIT = ViTConfig(
    width=8, depth=1, heads=2, patch=4, positions="learned", pixel_std=0.25, drop_path=0.1
)
# Made for pictures twice as high as those of the films, and for three classes.
SPEC = DataSpec(frame_shape=(3, 16, 8), classes={"label": 3})


def weights(seed: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return VIT.build(SPEC).state_dict()


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    return save_imported(tmp_path / "imported", Imported(VIT, SPEC, weights()), origin="vit")


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    state = {f"only:network/{name}": value for name, value in weights().items()}
    return save_run(tmp_path / "fitted", {"model": VIT.to_dict()}, SPEC, state)


def job(tiny: ModuleType, films: Path, folder: Path, model: Any, **trainer: Any) -> Job:
    series = tiny.make_series(films)
    config = TrainerConfig.parse({**tiny.TRAINER, "max_steps": 2, "keep": "last", **trainer})
    fold = replace(series.folds[0], test=series.folds[0].validation)
    return Job(series, fold, model, OptimConfig(lr=0.01), config, 1, folder)


def encoding(**options: Any) -> EncodingConfig:
    given = {"features": 3, "hrf_window_s": 2, "backbone": {"name": "vit"}}
    return EncodingConfig.parse({**given, **options})


@pytest.mark.parametrize("made_by", ["imported", "fitted"])
@pytest.mark.parametrize("frozen", [True, False])
def test_training_begins_with_them_and_moves_them_unless_frozen(
    tiny: ModuleType,
    films: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    made_by: str,
    frozen: bool,
) -> None:
    task = SupervisedConfig(
        windows=tiny.WINDOWS,
        cache=films / "cache",
        backbone_from=request.getfixturevalue(made_by),
    )
    model = task.settled(encoding(frozen=frozen))
    assert model.backbone == VIT
    state = task.fit(job(tiny, films, tmp_path / "run", model))
    for name, value in weights().items():
        key = f"network/backbone.{name}"
        if name.startswith("head."):
            assert key not in state
        elif name != "positions.table":
            assert np.array_equal(state[key], value.numpy()) == frozen, name
    assert state["network/backbone.positions.table"].shape == (2, 2, 8), "resized to the pictures"
    assert len(task.predict(job(tiny, films, tmp_path / "run", model), state)) == 2
    assert task.protocol() == {"backbone_from": str(task.backbone_from)}


def test_options_that_are_given_must_agree_unless_they_only_concern_learning(
    imported: Path,
) -> None:
    settled = settled_backbone(ViTConfig(drop_path=0.4), imported, key="model.backbone")
    assert settled == VIT.model_copy(update={"drop_path": 0.4})
    with pytest.raises(
        ConfigError,
        match=r"model.backbone.pixel_std is 0.5, and the weights in .*imported are for 0.25. "
        r"Give 'model.backbone=\{name: vit\}'",
    ):
        settled_backbone(ViTConfig(pixel_std=0.5), imported, key="model.backbone")
    other = EncodingConfig.parse({"backbone": {"name": "pixels"}}).backbone
    with pytest.raises(ConfigError, match="name is 'pixels', and .*imported holds the weights of"):
        settled_backbone(other, imported, key="model.backbone")


def test_what_is_no_network_is_named(tmp_path: Path, imported: Path) -> None:
    ridge = save_run(
        tmp_path / "ridge", {"model": {"name": "ridge"}}, SPEC, {"f:a": np.ones(2, np.float32)}
    )
    with pytest.raises(CheckpointError, match="ridge: holds a model 'ridge', which is no network"):
        read_backbone(ridge, "f")
    with pytest.raises(CheckpointError, match=r"nowhere: no weights.safetensors in it"):
        read_backbone(tmp_path / "nowhere", "f")
    odd = save_run(tmp_path / "odd", {"model": {"name": "no"}}, SPEC, weights())
    with pytest.raises(CheckpointError, match="odd: holds no network that this version knows"):
        read_backbone(odd, "f")
    with pytest.raises(ConfigError, match="model.backbone is not settled for"):
        load_backbone(torch.nn.Identity(), ViTConfig(), imported, "f")


def test_the_backbone_of_an_encoding_model_can_go_on(
    tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    model = encoding(backbone={"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4})
    task = SupervisedConfig(windows=tiny.WINDOWS, cache=films / "cache")
    made = job(tiny, films, tmp_path / "run", model)
    state = task.fit(made)
    named = {f"two:{name}": value for name, value in state.items()}
    folder = save_run(tmp_path / "run", {"model": model.to_dict()}, task.spec(made), named)
    config, found = read_backbone(folder, "two")
    assert config == model.backbone
    for name, value in found.items():
        np.testing.assert_array_equal(value, state[f"network/backbone.{name}"])
    load_backbone(config.build(task.spec(made)), config, folder, "two")
