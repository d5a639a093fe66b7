"""Origin `tubevit`: weights of the PyTorch port of TubeViT, plain or inside a Lightning file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.readers import read_tensors, without_prefix
from brainreel.checkpoints.remap import Drop, Rename, remap
from brainreel.config import Config
from brainreel.errors import CheckpointError, DataError
from brainreel.layers.tubes import Tube, tube_positions
from brainreel.models.stimulus import Scale
from brainreel.models.tubevit import PUBLISHED_TUBES, TubeViTConfig
from brainreel.shapes import DataSpec

# Width to attention heads of B, L and H.
_HEADS = {768: 12, 1024: 16, 1280: 16}
_TOKENS = "sparse_tubes_tokenizer."
_LAYER = r"encoder\.layers\.encoder_layer_(\d+)\."
_BLOCK = r"transformer.blocks.\1."
_RULES = (
    Rename(r"class_token", "class_token"),
    Rename(r"sparse_tubes_tokenizer\.conv_proj_weight", "tubes.kernels.weights.0"),
    Rename(r"sparse_tubes_tokenizer\.conv_proj_weights\.(\d+)", r"tubes.kernels.weights.\1"),
    Rename(r"sparse_tubes_tokenizer\.conv_proj_bias\.(\d+)", r"tubes.kernels.biases.\1"),
    Rename(_LAYER + r"ln_1\.(weight|bias)", _BLOCK + r"attention_norm.\2"),
    Rename(_LAYER + r"ln_2\.(weight|bias)", _BLOCK + r"feedforward_norm.\2"),
    Rename(_LAYER + r"self_attention\.in_proj_(weight|bias)", _BLOCK + r"attention.qkv.\2"),
    Rename(_LAYER + r"self_attention\.out_proj\.(weight|bias)", _BLOCK + r"attention.out.\2"),
    Rename(_LAYER + r"mlp\.(?:0|linear_1)\.(weight|bias)", _BLOCK + r"feedforward.expand.\2"),
    Rename(_LAYER + r"mlp\.(?:3|linear_2)\.(weight|bias)", _BLOCK + r"feedforward.contract.\2"),
    Rename(r"encoder\.ln\.(weight|bias)", r"norm.\1"),
    Rename(r"attention_pooling\.W\.weight", "pool.score.weight"),
    Rename(r"heads\.head\.(weight|bias)", r"head.\1"),
    Drop(r"attention_pooling\.W\.bias", "the same number on every score leaves a softmax as it is"),
    Drop(r"pos_embedding", "positions are worked out from the tubes"),
)


class TubeViTImport(Config):
    """What the file does not tell; the defaults are those of the published TubeViT-B."""

    tubes: tuple[Tube, ...] = Field(PUBLISHED_TUBES, min_length=1)
    """The tubes that the network was trained with."""
    frames: int = Field(32, ge=1)
    """Frames of a clip."""
    size: tuple[int, int] = (224, 224)
    """Height and width of a frame in pixels."""
    heads: int | None = Field(None, ge=1)
    """Attention heads; none: those of B (width 768), L (1024) or H (1280)."""
    tau: float = Field(10000.0, gt=1)
    """Of the sin-cos positions."""
    pixel_mean: Scale = (0.485, 0.456, 0.406)
    """Subtracted from pixels in [0, 1]; ImageNet's, as the port's training script does."""
    pixel_std: Scale = (0.229, 0.224, 0.225)
    """Pixels are divided by it; ImageNet's, as the port's training script does."""
    label: str = "label"
    """What the classes are called."""


def read_tubevit(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read weights of the port, stretched kernels without rescaling, as it computes.

    Parameters
    ----------
    path
        A state, or a Lightning checkpoint that holds one.
    options
        Those of `TubeViTImport`.

    Raises
    ------
    CheckpointError
        If a tensor is unknown, or the tubes do not give the positions that are stored.
    """
    chosen = TubeViTImport.parse(options or {}, where="import tubevit")
    state = without_prefix(read_tensors(path), "model._orig_mod.", "model.", "module.")
    bias = _need(state, _TOKENS + "conv_proj_bias", path)
    if len(bias) != len(chosen.tubes):
        raise CheckpointError(
            f"{path}: was trained with {len(bias)} tubes, not {len(chosen.tubes)}. "
            "Give them as tubes=[{kernel: [8, 8, 8], stride: [16, 32, 32]}, ...]."
        )
    positions = state.get("pos_embedding")
    del state[_TOKENS + "conv_proj_bias"]
    state |= {f"{_TOKENS}conv_proj_bias.{i}": row for i, row in enumerate(bias)}
    made = remap(state, _RULES, where=str(path))
    config, spec = _config(chosen, made.state, path), _spec(chosen, made.state, path)
    notes = () if positions is None else _check_positions(config, spec, positions, path)
    return Imported(config, spec, made.state, made.dropped, notes)


