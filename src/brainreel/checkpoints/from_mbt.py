"""Origin `mbt`: the published MBT in Scenic (JAX), as msgpack, .npz or safetensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from brainreel.checkpoints import mbt_names as names
from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.readers import read_tensors, without_prefix
from brainreel.checkpoints.remap import Drop, Rename, remap
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.layers.fusion_transformer import Fusion
from brainreel.models.mbt import MBTConfig
from brainreel.models.stimulus import Scale
from brainreel.shapes import DataSpec

# Without bottleneck tokens, by whether both senses share their weights.
_VANILLA: dict[bool, Fusion] = {True: "self_attention", False: "cross_attention"}


class MBTImport(Config):
    """What the file does not tell; the defaults are those of the published MBT-B on AudioSet."""

    fusion: Fusion | None = None
    """How the senses meet; none: through the bottleneck tokens that are there, else by attention of
    all to all. `late` takes a network with bottleneck tokens apart."""
    fusion_layer: int = Field(8, ge=0)
    """First layer in which the senses meet."""
    pooling: Literal["mean", "max", "sum"] = "mean"
    """How tokens are pooled where there is no class token."""
    size: tuple[int, int] = (224, 224)
    """Height and width of a frame in pixels."""
    frames: int | None = Field(None, ge=1)
    """Frames of a clip; none for as many as the positions are for."""
    sampled_frames: int | None = Field(None, ge=1)
    """Frames of a clip that are looked at, spread evenly; none for all."""
    bands: int = Field(128, ge=1)
    """Mel bands of the spectrogram; the positions tell how long it is."""
    one_channel: bool = False
    """Take spectrograms with one channel, where the published network was given three copies: the
    kernels of the three are added, which is the same."""
    pixel_mean: Scale = 0.5
    """Subtracted from pixels in [0, 1]; 0.5 with a deviation of 0.5 is the published [-1, 1]."""
    pixel_std: Scale = 0.5
    """Pixels are divided by it."""
    sound_mean: float = 1.102
    """Subtracted from log-mel energies; that of the published training on AudioSet."""
    sound_std: float = Field(2.762, gt=0)
    """Log-mel energies are divided by it; that of the published training on AudioSet."""
    label: str = "label"
    """What the classes are called."""


def read_mbt(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read Scenic's weights of MBT, of both senses or one.

    Parameters
    ----------
    path
        Scenic's checkpoint (msgpack), or tensors under names joined by `/`; what the names have
        before `Transformer/`, such as `optimizer/target/`, does not matter.
    options
        Those of `MBTImport`.

    Raises
    ------
    CheckpointError
        If it holds anything else; tensors that are not known or missing are named.
    """
    chosen = MBTImport.parse(options or {}, where="import mbt")
    return mbt_from_tensors(read_tensors(path), chosen, where=str(path))


def mbt_from_tensors(state: Mapping[str, Tensor], chosen: MBTImport, *, where: str) -> Imported:
    """Return tensors under Scenic's names as an `MBT`.

    Parameters
    ----------
    state
        Their name -> tensor.
    chosen
        What the tensors do not tell.
    where
        The file, as errors call it.
    """
    found = without_prefix(state, *names.PREFIXES)
    senses = [s for s, suffix in names.SUFFIX.items() if f"embedding{suffix}/kernel" in found]
    if not senses:
        raise CheckpointError(
            f"{where}: holds no MBT: none of its {len(state)} tensors is an embedding of frames or "
            "spectrograms named as in Scenic. Check the origin."
        )
    sizes = _sizes(found, senses, chosen, where)
    made = remap(found, _rules(found, senses, sizes, chosen), where=where)
    ours = dict(made.state)
    grids = {sense: _lay_out(ours, sense, chosen, where) for sense in senses}
    frames = _frames(ours, grids, chosen, where)
    config = MBTConfig(**sizes, sampled_frames=_looked_at(frames, chosen.sampled_frames))
    spec = _spec(ours, grids, frames, chosen)
    notes: tuple[str, ...] = ()
    if spec.sound_shape and spec.sound_shape[0] > 1:
        notes = (
            f"It hears spectrograms of {spec.sound_shape[0]} channels, in the published training "
            "copies of one. For data with one channel import with one_channel=true.",
        )
    return Imported(config, spec, ours, made.dropped, notes)


