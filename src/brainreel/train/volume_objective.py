"""What a reconstructed volume is held to: TFF's three losses, weighed, on one of the two views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.config import Config
from brainreel.data.volume_windows import VolumeBatch
from brainreel.train.losses import SumAndCount
from brainreel.train.volume_losses import (
    VGGFront,
    absolute_error,
    draw_slices,
    intense_voxels,
    perceptual_error,
    squared_volume_error,
)

Parts = dict[str, SumAndCount]

# Which of the two views of a volume is reconstructed.
VIEWS = {"global": 0, "voxel": 1}


class VolumeLossConfig(Config):
    """TFF's three-part loss; the defaults are the published ones."""

    target: Literal["global", "voxel"] = "global"
    """What is reconstructed: the volume normalised over everything, anatomy and all (as
    published), or voxel by voxel, where only what changes over time is left."""
    error: Literal["absolute", "squared"] = "absolute"
    """Distance of reconstructed and measured voxels."""
    where: Literal["everywhere", "brain"] = "everywhere"
    """Which voxels the first part counts: the background too (as published), or the person's."""
    reconstruction: float = Field(1.0, ge=0)
    """Weight of the error over all of these voxels."""
    intensity: float = Field(1.0, ge=0)
    """Weight of the error over intense voxels alone."""
    quantile: float = Field(0.9, ge=0, lt=1)
    """Voxels above this quantile of the positive z-scores of a volume are intense."""
    perceptual: float = Field(1.0, ge=0)
    """Weight of what VGG16 sees differently in axial slices; off without `vgg`."""
    slices: float = Field(0.25, gt=0, le=1)
    """Share of the axial slices that VGG16 looks at, drawn anew each step (published: a quarter
    of those of single volumes, a tenth of those of sequences)."""
    vgg: Path | None = None
    """File of VGG16's weights, with torchvision's names; none: the perceptual part is off."""

    @property
    def perceives(self) -> bool:
        """Whether the perceptual part takes part."""
        return self.vgg is not None and self.perceptual > 0

    def told(self) -> dict[str, Any]:
        """Return what a reader of the scores must know."""
        told: dict[str, Any] = {
            "reconstructed": self.target,
            "loss": f"{self.error} error {self.where} x {self.reconstruction:g}, over intense "
            f"voxels x {self.intensity:g}, perceptual x {self.perceptual * self.perceives:g}",
        }
        if self.perceptual > 0 and self.vgg is None:
            told["perceptual loss"] = "off: task.loss.vgg names no weights of VGG16"
        return told


class VolumeLoss(nn.Module):
    """loss = a L(all voxels) + b L(intense voxels) + c (MSE relu1_2 + MSE relu2_2 of slices).

    Malkiel et al. 2022, section 3.3. Each part is the mean over what it counts on all ranks.
    """

    def __init__(self, config: VolumeLossConfig) -> None:
        super().__init__()
        self.config = config
        self.vgg = VGGFront.read(config.vgg) if config.vgg and config.perceives else None
        self._error: Callable[..., SumAndCount] = (
            absolute_error if config.error == "absolute" else squared_volume_error
        )

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each part that takes part."""
        config = self.config
        weights = {"reconstruction": config.reconstruction, "intensity": config.intensity}
        weights["perceptual"] = config.perceptual if self.vgg else 0.0
        return {name: weight for name, weight in weights.items() if weight > 0}

    def forward(self, predicted: Tensor, batch: VolumeBatch, seed: int) -> Parts:
        """Return sum and count of each part.

        Parameters
        ----------
        predicted
            (B, T, X, Y, Z) on the scale of the target.
        batch
            What was measured, and which volumes count.
        seed
            Of the slices.
        """
        if not batch.counted.any():
            # Every rank takes part in the backward pass, also with nothing that counts.
            return {name: (predicted.sum() * 0, predicted.new_zeros(())) for name in self.weights}
        ours, views = _counted(predicted.float(), batch), _counted(batch.views, batch)
        measured, parts = views[:, :, VIEWS[self.config.target]], Parts()
        for name in self.weights:
            if name == "perceptual":
                assert self.vgg is not None
                generator = torch.Generator().manual_seed(seed)
                chosen = draw_slices(ours.shape, self.config.slices, generator)
                parts[name] = perceptual_error(ours, measured, self.vgg, chosen.to(ours.device))
            elif name == "intensity":
                intense = intense_voxels(views[:, :, VIEWS["voxel"]], self.config.quantile)
                parts[name] = self._error(ours, measured, intense)
            else:
                parts[name] = self._error(ours, measured, self._where(batch))
        return parts

    def _where(self, batch: VolumeBatch) -> Tensor | None:
        """Return the (1, N, X, Y, Z) voxels of the counted volumes that count; None for all."""
        if self.config.where == "everywhere":
            return None
        n_trs = batch.counted.shape[1]
        return batch.inside.unsqueeze(1).expand(-1, n_trs, -1, -1, -1)[batch.counted][None]


def _counted(values: Tensor, batch: VolumeBatch) -> Tensor:
    """(B, T, ...) to the (1, N, ...) of the volumes that count; no copy where all do."""
    if batch.counted.all():
        return values.flatten(0, 1)[None]
    return values[batch.counted][None]
