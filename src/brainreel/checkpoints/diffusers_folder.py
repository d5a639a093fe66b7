"""Latent diffusion from a folder of diffusers: U-Net, autoencoder and noise levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from brainreel.errors import CheckpointError
from brainreel.files import read_json
from brainreel.models.diffusers_parts import diffusers_part

_STAGES = {"AutoencoderKL": "kl", "VQModel": "vq"}
_PREDICTS = {"epsilon": "noise", "v_prediction": "velocity", "sample": "picture"}
_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
# What makes a U-Net expect more than latents, a time step and a context.
_MORE = ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")


def is_diffusers_folder(path: Path) -> bool:
    """Whether a folder has diffusers' layout, `unet/config.json` in it."""
    return (path / "unet" / "config.json").is_file()


def read_diffusers_folder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a pipeline that diffusers saved, such as one of the Stable Diffusion family.

    Parameters
    ----------
    path
        Folder with `unet/`, `vae/` (or `vqvae/`, `movq/`) and `scheduler/`, weights in safetensors.
        Text encoders, which a brain stands for, are not looked at.

    Returns
    -------
    options
        Options of `latent_diffusion` that the folder decides.
    state
        Name in our model -> tensor.

    Raises
    ------
    CheckpointError
        If a part is missing or damaged, has no safetensors, or is of a kind that is not known.
    """
    unet, unet_state = _part(path / "unet", "UNet2DConditionModel")
    stage_folder = next((path / n for n in ("vae", "vqvae", "movq") if (path / n).is_dir()), None)
    if stage_folder is None:
        raise CheckpointError(f"{path}: has no autoencoder (vae, vqvae). Give the whole pipeline.")
    kind = str(read_json(stage_folder / "config.json").get("_class_name"))
    if kind not in _STAGES:
        known = " or ".join(_STAGES)
        raise CheckpointError(f"{stage_folder}: is a {kind}. Give a pipeline with {known}.")
    stage, stage_state = _part(stage_folder, kind)
    options = {
        "unet": _unet_options(unet, path),
        "first_stage": {"name": _STAGES[kind], **_stage_options(stage, path)},
        **_noise_options(path / "scheduler" / "scheduler_config.json"),
    }
    return options, {
        **{f"unet.network.{name}": value for name, value in unet_state.items()},
        **{f"first_stage.network.{name}": value for name, value in stage_state.items()},
    }


def _part(folder: Path, kind: str) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Load one part by diffusers itself, which knows the older names of its tensors."""
    try:
        network: Any = diffusers_part(kind).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        told = " ".join(str(problem).split())
        raise CheckpointError(
            f"{folder}: diffusers cannot read it ({told}). Give a folder with config.json and "
            "diffusion_pytorch_model.safetensors."
        ) from problem
    return network.config, {name: value.float() for name, value in network.state_dict().items()}


def _unet_options(told: Mapping[str, Any], path: Path) -> dict[str, Any]:
    more = [name for name in _MORE if told.get(name)]
    blocks = list(told["down_block_types"])
    if more or not set(blocks) <= set(_BLOCKS):
        what = f"{more[0]}={told[more[0]]}" if more else f"blocks {blocks}"
        raise CheckpointError(
            f"{path / 'unet'}: has {what}, which a brain cannot be given to. Give a pipeline like "
            "Stable Diffusion 1 or 2."
        )
    widths = list(told["block_out_channels"])
    layers, depth = told["layers_per_block"], told["transformer_layers_per_block"]
    heads = told.get("num_attention_heads") or told["attention_head_dim"]
    return {
        "channels": widths[0],
        "multiples": _multiples(widths, path / "unet"),
        "blocks": _one(layers),
        "attention": [2**level for level, kind in enumerate(blocks) if kind == _BLOCKS[0]],
        "heads": heads if isinstance(heads, int) else list(heads),
        "depth": _one(depth),
        "context": _one(told["cross_attention_dim"]),
        "norm_groups": told["norm_num_groups"],
        "linear_projection": bool(told["use_linear_projection"]),
    }


def _stage_options(told: Mapping[str, Any], path: Path) -> dict[str, Any]:
    widths = list(told["block_out_channels"])
    attends = [kind.startswith("Attn") for kind in told["down_block_types"]]
    options = {
        "channels": widths[0],
        "multiples": _multiples(widths, path),
        "blocks": told["layers_per_block"],
        "attention": [2**level for level, attention in enumerate(attends) if attention],
        "latent": told["latent_channels"],
        "norm_groups": told["norm_num_groups"],
        "scale": told["scaling_factor"],
    }
    codes = told.get("num_vq_embeddings")
    return options if codes is None else options | {"codes": codes}


def _noise_options(config: Path) -> dict[str, Any]:
    if not config.is_file():
        raise CheckpointError(f"{config.parent}: has no {config.name}. Give the whole pipeline.")
    told = read_json(config)
    shape = told.get("beta_schedule", "linear")
    if shape != "scaled_linear":
        raise CheckpointError(
            f"{config}: beta_schedule is {shape}; noise levels linear in their root "
            "(scaled_linear) are known. Give a pipeline of latent diffusion."
        )
    names = {"beta_start": "beta_start", "beta_end": "beta_end", "num_train_timesteps": "steps"}
    noise = {own: told[name] for name, own in names.items() if name in told}
    return {"noise": noise, "predicts": _PREDICTS[told.get("prediction_type", "epsilon")]}


def _multiples(widths: Sequence[int], where: Path) -> list[int]:
    if any(width % widths[0] for width in widths):
        raise CheckpointError(f"{where}: widths {list(widths)} are no multiples of the first.")
    return [width // widths[0] for width in widths]


def _one(value: int | Sequence[int]) -> int:
    return value if isinstance(value, int) else value[0]