def _sizes(
    found: Mapping[str, Tensor], senses: Sequence[str], chosen: MBTImport, where: str
) -> dict[str, Any]:
    """Return the options of the model that the tensors and the user tell."""
    shared = len(senses) == 2 and not any("_spectrogram/LayerNorm" in name for name in found)
    first = "pictures" if shared else senses[0]
    block = f"Transformer/encoderblock_0{names.SUFFIX[first]}/"
    width, heads, _ = _shape(found, f"{block}{names.ATTENTION}/query/kernel", 3, where)
    _, hidden = _shape(found, f"{block}MlpBlock_0/Dense_0/kernel", 2, where)
    blocks = {m[1] for name in found if (m := re.match(r"Transformer/encoderblock_(\d+)", name))}
    depth = len(blocks)
    sizes: dict[str, Any] = {
        "inputs": tuple(senses),
        "shared": shared,
        "width": width,
        "depth": depth,
        "heads": heads,
        "mlp_ratio": hidden / width,
        "pooling": "class" if "cls" in found else chosen.pooling,
        "representation": len(found.get("pre_logits/bias", ())),
        "pixel_mean": chosen.pixel_mean,
        "pixel_std": chosen.pixel_std,
        "sound_mean": chosen.sound_mean,
        "sound_std": chosen.sound_std,
    }
    if "pictures" in senses:
        *tube, height, width_px, _, _ = _shape(found, "embedding/kernel", (4, 5), where)
        sizes |= {"patch": (height, width_px), "patch_frames": tube[0] if tube else 1}
    if "sound" in senses:
        sizes["sound_patch"] = _shape(found, "embedding_spectrogram/kernel", 4, where)[:2]
    return {**sizes, **_fusion(found, senses, shared, depth, chosen, where)}


def _fusion(
    found: Mapping[str, Tensor],
    senses: Sequence[str],
    shared: bool,
    depth: int,
    chosen: MBTImport,
    where: str,
) -> dict[str, Any]:
    """Return how the senses meet."""
    if len(senses) < 2:
        return {"fusion": "late", "fusion_layer": depth}
    by_tokens = "bottleneck" in found
    fusion = chosen.fusion or ("bottleneck" if by_tokens else _VANILLA[shared])
    if fusion == "bottleneck" and not by_tokens:
        raise CheckpointError(f"{where}: holds no bottleneck tokens. Give another fusion=.")
    if fusion == "self_attention" and not shared:
        raise CheckpointError(
            f"{where}: has weights for each sense, by which the published network attends "
            "crosswise. Give fusion=cross_attention."
        )
    if chosen.fusion_layer > depth:
        raise CheckpointError(
            f"{where}: has {depth} layers, and the senses cannot meet in layer "
            f"{chosen.fusion_layer}. Give fusion_layer=, from 0 to {depth}."
        )
    told: dict[str, Any] = {"fusion": fusion, "fusion_layer": chosen.fusion_layer}
    if fusion == "bottleneck":
        told["bottlenecks"] = _shape(found, "bottleneck", 3, where)[1]
    return told


def _rules(
    found: Mapping[str, Tensor], senses: Sequence[str], sizes: Mapping[str, Any], chosen: MBTImport
) -> list[Rename | Drop]:
    alone = len(senses) == 1
    rules: list[Rename | Drop] = [names.TRAINING]
    rules += names.block_rules("pictures", "shared") if sizes["shared"] else []
    for sense in senses:
        rules += [] if sizes["shared"] else names.block_rules(sense, sense)
        rules += names.token_rules(sense, alone=alone, one_channel=chosen.one_channel)
    if sizes["fusion"] == "bottleneck" and sizes["fusion_layer"] < sizes["depth"]:
        rules.append(Rename("bottleneck", "transformer.bottleneck"))
    else:
        rules.append(Drop("bottleneck", "no layer is told to let the senses meet through it"))
    return [*rules, *names.head_rules(hidden="pre_logits/kernel" in found)]