def _config(chosen: TubeViTImport, state: Mapping[str, Tensor], path: Path) -> TubeViTConfig:
    """Read the sizes off the tensors."""
    width = _need(state, "class_token", path).shape[-1]
    heads = chosen.heads or _HEADS.get(width)
    if heads is None:
        raise CheckpointError(
            f"{path}: a width of {width} is none of {', '.join(map(str, _HEADS))}, so its heads "
            "are not known. Give heads=NUMBER."
        )
    depth = sum(name.endswith("attention.qkv.weight") for name in state)
    hidden = _need(state, "transformer.blocks.0.feedforward.expand.weight", path).shape[0]
    kernels = [name for name in state if name.startswith("tubes.kernels.weights.")]
    return TubeViTConfig(
        tubes=chosen.tubes,
        kernels="interpolated" if len(kernels) == 1 else "separate",
        rescale=False,
        tau=chosen.tau,
        width=width,
        depth=depth,
        heads=heads,
        mlp_ratio=hidden / width,
        pooling="attention" if "pool.score.weight" in state else "class",
        pixel_mean=chosen.pixel_mean,
        pixel_std=chosen.pixel_std,
    )


def _spec(chosen: TubeViTImport, state: Mapping[str, Tensor], path: Path) -> DataSpec:
    channels = _need(state, "tubes.kernels.weights.0", path).shape[1]
    n_classes = len(_need(state, "head.weight", path))
    return DataSpec(
        frame_shape=(channels, *chosen.size),
        clip_frames=chosen.frames,
        classes={chosen.label: n_classes},
    )


def _check_positions(
    config: TubeViTConfig, spec: DataSpec, stored: Tensor, path: Path
) -> tuple[str, ...]:
    """Hold the stored positions against those of the tubes, which they were made from."""
    _, h, w = spec.frame_shape
    size = (spec.clip_frames, h, w)
    told = "Give tubes, frames, size and tau as the network was trained with."
    try:
        ours = tube_positions(config.tubes, size, config.width, config.tau)
        grids = [tube.grid(size) for tube in config.tubes]
    except DataError as problem:
        raise CheckpointError(f"{path}: {problem}") from problem
    if stored.dim() != 2 or stored.shape != (len(ours) + 1, config.width):
        raise CheckpointError(
            f"{path}: holds {len(stored)} positions, the tubes give {len(ours) + 1}. {told}"
        )
    if torch.allclose(ours, stored[1:], atol=1e-4):
        return ()
    if all(rows == columns for _, rows, columns in grids):
        raise CheckpointError(f"{path}: holds other positions than the tubes give. {told}")
    return (
        "The port scrambles the positions of grids that are not square; here they are right, so "
        "outputs differ from the port's.",
    )


def _need(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    if name not in state:
        raise CheckpointError(f"{path}: no tensor gives {name}. Is it a TubeViT of the port?")
    return state[name]
