"""Folders of diffusers as a start: the same network, and the same pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from brainreel.checkpoints.diffusion_starts import read_diffusion_start
from brainreel.checkpoints.store import load_state
from brainreel.errors import CheckpointError
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.models.conditioner import Condition
from brainreel.shapes import DataSpec
from brainreel.train.denoise import DenoiseConfig

UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "cross_attention_dim": 6,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
STAGE = {
    "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D"),
    "up_block_types": ("UpDecoderBlock2D", "UpDecoderBlock2D"),
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "latent_channels": 4,
}
SPEC = DataSpec(subjects=("a",), n_voxels=(12,), picture_shape=(3, 8, 8))


def pipeline(folder: Path, kind: str = "kl", **changes: Any) -> tuple[Any, Any]:
    """Save a tiny pipeline without its text encoder."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(**{**UNET, **changes})
    if kind == "kl":
        stage: Any = diffusers.AutoencoderKL(**STAGE, scaling_factor=0.2)
    else:
        stage = diffusers.VQModel(**STAGE, num_vq_embeddings=8, scaling_factor=0.2)
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        num_train_timesteps=500, prediction_type="v_prediction",
    )  # fmt: skip
    unet.save_pretrained(folder / "unet")
    stage.save_pretrained(folder / ("vae" if kind == "kl" else "vqvae"))
    scheduler.save_pretrained(folder / "scheduler")
    return unet.eval(), stage.eval()


def settled(folder: Path) -> BrainDiffusionConfig:
    given = {"encoder": {"patch": 4, "width": 8, "depth": 1, "heads": 2}, "context_tokens": 3}
    model = DenoiseConfig(start_from=folder).settled(BrainDiffusionConfig.parse(given))
    assert isinstance(model, BrainDiffusionConfig)
    return model


@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_a_folder_becomes_the_same_network(tmp_path: Path, kind: str) -> None:
    unet, stage = pipeline(tmp_path, kind)
    model = settled(tmp_path)
    assert (model.predicts, model.noise.steps, model.noise.beta_end) == ("velocity", 500, 0.012)
    network = model.build(SPEC).eval()
    state = read_diffusion_start(tmp_path).state
    load_state(network, network.state_dict() | state, where="test")
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 4, 4, 4, generator=generator)
    context = torch.randn(2, 3, 6, generator=generator)
    times = torch.tensor([3, 400])
    with torch.no_grad():
        wanted = unet(latents, times, encoder_hidden_states=context).sample
        time = torch.zeros(2, model.unet.time_width)
        found = network.unet(latents, times, Condition(context, time))
        pictures = torch.rand(2, 3, 8, 8, generator=generator)
        encoded = stage.encode(2 * pictures - 1)
        own = encoded.latent_dist.mode() if kind == "kl" else encoded.latents
    assert torch.allclose(found, wanted, atol=1e-6)
    assert torch.allclose(network.encode(pictures), 0.2 * own, atol=1e-6)


def test_published_weights_have_no_lineage(tmp_path: Path) -> None:
    pipeline(tmp_path)
    assert DenoiseConfig(start_from=tmp_path).starts() == ()


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_no_such_folder_is_told(tmp_path: Path) -> None:
    pipeline(tmp_path / "a")
    edited(tmp_path / "a" / "scheduler" / "scheduler_config.json", beta_schedule="linear")
    with pytest.raises(CheckpointError, match="beta_schedule is linear"):
        settled(tmp_path / "a")
    pipeline(tmp_path / "b")
    (tmp_path / "b" / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no scheduler_config.json"):
        settled(tmp_path / "b")
    pipeline(tmp_path / "c")
    weights = tmp_path / "c" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="diffusers cannot read it"):
        settled(tmp_path / "c")
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match=r"diffusers cannot read it.*safetensors"):
        settled(tmp_path / "c")
    pipeline(tmp_path / "d", class_embed_type="timestep")
    with pytest.raises(CheckpointError, match="class_embed_type=timestep, which a brain cannot"):
        settled(tmp_path / "d")
    pipeline(tmp_path / "e")
    edited(tmp_path / "e" / "vae" / "config.json", _class_name="AutoencoderTiny")
    with pytest.raises(CheckpointError, match="is a AutoencoderTiny"):
        settled(tmp_path / "e")
