"""SC-MBM of MinD-Vis, its masked autoencoder of voxel vectors, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.readers import read_with_options, without_prefix
from brainreel.checkpoints.remap import Rename, remap
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.shapes import DataSpec

_ENDS = r"(weight|bias)"
# Their name of a part of a transformer layer -> ours.
_LAYER = {
    r"norm1": "attention_norm",
    r"attn\.qkv": "attention.qkv",
    r"attn\.proj": "attention.out",
    r"norm2": "feedforward_norm",
    r"mlp\.fc1": "feedforward.expand",
    r"mlp\.fc2": "feedforward.contract",
}
# Both decoders: what their names begin with -> ours.
_DECODERS = {r"decoder_": "decoder.", r"nature_img_decoder_": "picture_decoder."}
_PERSON = "all"


class MindVisImport(Config):
    """What the tensors of a MinD-Vis checkpoint do not tell."""

    heads: int | None = Field(None, ge=1)
    """Attention heads of the encoder; none: as the file says, else 16, as published."""
    decoder_heads: int | None = Field(None, ge=1)
    """Attention heads of the decoders; none: as the file says, else 16, as published."""
    picture_size: tuple[int, int] = (28, 28)
    """(H, W) of the pictures' features, where the file has a decoder for them."""


def layer_rules(theirs: str, ours: str) -> tuple[Rename, ...]:
    """Return the rules of transformer layers whose names begin with `theirs`, a pattern."""
    return tuple(
        Rename(
            rf"{theirs}blocks\.(\d+)\.{part}\.{_ENDS}", rf"{ours}transformer.blocks.\1.{name}.\2"
        )
        for part, name in _LAYER.items()
    )


def encoder_rules(theirs: str, ours: str) -> tuple[Rename, ...]:
    """Return the rules of a `VoxelEncoder`; their names begin with `theirs`, a pattern."""
    return (
        *layer_rules(theirs, ours),
        Rename(rf"{theirs}patch_embed\.proj\.weight", f"{ours}embed.weight", _squeezed),
        Rename(rf"{theirs}patch_embed\.proj\.bias", f"{ours}embed.bias"),
        Rename(rf"{theirs}pos_embed", f"{ours}positions.table", patch_rows),
        Rename(rf"{theirs}norm\.{_ENDS}", rf"{ours}norm.\1"),
    )


def _decoder_rules(theirs: str, ours: str) -> tuple[Rename, ...]:
    return (
        *layer_rules(theirs, ours),
        Rename(rf"{theirs}embed\.{_ENDS}", rf"{ours}enter.\1"),
        Rename(rf"{theirs}norm\.{_ENDS}", rf"{ours}norm.\1"),
        Rename(rf"{theirs}pos_embed", f"{ours}positions.table", _rows_beside_none),
        Rename(rf"{theirs}pred\.{_ENDS}", rf"{ours}leave.\1"),
        Rename(rf"{theirs}pred\.0\.weight", f"{ours}mix.weight", _last_squeezed),
        Rename(rf"{theirs}pred\.0\.bias", f"{ours}mix.bias"),
        Rename(rf"{theirs}pred\.1\.{_ENDS}", rf"{ours}leave.\1"),
    )


def _squeezed(kernel: Tensor) -> Tensor:
    """(D, 1, P) to (D, P)."""
    return kernel.squeeze(1)


def _last_squeezed(kernel: Tensor) -> Tensor:
    """(C, N, 1) to (C, N)."""
    return kernel.squeeze(2)


def patch_rows(table: Tensor) -> Tensor:
    """Positions (1, 1 + N, D) to (N, D): the class token, which stands first, has none."""
    return table[0, 1:].clone()


def _rows_beside_none(table: Tensor) -> Tensor:
    if table[0, 0].any():
        raise CheckpointError(
            "the class token of a decoder has a place for its own in decoder_pos_embed, which "
            "MinD-Vis leaves at 0. Give the file as its training wrote it."
        )
    return patch_rows(table)


