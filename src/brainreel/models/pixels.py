"""Backbone `pixels`: brightness and contrast on a grid, nothing learned."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from brainreel.models.stimulus import (
    FrameConfig,
    FrameNetwork,
    PictureOptions,
    linear_head,
    need_frame_shape,
)
from brainreel.shapes import DataSpec, check_shape


class PixelsConfig(FrameConfig, PictureOptions):
    """Brightness and contrast on a coarse grid, no weights: what a deep backbone must beat."""

    name: Literal["pixels"] = "pixels"
    cells: int = Field(4, ge=1)
    """Cells along each side of the picture."""

    def build(self, spec: DataSpec) -> Pixels:
        """Return the fixed backbone for frames of `spec.frame_shape`."""
        need_frame_shape(spec, self.name)
        return Pixels(self, spec)


class Pixels(FrameNetwork):
    """Mean and standard deviation of each channel in each of `cells` x `cells` cells.

    Attributes
    ----------
    width
        Length D = 2 C cells^2 of the vector that comes out.
    """

    def __init__(self, config: PixelsConfig, spec: DataSpec) -> None:
        super().__init__()
        self.frame_shape = tuple(spec.frame_shape)
        self.cells = config.cells
        self.width = 2 * spec.frame_shape[0] * config.cells**2
        self.scale = config.pixel_scale()
        self.head = linear_head(self.width, spec)

    def embed(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) pictures to (B, D): all means, then all deviations."""
        c, h, w = self.frame_shape
        check_shape(frames, "B C H W", name="frames", C=c, H=h, W=w)
        pixels = self.scale(frames)
        mean = functional.adaptive_avg_pool2d(pixels, self.cells)
        square = functional.adaptive_avg_pool2d(pixels.square(), self.cells)
        deviation = (square - mean.square()).clamp_min(0).sqrt()
        return torch.cat([mean.flatten(1), deviation.flatten(1)], dim=1)
