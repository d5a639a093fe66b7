"""Origin `tubevit_start`: a TubeViT that begins as an image ViT, and with tubes learned small."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.remap import Drop, Rename, remap
from brainreel.checkpoints.run_network import RunNetwork, read_network
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.layers.tube_kernels import Size
from brainreel.layers.tubes import Tube
from brainreel.models.tubevit import PUBLISHED_TUBES, TubeViTConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec

Spread = Literal["even", "central"]
_PATCHES = "patches.project."
_RULES = (
    Rename(r"((?:transformer|norm|patches)\..*|class_token)", r"\1"),
    Drop(r"positions\..*", "positions of tubes are worked out, not learned"),
    Drop(r"(?:distillation_)?head\..*", "the classes of pictures"),
    Drop(r"pre_logits\..*", "a layer before the classes of pictures"),
    Drop(r"distillation_token", "TubeViT has the class token alone"),
)


class TubeViTStart(Config):
    """What becomes of an image ViT; the rest is the ViT's own."""

    tubes: tuple[Tube, ...] = ()
    """The tubes; none: the published ones, or with `small` its own, joined to the ViT's width."""
    kernels: Literal["interpolated", "separate"] = "separate"
    """A kernel for each tube, of which that of a flat one is the ViT's; or one learned kernel for
    all, smoother and of another scale in the flat one. With `small` those that it has."""
    spread: Spread = "even"
    """Over the frames of a kernel the ViT's is laid out even, each its share, or central."""
    small: Path | None = None
    """Run folder of a TubeViT of the ViT's width, or a half or a quarter of it, whose tubes are
    taken as they were learned."""
    frozen_layers: int = Field(0, ge=0)
    """First layers that stay as they are in the ViT, with a gate behind them; see `tubevit`."""
    pooling: Literal["attention", "class"] = "attention"
    """The clip's vector: all tokens, weighed alike at first, or the class token."""
    frames: int = Field(32, ge=1)
    """Frames of a clip; with `small` those that it has."""


