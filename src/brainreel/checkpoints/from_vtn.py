"""Origin `vtn`: VTN of SlowFast, a ViT of timm under a Longformer of Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.from_vit import ViTImport, vit_from_tensors
from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.readers import read_tensors, without_prefix
from brainreel.checkpoints.remap import Drop, Rename, joined, remap
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.models.stimulus import Scale
from brainreel.models.vtn import VTNConfig, Windows
from brainreel.shapes import DataSpec

_BACKBONE = "backbone."
_LAYERS = r"temporal_encoder\.encoder\.layer\."
_ENDS = r"(weight|bias)"
# A width of 64 a head, as published.
_HEAD_WIDTH = 64

_AROUND = (
    Rename("cls_token", "temporal.class_token"),
    Rename(r"temporal_encoder\.embeddings\.position_embeddings\.weight", "temporal.positions"),
    Rename(r"temporal_encoder\.embeddings\.token_type_embeddings\.weight", "temporal.types"),
    Rename(rf"temporal_encoder\.embeddings\.LayerNorm\.{_ENDS}", r"temporal.norm.\1"),
    Rename(rf"mlp_head\.0\.{_ENDS}", r"head.norm.\1"),
    Rename(rf"mlp_head\.1\.{_ENDS}", r"head.expand.\1"),
    Rename(rf"mlp_head\.4\.{_ENDS}", r"head.logits.\1"),
    Drop(r"temporal_encoder\.embeddings\.position_ids", "counts 0, 1, 2 and so on"),
    Drop(r"temporal_encoder\.embeddings\.word_embeddings\..*", "frames are no words"),
    Drop(r"temporal_encoder\.pooler\..*", "the head reads the class token itself"),
)
_FRAME_CLASSES = "classes of pictures, from which the training on film began"


class VTNImport(Config):
    """What a file of VTN weights does not tell; the defaults are those of the released VTN-B."""

    heads: int | None = Field(None, ge=1)
    """Attention heads over time; none for one for each 64 of the width."""
    frame_heads: int | None = Field(None, ge=1)
    """Attention heads within a frame; none for one for each 64 of the width."""
    size: tuple[int, int] | None = None
    """Height and width of a frame in pixels; none for a square one."""
    window: Windows = 18
    """Frames that a frame sees over time; 18 in the released configuration, 32 in the paper. One
    number, or one a layer."""
    frames: int = Field(250, ge=1)
    """Frames of a clip: whole videos of ten seconds, as published."""
    pixel_mean: Scale = 0.45
    """Subtracted from pixels in [0, 1], as SlowFast does."""
    pixel_std: Scale = 0.225
    """Pixels are divided by it, as SlowFast does."""
    pooling: Literal["class", "mean"] = "class"
    """The clip's vector: the class token, as published, or the mean over all tokens."""
    label: str = "label"
    """What the classes are called."""