RULES: tuple[Rename, ...] = (
    *encoder_rules("", "encoder."),
    # The class token's own position is a part of it: both are added to nothing else.
    Rename(("cls_token", "cls_position"), "class_token", lambda token, place: token + place),
    *(rule for theirs, ours in _DECODERS.items() for rule in _decoder_rules(theirs, ours)),
    Rename("mask_token", "decoder.mask_token"),
    Rename("nature_img_mask_token", "picture_decoder.mask_token"),
)


def read_mind_vis(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read a checkpoint of SC-MBM, pretrained or fine-tuned.

    Sizes come from the shapes of the tensors; heads, mask ratio and focus from the options that
    the training kept beside the weights, which are read as plain values.

    Parameters
    ----------
    path
        `fmri_encoder.pth`, `checkpoint.pth`, or any file that `read_tensors` can read.
    options
        Options of `MindVisImport`.

    Raises
    ------
    CheckpointError
        If a tensor is not known, is missing, or has another shape.
    """
    chosen = MindVisImport.parse(options or {}, where="import mind-vis")
    found, told = read_with_options(Path(path), "config")
    return sc_mbm_of(without_prefix(found, "module."), told, chosen, where=str(path))


def sc_mbm_of(
    found: Mapping[str, Tensor], told: Mapping[str, Any], chosen: MindVisImport, *, where: str
) -> Imported:
    """Return tensors by their names as our model; `told` are the options kept beside them."""
    state = dict(found)
    for name in ("patch_embed.proj.weight", "pos_embed", "decoder_pred.weight"):
        if name not in state or state[name].dim() != (2 if name.startswith("dec") else 3):
            raise CheckpointError(
                f"{where}: has no tensor '{name}' of the right shape, so it is no masked "
                "autoencoder of MinD-Vis. Check the origin."
            )
    state["cls_position"] = state["pos_embed"][:, :1]
    made = remap(state, RULES, where=where)
    config = SCMBMConfig.parse(_sizes(made.state, chosen, told, where), where=where)
    n_voxels = len(made.state["encoder.positions.table"]) * config.patch
    spec = DataSpec(subjects=(_PERSON,), n_voxels=(n_voxels,))
    return Imported(config, spec, made.state, made.dropped, _notes(n_voxels, told))


def _sizes(
    state: Mapping[str, Tensor], chosen: MindVisImport, told: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Return the options of the model, read off its tensors and what the training told."""
    width, patch = state["encoder.embed.weight"].shape
    hidden, mixed = (
        "encoder.transformer.blocks.0.feedforward.expand.bias",
        "picture_decoder.mix.bias",
    )
    if hidden not in state:
        raise CheckpointError(f"{where}: is not whole; no tensor in it becomes {hidden}.")
    sizes: dict[str, Any] = {
        "patch": patch,
        "width": width,
        "depth": _depth(state, "encoder."),
        "heads": chosen.heads or told.get("num_heads", 16),
        "mlp_ratio": len(state[hidden]) / width,
        "decoder_width": state["decoder.leave.weight"].shape[1],
        "decoder_depth": _depth(state, "decoder."),
        "decoder_heads": chosen.decoder_heads or told.get("decoder_num_heads", 16),
    }
    if mixed in state:
        sizes["picture_features"] = (len(state[mixed]), *chosen.picture_size)
        sizes["picture_depth"] = _depth(state, "picture_decoder.")
    kept = {"mask_ratio": "mask_ratio", "focus_range": "focus", "focus_rate": "focus_rate"}
    return sizes | {kept[k]: v for k, v in told.items() if k in kept and v is not None}


def _depth(state: Mapping[str, Tensor], part: str) -> int:
    start, end = f"{part}transformer.blocks.", ".attention_norm.weight"
    return sum(name.startswith(start) and name.endswith(end) for name in state)


def _notes(n_voxels: int, told: Mapping[str, Any]) -> tuple[str, ...]:
    note = (
        f"It takes {n_voxels} voxels, each z-scored over the training part; for other numbers of "
        "patches its positions are moved to the nearest."
    )
    roi = told.get("roi")
    return (note, f"It was trained on voxels of {roi}.") if isinstance(roi, str) else (note,)