def inflate(kernel: Tensor, size: Size, spread: Spread = "even") -> Tensor:
    """Make a kernel over time of one of a picture: w(t, y, x) = w(y, x) / T, or w(y, x) at T // 2.

    Either way a still clip gives what the picture gave (Carreira & Zisserman 2017, section 2.4;
    the central frame: Arnab et al. 2021, section 3.4). Another height and width are interpolated
    with antialiasing, in proportion to the pixels, so that smooth pictures give the same too.

    Parameters
    ----------
    kernel
        (D, C, h, w).
    size
        (T, h', w') of the kernel that is wanted.
    spread
        Over all frames alike, or on the central one.

    Returns
    -------
    Tensor
        (D, C, T, h', w').
    """
    t, h, w = size
    plane = kernel
    if kernel.shape[2:] != (h, w):
        plane = functional.interpolate(kernel, size=(h, w), mode="bilinear", antialias=True)
        plane = plane * (math.prod(kernel.shape[2:]) / (h * w))
    if spread == "even":
        return plane.unsqueeze(2).repeat(1, 1, t, 1, 1) / t
    out = plane.new_zeros(*plane.shape[:2], t, h, w)
    out[:, :, t // 2] = plane
    return out


def read_tubevit_start(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Return a TubeViT with the transformer of an image ViT.

    Its kernels are the ViT's, inflated; or, scaling up (Piergiovanni et al. 2023),
    those of a smaller TubeViT. Where that is narrower, each tube joins 2 or 4 neighbours to the
    ViT's width: over time if it lasts, else over space, and 4 over space.

    Parameters
    ----------
    path
        Run folder of a ViT, imported or fitted.
    options
        Those of `TubeViTStart`.

    Raises
    ------
    CheckpointError
        If the networks are not of these kinds, or do not fit each other.
    """
    chosen = TubeViTStart.parse(options or {}, where="import tubevit_start")
    vit = read_network(Path(path))
    if not isinstance(vit.config, ViTConfig) or vit.config.norm != "pre":
        raise CheckpointError(f"{path}: holds no 'vit' with norm=pre. Import one first.")
    if not vit.config.qkv_bias:
        raise CheckpointError(f"{path}: its attention has no qkv_bias, which a TubeViT has.")
    made = remap(vit.state, _RULES, where=str(path))
    if _PATCHES + "bias" not in made.state or _PATCHES + "weight" not in made.state:
        raise CheckpointError(f"{path}: has no patches. Its weights are not whole; import again.")
    kernel, bias = (made.state.pop(_PATCHES + part) for part in ("weight", "bias"))
    dropped = dict(made.dropped)
    if chosen.small is None:
        spec, of_tubes, tubes = _inflated(vit, kernel, bias, chosen)
    else:
        spec, of_tubes, tubes = _taken(read_network(chosen.small), vit.config.width, chosen)
        why = "the tubes of the small TubeViT stand instead"
        dropped |= {_PATCHES + part: why for part in ("weight", "bias")}
    config = _config(vit.config, of_tubes, chosen)
    state = {**made.state, **tubes}
    state.setdefault("class_token", torch.zeros(1, 1, config.width))
    if config.pooling == "attention":
        state["pool.score.weight"] = torch.zeros(1, config.width)
    if config.frozen_layers:
        state["gate"] = torch.zeros(1)
    return Imported(config, spec, state, dropped)


def _config(vit: ViTConfig, tubes: Mapping[str, Any], chosen: TubeViTStart) -> TubeViTConfig:
    same = ("width", "depth", "heads", "mlp_ratio", "norm_eps", "gelu")
    return TubeViTConfig(
        **{name: getattr(vit, name) for name in same},
        **tubes,
        pooling=chosen.pooling,
        frozen_layers=chosen.frozen_layers,
    )


def _inflated(
    vit: RunNetwork, kernel: Tensor, bias: Tensor, chosen: TubeViTStart
) -> tuple[DataSpec, dict[str, Any], dict[str, Tensor]]:
    """Return spec, options and weights of tubes that begin as the patches of the ViT."""
    assert isinstance(vit.config, ViTConfig)
    tubes = chosen.tubes or PUBLISHED_TUBES
    if any(tube.n_joined > 1 for tube in tubes):
        raise CheckpointError(
            "joined boxes have fewer channels than the ViT's patches. Give small=RUN, a TubeViT "
            "that learned them, or tubes without 'joined'."
        )
    learned = tubes if chosen.kernels == "separate" else tubes[:1]
    state = {
        f"tubes.kernels.weights.{i}": inflate(kernel, tube.kernel, chosen.spread)
        for i, tube in enumerate(learned)
    } | {f"tubes.kernels.biases.{i}": bias.clone() for i in range(len(tubes))}
    options = {
        "tubes": tubes,
        "kernels": chosen.kernels,
        "pixel_mean": vit.config.pixel_mean,
        "pixel_std": vit.config.pixel_std,
    }
    return replace(vit.spec, clip_frames=chosen.frames, classes={}), options, state


def _taken(
    small: RunNetwork, width: int, chosen: TubeViTStart
) -> tuple[DataSpec, dict[str, Any], dict[str, Tensor]]:
    """Return spec, options and weights of tubes that a smaller TubeViT learned."""
    if not isinstance(small.config, TubeViTConfig):
        raise CheckpointError(f"{chosen.small}: holds no 'tubevit'. Give one as small=RUN.")
    factor, rest = divmod(width, small.config.width)
    if rest or factor not in (1, 2, 4):
        raise CheckpointError(
            f"{chosen.small}: its width of {small.config.width} is not {width}, nor a half or a "
            "quarter of it. Train the small TubeViT at such a width."
        )
    tubes = chosen.tubes or tuple(_joined(tube, factor) for tube in small.config.tubes)
    wanted = [(t.kernel, t.n_joined * factor) for t in small.config.tubes]
    if [(tube.kernel, tube.n_joined) for tube in tubes] != wanted:
        raise CheckpointError(
            f"{chosen.small}: learned kernels {[kernel for kernel, _ in wanted]}, which are to be "
            f"joined {[joined for _, joined in wanted]} at a time. Give such tubes, or none."
        )
    same = ("kernels", "rescale", "tau", "pixel_mean", "pixel_std")
    options = {name: getattr(small.config, name) for name in same} | {"tubes": tubes}
    state = {name: value for name, value in small.state.items() if name.startswith("tubes.")}
    return replace(small.spec, classes={}), options, state


def _joined(tube: Tube, factor: int) -> Tube:
    """Return the tube with `factor` times as many boxes a token."""
    along = {1: (1, 1, 1), 2: (1, 1, 2) if tube.is_flat else (2, 1, 1), 4: (1, 2, 2)}[factor]
    joined = tuple(old * new for old, new in zip(tube.joined, along, strict=True))
    return Tube.parse({**tube.to_dict(), "joined": joined}, where="small")
