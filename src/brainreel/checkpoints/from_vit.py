"""Origin `vit`: ViT and DeiT from timm or Hugging Face, AST from Hugging Face or its authors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from brainreel.checkpoints import vit_names as names
from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.readers import read_sizes, read_tensors, without_prefix
from brainreel.checkpoints.remap import Drop, Remapped, Rename, remap
from brainreel.checkpoints.vit_sizes import Sizes, told_sizes
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.layers.transformer import Gelu
from brainreel.models.ast import ASTConfig
from brainreel.models.encoder import Sides, sides
from brainreel.models.stimulus import Scale
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec

Family = Literal["timm", "hugging_face", "ast"]
_KERNEL = "patches.project.weight"
# A width of 64 a head, as in every published ViT, DeiT and AST.
_HEAD_WIDTH = 64


class ViTImport(Config):
    """What a file of ViT, DeiT or AST weights does not tell; config.json tells most of it."""

    heads: int | None = Field(None, ge=1)
    """Attention heads; none for those of config.json, else one for each 64 of the width."""
    size: tuple[int, int] | None = None
    """Height and width in pixels, or steps of time and mel bands, that the positions are for; none
    for those of config.json, else a square picture, or 1024 x 128 of sound."""
    stride: Sides | None = None
    """Of AST's patches in time and mel bands; none for that of config.json, else 10."""
    norm_eps: float | None = Field(None, gt=0)
    """Added to the variance in LayerNorm; none for that of config.json, else 1e-6 (timm) or 1e-12
    (Hugging Face)."""
    gelu: Gelu | None = None
    """Form of GELU; none for that of config.json, else exact."""
    mean: Scale | None = None
    """Subtracted from pixels in [0, 1] or from log-mel energies; none for the file's own."""
    std: Scale | None = None
    """What they are divided by (for sound, twice the deviation); none for the file's own."""
    pooler: bool = False
    """Keep Hugging Face's pooler, a layer with tanh after the class token."""
    label: str = "label"
    """What the classes are called."""


