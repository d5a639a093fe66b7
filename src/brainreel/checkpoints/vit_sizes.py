"""What config.json and preprocessor_config.json tell of a ViT, a DeiT or an AST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brainreel.errors import CheckpointError
from brainreel.layers.transformer import Gelu
from brainreel.models.stimulus import Scale

_GELUS: dict[str, Gelu] = {
    "gelu": "exact",
    "gelu_python": "exact",
    "gelu_new": "tanh",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
}


@dataclass(frozen=True)
class Sizes:
    """What is told; None where it is not.

    Attributes
    ----------
    heads
        Attention heads.
    size
        (H, W) in pixels, or (S, M) steps and mel bands.
    stride
        Of spectrogram patches, in time and mel bands.
    norm_eps
        Added to the variance in LayerNorm.
    gelu
        Form of GELU.
    mean, std
        The scale of pixels in [0, 1], or of log-mel energies.
    """

    heads: int | None
    size: tuple[int, int] | None
    stride: tuple[int, int] | None
    norm_eps: float
    gelu: Gelu
    mean: Scale | None
    std: Scale | None


def told_sizes(told: Mapping[str, Any], *, hears: bool, timm: bool) -> Sizes:
    """Read what a config.json of Hugging Face or timm tells.

    Parameters
    ----------
    told
        Its content, with that of preprocessor_config.json under `preprocessor`.
    hears
        Whether the network takes sound.
    timm
        Whether the tensors have timm's names.

    Raises
    ------
    CheckpointError
        If a value is of another kind than it should be, or the activation is none of ours.
    """
    try:
        return _told(told, hears, timm)
    except (TypeError, ValueError, IndexError) as problem:
        raise CheckpointError(
            f"config.json: a size or scale in it is not what it should be ({problem})."
        ) from problem


def _told(told: Mapping[str, Any], hears: bool, timm: bool) -> Sizes:
    act = str(told.get("hidden_act", "gelu"))
    if act not in _GELUS:
        raise CheckpointError(f"config.json: the activation '{act}' is no GELU. Not supported.")
    scale = _sound_scale(told) if hears else _pixel_scale(told)
    heads = told.get("num_attention_heads")
    return Sizes(
        heads=None if heads is None else int(heads),
        size=_sound_size(told) if hears else _picture_size(told),
        stride=(int(told["time_stride"]), int(told["frequency_stride"]))
        if hears and {"time_stride", "frequency_stride"} <= told.keys()
        else None,
        norm_eps=float(told.get("layer_norm_eps", 1e-6 if timm else 1e-12)),
        gelu=_GELUS[act],
        mean=scale[0],
        std=scale[1],
    )


def _picture_size(told: Mapping[str, Any]) -> tuple[int, int] | None:
    of_timm = told.get("pretrained_cfg", {}).get("input_size", (None,))[1:]
    given = told.get("image_size", of_timm or None)
    if given is None:
        return None
    height, width = (given, given) if isinstance(given, int) else given
    return int(height), int(width)


def _sound_size(told: Mapping[str, Any]) -> tuple[int, int] | None:
    if not {"max_length", "num_mel_bins"} <= told.keys():
        return None
    return int(told["max_length"]), int(told["num_mel_bins"])


def _pixel_scale(told: Mapping[str, Any]) -> tuple[Scale | None, Scale | None]:
    shown = told.get("preprocessor", {})
    if shown.get("do_normalize") is False:
        return 0.0, 1.0
    of_timm = told.get("pretrained_cfg", {})
    mean = shown.get("image_mean", of_timm.get("mean"))
    std = shown.get("image_std", of_timm.get("std"))
    if mean is None or std is None:
        return None, None
    return tuple(map(float, mean)), tuple(map(float, std))


def _sound_scale(told: Mapping[str, Any]) -> tuple[Scale | None, Scale | None]:
    heard = told.get("preprocessor", {})
    if heard.get("do_normalize") is False:
        return 0.0, 1.0
    if not {"mean", "std"} <= heard.keys():
        return None, None
    # Published code divides by twice the deviation.
    return float(heard["mean"]), 2 * float(heard["std"])
