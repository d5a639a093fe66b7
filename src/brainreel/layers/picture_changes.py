"""Random changes of training pictures, the same for a picture and for a first guess of it."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from brainreel.config import Config

# Points of the coarse grid, along each side, that are moved to bend a picture.
_BENDS = 5


class PictureChanges(Config):
    """Random crops (published), and for small sets turns, shifts, stretches and bends."""

    crop: float = Field(0.8, gt=0, le=1)
    """Side of a random crop as a share of the picture's; it is resized to the whole."""
    crop_rate: float = Field(0.5, ge=0, le=1)
    """Share of pictures that are cropped; 0.5 as published, which moves what voxels with receptive
    fields saw."""
    turn_deg: float = Field(0.0, ge=0)
    """Standard deviation of a turn, in degrees."""
    shift: float = Field(0.0, ge=0)
    """Standard deviation of a shift along each axis, as a share of the side."""
    stretch: float = Field(0.0, ge=0)
    """Standard deviation of a change of size, and of a shear, as shares."""
    bend: float = Field(0.0, ge=0)
    """Standard deviation of how far points of a coarse grid are moved, as a share of the side."""

    @property
    def none(self) -> bool:
        """Whether nothing is changed."""
        return not (self.crop_rate or self.turn_deg or self.shift or self.stretch or self.bend)

    def grid(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Draw where each pixel of `n` changed pictures comes from.

        x' = A x + t + bend(x), x from -1 to 1 over the picture

        Returns
        -------
        (n, H, W, 2), as `torch.nn.functional.grid_sample` takes it.
        """

        def normal(*shape: int) -> Tensor:
            return torch.randn(n, *shape, generator=generator)

        turn = normal() * math.radians(self.turn_deg)
        size, shear = 1 + self.stretch * normal(), self.stretch * normal()
        cropped = torch.rand(n, generator=generator) < self.crop_rate
        side = torch.where(cropped, self.crop, 1.0)
        place = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - side)[:, None]
        affine = torch.zeros(n, 2, 3)
        affine[:, 0, 0], affine[:, 0, 1] = turn.cos() * size * side, (shear - turn.sin()) * side
        affine[:, 1, 0], affine[:, 1, 1] = turn.sin() * side, turn.cos() * size * side
        affine[:, :, 2] = place + 2 * self.shift * normal(2)
        grid = affine_grid(affine, [n, 1, height, width], align_corners=False)
        points = 2 * self.bend * normal(2, _BENDS, _BENDS)
        bends = interpolate(points, size=(height, width), mode="bicubic", align_corners=True)
        return grid + bends.permute(0, 2, 3, 1)

    def apply(self, pictures: Tensor, grid: Tensor) -> Tensor:
        """Return (B, C, H, W) pictures changed by a grid; beyond the edge they go on as at it."""
        return grid_sample(pictures, grid.to(pictures), padding_mode="border", align_corners=False)
