"""DC-LDM of MinD-Vis, fine-tuned on pairs of brains and pictures, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.from_mind_vis import encoder_rules
from brainreel.checkpoints.from_mind_vis_ldm import (
    DiffusionWeights,
    LatentDiffusionImport,
    read_latent_diffusion,
)
from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.remap import Drop, remap
from brainreel.errors import CheckpointError
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.shapes import DataSpec

_ENCODER: tuple[Any, ...] = (
    Drop("cls_token|mask_token", "tokens of the masked autoencoder that no picture is drawn from"),
    *encoder_rules("", "encoder."),
)
_PERSON = "all"


class DCLDMImport(LatentDiffusionImport):
    """What a checkpoint of DC-LDM does not tell."""

    encoder_heads: int = Field(16, ge=1)
    """Attention heads of the encoder of brains."""
    picture_size: tuple[int, int] = (256, 256)
    """(H, W) of the pictures."""


def read_dc_ldm(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read the whole of DC-LDM: encoder, conditioner, U-Net and first stage.

    Parameters
    ----------
    path
        `finetuned.pth` or `checkpoint.pth` of MinD-Vis's stage B, or any file of the same names
        that `read_tensors` can read.
    options
        Options of `DCLDMImport`.

    Raises
    ------
    CheckpointError
        If a tensor is not known, is missing, or has another shape; of a file without an encoder,
        which is a start for training and no model of brains.
    """
    told = DCLDMImport.parse(options or {}, where="import mind-vis")
    own = {name: getattr(told, name) for name in LatentDiffusionImport.model_fields}
    return dc_ldm_of(read_latent_diffusion(path, own), told, where=str(path))


def dc_ldm_of(found: DiffusionWeights, told: DCLDMImport, *, where: str) -> Imported:
    """Return tensors that have found their places as our model."""
    if not found.encoder or found.n_tokens is None:
        raise CheckpointError(
            f"{where}: has no encoder of brains, so it is latent diffusion alone. Give "
            "finetuned.pth of MinD-Vis."
        )
    encoder = remap(found.encoder, _ENCODER, where=where)
    config = _config(found, encoder.state, told, where)
    n_patches, patch = len(encoder.state["encoder.positions.table"]), config.encoder.patch
    if found.n_tokens not in (1, n_patches):
        raise CheckpointError(
            f"{where}: its encoder gives {n_patches} tokens, its conditioner takes "
            f"{found.n_tokens}. The file mixes two models."
        )
    channels = int(found.state["first_stage.network.encoder.conv_in.weight"].shape[1])
    spec = DataSpec(
        subjects=(_PERSON,),
        n_voxels=(n_patches * patch,),
        picture_shape=(channels, *told.picture_size),
    )
    state = found.state | encoder.state
    return Imported(config, spec, state, found.dropped | encoder.dropped, _notes(found))


def _config(
    found: DiffusionWeights, encoder: Mapping[str, Tensor], told: DCLDMImport, where: str
) -> BrainDiffusionConfig:
    """Return the options of the model, read off its tensors."""
    hidden = "encoder.transformer.blocks.0.feedforward.expand.bias"
    wanted = ("encoder.embed.weight", "encoder.positions.table", hidden)
    stage = "first_stage.network.encoder.conv_in.weight"
    for name in wanted:
        if name not in encoder:
            raise CheckpointError(f"{where}: is not whole; no tensor in it becomes {name}.")
    if stage not in found.state:
        raise CheckpointError(f"{where}: has no first stage. Give the whole of finetuned.pth.")
    width, patch = encoder["encoder.embed.weight"].shape
    start, end = "encoder.transformer.blocks.", ".attention_norm.weight"
    sizes = {
        "patch": patch,
        "width": width,
        "depth": sum(name.startswith(start) and name.endswith(end) for name in encoder),
        "heads": told.encoder_heads,
        "mlp_ratio": len(encoder[hidden]) / width,
        "pooled": found.n_tokens == 1,
    }
    return BrainDiffusionConfig.parse({**found.options.to_dict(), "encoder": sizes}, where=where)


def _notes(found: DiffusionWeights) -> tuple[str, ...]:
    heads = "Its heads are not told by the file; check heads and encoder_heads if it draws noise."
    data = found.settings.get("dataset")
    return (heads, f"It was trained on {data}.") if isinstance(data, str) else (heads,)
