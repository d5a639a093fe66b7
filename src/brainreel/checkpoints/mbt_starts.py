"""Origin `mbt_start`: an MBT in which both senses begin as one image ViT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.remap import Drop, Rename, remap
from brainreel.checkpoints.run_network import RunNetwork, read_network
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.layers.fusion_transformer import Fusion
from brainreel.layers.positions import resized
from brainreel.models.encoder import sides
from brainreel.models.mbt import MBTConfig
from brainreel.models.mbt_tokens import central_frame
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec

_RULES = (
    Rename(r"(transformer\.blocks\..*|norm\..*|patches\..*|positions\.table|class_token)", r"\1"),
    Drop(r"(?:distillation_)?head\..*", "the classes of pictures"),
    Drop(r"pre_logits\..*", "a layer before the classes of pictures"),
    Drop(r"distillation_token", "MBT has the class token alone"),
)


class MBTStart(Config):
    """What becomes of an image ViT; the rest is the ViT's own."""

    fusion: Fusion = "bottleneck"
    """How the senses meet."""
    fusion_layer: int = Field(8, ge=0)
    """First layer in which they meet; 8 of 12 as published."""
    bottlenecks: int = Field(4, ge=1)
    """Bottleneck tokens, drawn anew."""
    shared: bool = False
    """One set of transformer weights for both senses, or one each."""
    frames: int = Field(8, ge=1)
    """Frames of a clip."""
    patch_frames: int = Field(1, ge=1)
    """Frames that a patch goes through; more than one begin as their middle frame alone."""
    sound: tuple[int, int, int] = (1, 800, 128)
    """Channels, steps in time and mel bands of the spectrogram: 8 s as published."""
    sound_mean: float = 1.102
    """Subtracted from log-mel energies, as in the published training."""
    sound_std: float = Field(2.762, gt=0)
    """Log-mel energies are divided by it, as in the published training."""
    seed: int = 0
    """Of the bottleneck tokens."""


def read_mbt_start(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Return an MBT whose transformers, patches, positions and class tokens are those of a ViT.

    The spectrogram is to the ViT a picture, time downwards: its positions are interpolated to the
    spectrogram's grid, and its kernels added where sound has one channel (Nagrani et al. 2021,
    section 4.2).

    Parameters
    ----------
    path
        Run folder of a ViT, imported or fitted.
    options
        Those of `MBTStart`.

    Raises
    ------
    CheckpointError
        If the network is of another kind.
    """
    chosen = MBTStart.parse(options or {}, where="import mbt_start")
    vit = read_network(Path(path))
    _check(vit, chosen, path)
    made = remap(vit.state, _RULES, where=str(path))
    config, spec = _config(vit, chosen), _spec(vit, chosen)
    with torch.device("meta"):  # for its parts and their sizes alone
        fresh = config.build(spec)
    state: dict[str, Tensor] = {}
    if fresh.transformer.bottleneck is not None:
        draw = torch.Generator().manual_seed(chosen.seed)
        shape = fresh.transformer.bottleneck.shape
        state["transformer.bottleneck"] = 0.02 * torch.randn(shape, generator=draw)
    for tower in fresh.transformer.towers:
        state |= {
            name.replace("transformer.", f"transformer.towers.{tower}.", 1): value.clone()
            for name, value in made.state.items()
            if name.startswith("transformer.")
        }
    state |= {name: value for name, value in made.state.items() if name.startswith("norm.")}
    for sense in fresh.senses:
        state |= _tokens(made.state, sense, fresh.tokens[sense].counts, chosen)  # type: ignore[arg-type]
    notes = () if vit.config.gelu == "tanh" else (  # type: ignore[union-attr]
        "MBT computes GELU in its tanh form, the ViT exactly; they differ by up to 0.001.",
    )  # fmt: skip
    return Imported(config, spec, state, made.dropped, notes)


def _check(vit: RunNetwork, chosen: MBTStart, path: Path) -> None:
    config = vit.config
    if not isinstance(config, ViTConfig) or config.norm != "pre" or not config.qkv_bias:
        raise CheckpointError(
            f"{path}: holds no 'vit' with norm=pre and qkv_bias. Import one first."
        )
    if config.pooling == "mean" or config.positions != "learned":
        raise CheckpointError(
            f"{path}: this ViT has no class token or no learned positions, which an MBT has. "
            "Give one with pooling=class and positions=learned."
        )
    if chosen.fusion_layer > config.depth:
        raise CheckpointError(
            f"{path}: has {config.depth} layers, and the senses cannot meet in layer "
            f"{chosen.fusion_layer}. Give fusion_layer=, from 0 to {config.depth}."
        )
    if chosen.sound[0] not in (1, vit.spec.frame_shape[0]):
        raise CheckpointError(
            f"{path}: its patches have {vit.spec.frame_shape[0]} channels, the sound "
            f"{chosen.sound[0]}. Give sound=[1, STEPS, BANDS]."
        )


def _config(vit: RunNetwork, chosen: MBTStart) -> MBTConfig:
    config = vit.config
    assert isinstance(config, ViTConfig)
    same = ("width", "depth", "heads", "mlp_ratio", "pixel_mean", "pixel_std")
    given = ("fusion", "fusion_layer", "bottlenecks", "shared", "patch_frames", "sound_mean",
             "sound_std")  # fmt: skip
    return MBTConfig(
        **{name: getattr(config, name) for name in same},
        **{name: getattr(chosen, name) for name in given},
        patch=config.patch,
        sound_patch=sides(config.patch),
    )


def _spec(vit: RunNetwork, chosen: MBTStart) -> DataSpec:
    return DataSpec(
        frame_shape=vit.spec.frame_shape, clip_frames=chosen.frames, sound_shape=chosen.sound
    )


def _tokens(
    vit: Mapping[str, Tensor], sense: str, counts: tuple[int, ...], chosen: MBTStart
) -> dict[str, Tensor]:
    """Return patches, positions and class token of one sense."""
    kernel, table = vit["patches.project.weight"], vit["positions.table"]
    if sense == "pictures":
        kernel = central_frame(kernel, chosen.patch_frames)
        table = table.expand(counts[0], *table.shape)
    else:
        kernel = kernel.sum(dim=1, keepdim=True) if chosen.sound[0] == 1 else kernel
        table = resized(table, counts)
    return {
        f"tokens.{sense}.patches.project.weight": kernel.clone(),
        f"tokens.{sense}.patches.project.bias": vit["patches.project.bias"].clone(),
        f"tokens.{sense}.positions.table": table.clone(),
        f"tokens.{sense}.class_token": vit["class_token"].clone(),
    }
