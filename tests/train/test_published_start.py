"""Task `denoise` from files of latent diffusion as published; what it then leaves as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from brainreel.checkpoints.from_mind_vis_ldm import read_latent_diffusion
from brainreel.data.samples import Fold, Trials
from brainreel.errors import ConfigError
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.train.denoise import DenoiseConfig
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job
from brainreel.train.trainer import TrainerConfig

from ..parity.conftest import golden

__all__ = ["golden"]

ENCODER = {"patch": 4, "width": 8, "depth": 1, "heads": 2}
SIDE = 16  # pixels; VQ-f2 of the fixture makes latents of 8 x 8, as its U-Net was made for


def checkpoint(golden: Callable[[str], Path], path: Path) -> dict[str, Any]:
    """Write a `model.ckpt` of label2img's layout from both fixtures; return the U-Net's options."""
    unet = load_file(golden("mindvis_unet") / "state.safetensors")
    # What the brain's half adds is no part of latent diffusion itself.
    parts = {
        f"model.diffusion_model.{name}": value
        for name, value in unet.items()
        if not name.startswith("time_embed_condtion")
    }
    stage = load_file(golden("mindvis_vq") / "state.safetensors")
    parts |= {f"first_stage_model.{name}": value for name, value in stage.items()}
    state = {name: value.float() for name, value in parts.items()}
    state |= {"scale_factor": torch.ones(()), "cond_stage_model.embedding.weight": torch.ones(3, 4)}
    torch.save({"state_dict": state, "global_step": 5}, path)
    told: dict[str, Any] = json.loads((golden("mindvis_unet") / "config.json").read_text())["unet"]
    return told


def colours() -> Trials:
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(8, 3, SIDE, SIDE)).astype(np.float32)
    fold = Fold("s", "s", train_trials=tuple(range(6)), test_trials=(6, 7))
    return Trials(rng.normal(size=(8, 10)).astype(np.float32), pictures, None, (fold,))


@pytest.mark.parametrize("trained", ["conditions", "conditioner"])
def test_frozen_parts_stay_bit_for_bit_and_the_others_move(
    golden: Callable[[str], Path], tmp_path: Path, trained: str
) -> None:
    file = tmp_path / "model.ckpt"
    heads = checkpoint(golden, file)["num_heads"]
    task = DenoiseConfig.parse(
        {"start_from": file, "batch": 3, "sampling": {"sampler": "plms", "steps": 2, "samples": 1}}
    )
    asked = BrainDiffusionConfig.parse({"encoder": ENCODER, "trained": trained})
    settled = task.settled(asked)
    assert isinstance(settled, BrainDiffusionConfig)
    assert settled.first_stage.scale == 1
    assert settled.trained == trained
    assert heads == 2  # which no file tells; the network runs with one
    data = colours()
    trainer = TrainerConfig(max_epochs=None, max_steps=2, progress=False, accelerator="cpu")
    optim = OptimConfig(lr=0.01, weight_decay=0, schedule="constant", warmup=0)
    job = Job(data, data.folds[0], settled, optim, trainer, 0, tmp_path / "run")
    state = task.fit(job)
    after = {name.removeprefix("network/"): torch.tensor(value) for name, value in state.items()}

    network = settled.build(data.spec())
    moving = {name for name, p in network.named_parameters() if p.requires_grad}
    before: dict[str, Tensor] = read_latent_diffusion(file).state
    assert {name.partition(".")[0] for name in before} == {"unet", "first_stage"}
    for name, value in before.items():
        same = torch.equal(after[name], value)
        assert same == (name not in moving), name
    attended = [name for name in moving if ".attn2." in name or ".norm2." in name]
    assert bool(attended) == (trained == "conditions")
    assert all(".transformer_blocks." in name for name in attended)
    (found,) = task.predict(job, state)
    assert found.predicted.shape == (2, 3, SIDE, SIDE)
    assert np.isfinite(found.predicted).all()


def test_a_first_stage_file_alone(golden: Callable[[str], Path], tmp_path: Path) -> None:
    state = load_file(golden("mindvis_vq") / "state.safetensors")
    stage = {name: value.float() for name, value in state.items()}
    torch.save({"state_dict": stage}, tmp_path / "vq.ckpt")
    task = DenoiseConfig.parse({"first_stage_from": tmp_path / "vq.ckpt"})
    settled = task.settled(BrainDiffusionConfig.parse({"encoder": ENCODER}))
    assert isinstance(settled, BrainDiffusionConfig)
    assert settled.first_stage.name == "vq"
    assert settled.first_stage.codes == len(stage["quantize.embedding.weight"])
    with pytest.raises(ConfigError, match=r"model.first_stage.name is pixels, and the weights in"):
        task.settled(BrainDiffusionConfig.parse({"first_stage": {"name": "pixels"}}))