def read_vit(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read published weights of ViT, DeiT or AST.

    Parameters
    ----------
    path
        A Hugging Face folder, or a file that `read_tensors` reads.
    options
        Those of `ViTImport`.

    Raises
    ------
    CheckpointError
        If it holds anything else; tensors that are not known or missing are named.
    """
    chosen = ViTImport.parse(options or {}, where="import vit")
    return vit_from_tensors(read_tensors(path), chosen, read_sizes(path), where=str(path))


def vit_from_tensors(
    state: Mapping[str, Tensor],
    options: ViTImport,
    told: Mapping[str, Any] | None = None,
    *,
    where: str,
) -> Imported:
    """Return tensors under timm's or Hugging Face's names as a `ViT` or an `AST`.

    Parameters
    ----------
    state
        Their name -> tensor.
    options
        What the tensors do not tell.
    told
        The content of config.json, {} without.
    where
        The file, as errors call it.
    """
    found, family = _recognised(state, where)
    remapped = remap(found, _rules(family, found, options), where=where)
    needed = (_KERNEL, "class_token", "positions.table")
    if missing := [name for name in needed if name not in remapped.state]:
        raise CheckpointError(f"{where}: is not whole; nothing in it becomes {missing[0]}.")
    kernel = remapped.state[_KERNEL]
    if kernel.dim() != 4 or remapped.state["positions.table"].dim() != 3:
        raise CheckpointError(f"{where}: patches or positions have another shape than a ViT's.")
    hears = family == "ast" or (family == "hugging_face" and _is_ast(told or {}, kernel))
    sizes = told_sizes(told or {}, hears=hears, timm=family != "hugging_face")
    build = _as_ast if hears else _as_vit
    return build(remapped, options, sizes, where)


def _recognised(state: Mapping[str, Tensor], where: str) -> tuple[dict[str, Tensor], Family]:
    """Return the tensors without the name of the model before theirs, and who named them."""
    found = without_prefix(state, "module.")
    if "mlp_head.1.weight" in found and "v.cls_token" in found:
        return without_prefix(found, "v."), "ast"
    found = without_prefix(found, "vit.", "deit.", "audio_spectrogram_transformer.")
    if "cls_token" in found:
        return found, "timm"
    if "embeddings.cls_token" in found:
        return found, "hugging_face"
    raise CheckpointError(
        f"{where}: holds no ViT, DeiT or AST: none of its {len(state)} tensors is a class token "
        "named as in timm or Hugging Face. Check the origin."
    )


def _rules(
    family: Family, state: Mapping[str, Tensor], options: ViTImport
) -> tuple[Rename | Drop, ...]:
    if family == "ast":
        return (*names.TIMM, *names.AST_HEADS)
    if family == "timm":
        return (*names.TIMM, *names.TIMM_HEADS)
    both = "embeddings.distillation_token" in state
    return (
        *names.HUGGING_FACE,
        names.CLASS_TOKEN_ALONE if both else names.CLASSIFIER,
        names.POOLER if options.pooler else names.NO_POOLER,
    )


def _is_ast(told: Mapping[str, Any], kernel: Tensor) -> bool:
    """Go by config.json, and without one by the single channel of a spectrogram."""
    model = told.get("model_type")
    return model == "audio-spectrogram-transformer" or (model is None and kernel.shape[1] == 1)


def _common(state: Mapping[str, Tensor], options: ViTImport, sizes: Sizes) -> dict[str, Any]:
    """Return the options that shapes, config.json and the user give, for both models."""
    width = state[_KERNEL].shape[0]
    blocks = {name.split(".")[2] for name in state if name.startswith("transformer.blocks.")}
    expand = state.get("transformer.blocks.0.feedforward.expand.weight")
    return {
        "width": width,
        "depth": len(blocks),
        "heads": options.heads or sizes.heads or max(1, width // _HEAD_WIDTH),
        "mlp_ratio": 4.0 if expand is None else expand.shape[0] / width,
        "positions": "learned",
        "pooling": "distilled" if "distillation_token" in state else "class",
        "norm_eps": options.norm_eps or sizes.norm_eps,
        "gelu": options.gelu or sizes.gelu,
        "qkv_bias": not blocks or "transformer.blocks.0.attention.qkv.bias" in state,
    }


def _as_vit(remapped: Remapped, options: ViTImport, sizes: Sizes, where: str) -> Imported:
    state = dict(remapped.state)
    _, channels, *patch = state[_KERNEL].shape
    n_places = _fold_special(state, where)
    if size := options.size or sizes.size:
        counts = tuple(math.ceil(n / p) for n, p in zip(size, patch, strict=True))
    else:
        counts = (math.isqrt(n_places),) * 2
        size = (counts[0] * patch[0], counts[1] * patch[1])
    _lay_out(state, counts, n_places, where)
    pre_logits = state.get("pre_logits.0.weight")
    given = {
        **_common(state, options, sizes),
        "pixel_mean": _first(options.mean, sizes.mean, 0.5),
        "pixel_std": _first(options.std, sizes.std, 0.5),
        "patch": tuple(patch),
        "pre_logits": 0 if pre_logits is None else pre_logits.shape[0],
    }
    config = ViTConfig.parse(given, where=where)
    spec = DataSpec(
        frame_shape=(channels, *size), classes=_classes(state, "head.weight", options.label)
    )
    notes = () if sizes.mean is not None or options.mean is not None else (
        "No file tells the scale of the pixels; mean and std of 0.5 were taken (mean=, std=).",
    )  # fmt: skip
    return Imported(config, spec, state, remapped.dropped, notes)


def _as_ast(remapped: Remapped, options: ViTImport, sizes: Sizes, where: str) -> Imported:
    state = dict(remapped.state)
    # Published kernels and positions have mel bands first and time second.
    kernel = state[_KERNEL] = state[_KERNEL].transpose(2, 3).contiguous()
    _, channels, *patch = kernel.shape
    stride = sides(options.stride) if options.stride is not None else sizes.stride or (10, 10)
    size = options.size or sizes.size or (1024, 128)
    n_places = _fold_special(state, where)
    each = zip(size, patch, stride, strict=True)
    counts = tuple(1 + max(0, n - p) // s for n, p, s in each)
    _lay_out(state, counts[::-1], n_places, where)
    state["positions.table"] = state["positions.table"].transpose(0, 1).contiguous()
    given = {
        **_common(state, options, sizes),
        "sound_mean": _first(options.mean, sizes.mean, -4.2677393),
        "sound_std": _first(options.std, sizes.std, 2 * 4.5689974),
        "patch": tuple(patch),
        "stride": stride,
    }
    config = ASTConfig.parse(given, where=where)
    spec = DataSpec(
        sound_shape=(channels, *size), classes=_classes(state, "head.1.weight", options.label)
    )
    return Imported(config, spec, state, remapped.dropped)


def _fold_special(state: dict[str, Tensor], where: str) -> int:
    """Add the positions of special tokens to these; return how many places are left."""
    table = state["positions.table"]
    special = [name for name in ("class_token", "distillation_token") if name in state]
    if table.shape[1] <= len(special) or table.shape[2] != state["class_token"].shape[-1]:
        raise CheckpointError(
            f"{where}: positions of shape {tuple(table.shape)} do not fit its tokens."
        )
    for number, name in enumerate(special):
        state[name] = state[name] + table[:, number : number + 1]
    state["positions.table"] = table[:, len(special) :]
    return table.shape[1] - len(special)


def _lay_out(state: dict[str, Tensor], counts: tuple[int, ...], n_places: int, where: str) -> None:
    """Give the positions the shape of their grid."""
    if math.prod(counts) != n_places:
        grid = " x ".join(map(str, counts))
        raise CheckpointError(
            f"{where}: has positions for {n_places} patches, not for a grid of {grid}. "
            "Give size=[HEIGHT, WIDTH] of its pictures, or [STEPS, BANDS] and stride of its sound."
        )
    state["positions.table"] = state["positions.table"].reshape(*counts, -1)


def _classes(state: Mapping[str, Tensor], head: str, label: str) -> dict[str, int]:
    return {label: state[head].shape[0]} if head in state else {}


def _first(*given: Any) -> Any:
    """Return the first that is given."""
    return next(value for value in given if value is not None)