def _lay_out(ours: dict[str, Tensor], sense: str, chosen: MBTImport, where: str) -> tuple[int, ...]:
    """Give the positions of a sense the shape of their grid, and return it."""
    name = f"tokens.{sense}.positions.table"
    if name not in ours or ours[name].dim() != 3:
        raise CheckpointError(f"{where}: holds no positions for {sense} of three axes.")
    table = ours[name][0]
    if f"tokens.{sense}.class_token" in ours:
        token = f"tokens.{sense}.class_token"
        ours[token], table = ours[token] + table[:1], table[1:]
    patch = ours[f"tokens.{sense}.patches.project.weight"].shape[3:]
    size = chosen.size if sense == "pictures" else (chosen.bands,)
    across = tuple(math.ceil(n / p) for n, p in zip(size, patch, strict=True))
    along, left = divmod(len(table), math.prod(across))
    if left or not along:
        option = "size=[HEIGHT, WIDTH]" if sense == "pictures" else "bands="
        raise CheckpointError(
            f"{where}: has {len(table)} positions for {sense}, which are no whole number of "
            f"{' x '.join(map(str, across))} patches. Give {option} of the data it was made for."
        )
    ours[name] = table.reshape(along, *across, -1)
    return (along, *across)


def _frames(
    ours: Mapping[str, Tensor], grids: Mapping[str, Sequence[int]], chosen: MBTImport, where: str
) -> int:
    """Return the number of frames of a clip, 0 without pictures."""
    if "pictures" not in grids:
        return 0
    length = ours["tokens.pictures.patches.project.weight"].shape[2]
    along = grids["pictures"][0]
    frames = chosen.frames or along * length
    if chosen.sampled_frames and chosen.sampled_frames < frames:
        looked_at = len(_looked_at(frames, chosen.sampled_frames))
    else:
        looked_at = frames
    if math.ceil(looked_at / length) != along:
        raise CheckpointError(
            f"{where}: has positions for {along} patches along time, {looked_at} frames give "
            f"{math.ceil(looked_at / length)}. Give frames= and sampled_frames= as in its training."
        )
    return frames


def _looked_at(n_frames: int, wanted: int | None) -> tuple[int, ...]:
    """Return the numbers of the frames that the published sampling takes; empty for all.

    Multiples of F / (n + 1) below F in single precision, rounded: where that division rounds down
    the last frame comes once more, and positions were learned for it.
    """
    if wanted is None or wanted >= n_frames:
        return ()
    step = n_frames / (wanted + 1)
    numbers = np.round(np.arange(step, n_frames, step, dtype=np.float32))
    return tuple(min(int(number), n_frames - 1) for number in numbers)


def _spec(
    ours: Mapping[str, Tensor], grids: Mapping[str, Sequence[int]], frames: int, chosen: MBTImport
) -> DataSpec:
    facts: dict[str, Any] = {}
    if "pictures" in grids:
        channels = ours["tokens.pictures.patches.project.weight"].shape[1]
        facts |= {"frame_shape": (channels, *chosen.size), "clip_frames": frames}
    if "sound" in grids:
        _, channels, steps, _ = ours["tokens.sound.patches.project.weight"].shape
        facts["sound_shape"] = (channels, grids["sound"][0] * steps, chosen.bands)
    biases = [v for k, v in ours.items() if k in ("head.bias", "head.2.bias")]
    return DataSpec(**facts, classes={chosen.label: len(biases[0])} if biases else {})


def _shape(
    found: Mapping[str, Tensor], name: str, axes: int | tuple[int, ...], where: str
) -> tuple[int, ...]:
    """Return the shape of a tensor that must be there."""
    wanted = (axes,) if isinstance(axes, int) else axes
    if name not in found or found[name].dim() not in wanted:
        told = f"of shape {tuple(found[name].shape)}" if name in found else "missing"
        raise CheckpointError(f"{where}: {name} is {told}, so this is no whole MBT of Scenic.")
    return tuple(found[name].shape)