def read_vtn(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read published weights of VTN.

    Parameters
    ----------
    path
        A checkpoint of SlowFast, which holds the weights under `model_state`, or a plain state.
    options
        Those of `VTNImport`.

    Raises
    ------
    CheckpointError
        If it holds anything else; tensors that are not known or missing are named.
    """
    chosen = VTNImport.parse(options or {}, where="import vtn")
    where = str(path)
    found = without_prefix(read_tensors(path), "module.model.", "module.", "model.")
    over_time = {k: v for k, v in found.items() if not k.startswith(_BACKBONE)}
    if "cls_token" not in over_time or len(over_time) == len(found):
        raise CheckpointError(
            f"{where}: is no VTN: it lacks 'cls_token', or all of 'backbone'. Check the origin."
        )
    frame = _read_frame(found.keys() - over_time.keys(), found, chosen, where)
    made = remap(over_time, _rules(over_time, chosen), where=where)
    config, spec = _sized(made.state, chosen, frame, where)
    state = {f"frame.{name}": value for name, value in frame.state.items()}
    return Imported(config, spec, {**state, **made.state}, {**frame.dropped, **made.dropped})


def _read_frame(
    names: Iterable[str], found: Mapping[str, Tensor], chosen: VTNImport, where: str
) -> Imported:
    """Return the frame backbone; what it does without under the names in the file."""
    heads = [name for name in names if name.startswith(f"{_BACKBONE}head.")]
    rest = {n.removeprefix(_BACKBONE): found[n] for n in sorted(set(names) - set(heads))}
    options = ViTImport(
        heads=chosen.frame_heads,
        size=chosen.size,
        mean=chosen.pixel_mean,
        std=chosen.pixel_std,
    )
    frame = vit_from_tensors(rest, options, {"model_type": "vit"}, where=where)
    dropped = {f"{_BACKBONE}{name}": why for name, why in frame.dropped.items()}
    return replace(frame, dropped={**dict.fromkeys(heads, _FRAME_CLASSES), **dropped})


def _rules(state: Mapping[str, Tensor], chosen: VTNImport) -> tuple[Rename | Drop, ...]:
    """Return what becomes of the tensors over time.

    In the last layer the class token asks all by its global projections; where it alone is read,
    nobody hears what the frames ask by their local ones.
    """
    matches = (re.match(rf"{_LAYERS}(\d+)\.", name) for name in state)
    numbers = {int(match[1]) for match in matches if match}
    if chosen.pooling == "mean" or not numbers:
        return (*_AROUND, *_layer(r"(\d+)", r"temporal.transformer.blocks.\1."))
    last = str(max(numbers))
    unread = Drop(
        rf"{_LAYERS}{last}\.attention\.self\.(query|key|value)\.{_ENDS}",
        "changes the last layer's frame tokens, which the class token no longer reads",
    )
    return (
        *_AROUND,
        unread,
        *_layer(f"({last})", "temporal.last.", alone=True),
        *_layer(r"(\d+)", r"temporal.transformer.blocks.\1."),
    )


def _layer(number: str, ours: str, *, alone: bool = False) -> tuple[Rename, ...]:
    """Return the rules of layers; where the class token is `alone`, without local projections."""

    def projections(suffix: str, name: str) -> Rename:
        parts = (f"{part}{suffix}" for part in ("query", "key", "value"))
        sources = tuple(rf"{_LAYERS}{number}\.attention\.self\.{part}\.{_ENDS}" for part in parts)
        return Rename(sources, rf"{ours}attention.{name}.\2", joined)

    plain = {
        r"attention\.output\.dense": "attention.out",
        r"attention\.output\.LayerNorm": "attention_norm",
        r"intermediate\.dense": "feedforward.expand",
        r"output\.dense": "feedforward.contract",
        r"output\.LayerNorm": "feedforward_norm",
    }
    return (
        projections("_global", "qkv" if alone else "global_qkv"),
        *(() if alone else (projections("", "qkv"),)),
        *(
            Rename(rf"{_LAYERS}{number}\.{theirs}\.{_ENDS}", rf"{ours}{name}.\2")
            for theirs, name in plain.items()
        ),
    )


def _sized(
    state: Mapping[str, Tensor], chosen: VTNImport, frame: Imported, where: str
) -> tuple[VTNConfig, DataSpec]:
    """Read the sizes off the tensors."""
    first = "last" if "temporal.last.attention.qkv.weight" in state else "transformer.blocks.0"
    needed = ("temporal.positions", f"temporal.{first}.feedforward.expand.weight")
    if missing := [name for name in needed if name not in state or state[name].dim() != 2]:
        raise CheckpointError(f"{where}: is not whole; no matrix in it becomes {missing[0]}.")
    width = state["temporal.class_token"].shape[-1]
    head = state.get("head.expand.weight")
    logits = state.get("head.logits.weight")
    given = {
        "frame": frame.config.to_dict(),
        "depth": sum(name.endswith("feedforward_norm.weight") for name in state),
        "heads": chosen.heads or max(1, width // _HEAD_WIDTH),
        "mlp_ratio": state[needed[1]].shape[0] / width,
        "window": chosen.window,
        "max_positions": len(state["temporal.positions"]),
        "pooling": chosen.pooling,
        **({} if head is None else {"head_width": head.shape[0]}),
    }
    classes = {} if logits is None else {chosen.label: logits.shape[0]}
    spec = DataSpec(frame_shape=frame.spec.frame_shape, clip_frames=chosen.frames, classes=classes)
    return VTNConfig.parse(given, where=where), spec
