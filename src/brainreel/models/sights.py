"""Backbone `sights`: how bright a film is, how it varies and changes; nothing learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from brainreel.layers.clip import Clip
from brainreel.models.stimulus import (
    StimulusConfig,
    StimulusNetwork,
    linear_head,
    need_frame_shape,
)
from brainreel.shapes import DataSpec

# Weights of red, green and blue in luma (ITU-R BT.601), by which films are encoded.
_LUMA = (0.299, 0.587, 0.114)


class SightsConfig(StimulusConfig):
    """Luminance, contrast and change, of the whole picture and coarsely by place; no weights."""

    name: Literal["sights"] = "sights"
    cells: int = Field(3, ge=1)
    """Cells along each side of the picture; 1 for the whole picture alone."""

    def build(self, spec: DataSpec) -> Sights:
        """Return the fixed backbone for frames of `spec.frame_shape`."""
        need_frame_shape(spec, self.name)
        return Sights(self, spec)


class Sights(StimulusNetwork):
    """Mean and deviation of luma x, and mean |x_f - x_{f-1}|, averaged over the frames of a clip.

    Each over the whole picture, and over each cell of a grid.

    Attributes
    ----------
    width
        Length D = 3 (1 + cells^2) of the vector that comes out; 3 for one cell.
    """

    luma: Tensor

    def __init__(self, config: SightsConfig, spec: DataSpec) -> None:
        super().__init__()
        self.frame_shape = tuple(spec.frame_shape)
        self.grids = (1,) if config.cells == 1 else (1, config.cells)
        channels = spec.frame_shape[0]
        weights = _LUMA if channels == len(_LUMA) else (1 / channels,) * channels
        self.register_buffer("luma", torch.tensor(weights).reshape(-1, 1, 1), persistent=False)
        self.places = sum(side**2 for side in self.grids)
        self.width = 3 * self.places
        self.head = linear_head(self.width, spec)

    @property
    def spaces(self) -> Mapping[str, int]:
        """Feature spaces that the columns fall into, in order."""
        return dict.fromkeys(("luminance", "contrast", "change"), self.places)

    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) features of B clips: all luminances, all contrasts, all changes."""
        frames = clip.need_frames(self.frame_shape, who="sights")
        scale = 255.0 if frames.dtype == torch.uint8 else 1.0
        x = (frames * (self.luma / scale)).sum(dim=2)
        mean, square = self._means(x), self._means(x.square())
        contrast = (square - mean.square()).clamp_min(0).sqrt()
        # A clip of one frame does not change.
        change = self._means(x.diff(dim=1, prepend=x[:, :1]).abs())
        return torch.cat([part.mean(dim=1) for part in (mean, contrast, change)], dim=1)

    def _means(self, pictures: Tensor) -> Tensor:
        """(B, F, H, W) to (B, F, places): the mean over each."""
        means = [functional.adaptive_avg_pool2d(pictures, side).flatten(2) for side in self.grids]
        return torch.cat(means, dim=2)
