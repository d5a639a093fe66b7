"""Any layer of any network on pictures, and pictures brought to what the network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import ConfigError, did_you_mean
from brainreel.shapes import check_shape


@dataclass(frozen=True, eq=False)
class PictureNetwork:
    """A network on pictures, and how it is asked.

    Attributes
    ----------
    name
        What its scores are called by.
    network
        With its weights, in evaluation.
    shape
        (C, H, W) that it takes.
    call
        (B, C, H, W) pictures in [0, 1] of that shape to what the network gives: logits (B, K) of
        a classifier.
    """

    name: str
    network: nn.Module
    shape: tuple[int, int, int]
    call: Callable[[Tensor], Any]

    def check_layers(self, names: Sequence[str]) -> None:
        """Refuse layers that the network does not have.

        Raises
        ------
        ConfigError
            With the near name.
        """
        known = [name for name, _ in self.network.named_modules() if name]
        for name in names:
            if name not in known:
                near = did_you_mean(name, known if len(known) < 40 else _tops(known, name))
                raise ConfigError(f"{self.name}: has no layer '{name}'.{near}")

    def look(self, pictures: Tensor, layers: Sequence[str]) -> tuple[Any, dict[str, Tensor]]:
        """Return what the network gives for (B, C, H, W) pictures, and what its layers hold."""
        held: dict[str, Tensor] = {}
        with torch.no_grad(), _kept(self.network, layers, held):
            out = self.call(fitted(pictures, self.shape))
        for name in layers:
            if name not in held:
                raise ConfigError(f"{self.name}: its layer '{name}' gives no tensor to read.")
        return out, held


def _tops(known: Sequence[str], name: str) -> list[str]:
    """Return names as deep as a wrong one, so that the list of a large network stays short."""
    return [other for other in known if other.count(".") == name.count(".")][:40]


@contextmanager
def _kept(network: nn.Module, layers: Sequence[str], held: dict[str, Tensor]) -> Iterator[None]:
    """Keep what some layers give while a network runs."""

    def keeper(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_module: nn.Module, _given: Any, out: Any) -> None:
            first = out if isinstance(out, Tensor) else next(iter(_values(out)), None)
            if isinstance(first, Tensor) and first.ndim >= 2:
                held[name] = first.float()

        return keep

    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(keeper(name)) for name in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _values(out: Any) -> list[Any]:
    if hasattr(out, "values"):
        return list(out.values())
    return list(out) if isinstance(out, list | tuple) else []


def fitted(pictures: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Bring pictures to a network's channels and size.

    Grey ones get equal channels, colours for a network on grey their mean; other sizes are
    stretched, bilinear with antialiasing.

    Parameters
    ----------
    pictures
        (B, C, H, W) in [0, 1].
    shape
        (C', H', W').
    """
    check_shape(pictures, "B C H W", name="pictures")
    channels, height, width = shape
    if pictures.shape[1] != channels:
        pictures = pictures.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
    if tuple(pictures.shape[2:]) != (height, width):
        pictures = functional.interpolate(
            pictures, (height, width), mode="bilinear", antialias=True, align_corners=False
        )
    return pictures.clamp(0, 1)


def as_maps(layer: Tensor) -> Tensor | None:
    """Return what a layer holds as (B, C, H, W): tokens (B, T, C) in a row; None of vectors."""
    if layer.ndim == 3:
        return layer.transpose(1, 2)[..., None]
    return layer if layer.ndim == 4 else None


def pooled(layer: Tensor) -> Tensor:
    """Return what a layer holds as (B, C), maps and tokens averaged over space."""
    maps = as_maps(layer)
    return layer.flatten(1) if maps is None else maps.mean(dim=(2, 3))
