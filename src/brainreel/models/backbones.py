"""Frame backbones: a picture to one vector; the family that `encoding` chooses from."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import DataError
from brainreel.models.base import ModelConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec, check_shape


class PixelsConfig(ModelConfig):
    """Brightness and contrast on a coarse grid, no weights: what a deep backbone must beat."""

    name: Literal["pixels"] = "pixels"
    cells: int = Field(4, ge=1)
    """Cells along each side of the picture."""

    def build(self, spec: DataSpec) -> Pixels:
        """Return the fixed backbone for frames of `spec.frame_shape`."""
        if len(spec.frame_shape) != 3:
            raise DataError("the data has no film frames. 'pixels' needs data with a film.")
        return Pixels(self.cells, spec.frame_shape)


class Pixels(nn.Module):
    """Mean and standard deviation of each channel in each of `cells` x `cells` cells.

    Attributes
    ----------
    width
        Length D = 2 C cells^2 of the vector that comes out.
    """

    def __init__(self, cells: int, frame_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.frame_shape = tuple(frame_shape)
        self.cells = cells
        self.width = 2 * frame_shape[0] * cells**2

    def forward(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) normalised pictures to (B, D): all means, then all deviations."""
        c, h, w = self.frame_shape
        check_shape(frames, "B C H W", name="frames", C=c, H=h, W=w)
        mean = functional.adaptive_avg_pool2d(frames, self.cells)
        square = functional.adaptive_avg_pool2d(frames.square(), self.cells)
        deviation = (square - mean.square()).clamp_min(0).sqrt()
        return torch.cat([mean.flatten(1), deviation.flatten(1)], dim=1)


# A new backbone is a ModelConfig whose network has `.width` and maps (B, C, H, W) to (B, D).
Backbone = Annotated[ViTConfig | PixelsConfig, Field(discriminator="name")]
