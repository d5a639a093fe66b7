"""Pictures drawn of test trials, and the one that stands for all that were drawn of a brain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from brainreel.data.loading import mixed_seed
from brainreel.data.picture_rows import PictureBatch, PictureRows, collate_pictures
from brainreel.models.brain_diffusion import BrainDiffusion
from brainreel.models.conditioner import Condition
from brainreel.models.sampling import SamplingOptions
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]
Rule = Literal["first", "average", "consensus"]


class DrawOptions(SamplingOptions):
    """How pictures are drawn of a brain, and which of them stands for all."""

    samples: int = Field(5, ge=1)
    """Pictures drawn of each brain; published: 5."""
    rule: Rule = "first"
    """Which picture stands for all samples of a brain, without a look at the true one: the first;
    average, the mean of all; or consensus, the sample that is nearest to that mean."""


def seeds_of(seed: int, rows: Sequence[int], n_samples: int) -> torch.Tensor:
    """Return (B, S) seeds: those of a trial do not depend on which others are drawn."""
    own = [[mixed_seed(seed, row, sample) for sample in range(n_samples)] for row in rows]
    return torch.tensor(own, dtype=torch.int64)


def draw_pictures(
    network: BrainDiffusion,
    rows: PictureRows,
    seeds: torch.Tensor,
    sampling: SamplingOptions,
    device: torch.device,
    batch: int,
) -> Float32:
    """Draw pictures of what brains saw.

    Parameters
    ----------
    network
        The diffusion with its encoder.
    rows
        B trials; their pictures are not looked at.
    seeds
        (B, S) of S samples of each.
    sampling
        Sampler and steps.
    device
        Where to draw.
    batch
        Brains encoded at once.

    Returns
    -------
    (B, S, C, H, W) in [0, 1], rounded to whole steps of 1 / 255.
    """
    network = network.to(device).eval()
    drawn = []
    for first in range(0, len(rows), batch):
        part = collate_pictures([rows[i] for i in range(first, min(first + batch, len(rows)))])
        condition = _condition(network, part, device)
        drawn.append(network.reconstruct(condition, seeds[first : first + batch], sampling).cpu())
    samples: Float32 = np.rint(torch.cat(drawn).float().numpy() * 255) / np.float32(255)
    return samples


@torch.no_grad()
def _condition(network: BrainDiffusion, part: PictureBatch, device: torch.device) -> Condition:
    guesses = part.guesses.to(device) if network.first_guess else None
    return network.condition(part.voxels.to(device), None, guesses)


def chosen(samples: Float32, rule: Rule) -> Float32:
    """Return one picture of each brain, by a rule that never sees the true one.

    Parameters
    ----------
    samples
        (B, S, C, H, W).
    rule
        first: the first sample; average: the mean of all, pixel by pixel, which is the best guess
        for squared error and looks smoother than any picture; consensus: the sample that is nearest
        to that mean.

    Returns
    -------
    (B, C, H, W).
    """
    check_shape(samples, "B S C H W", name="samples")
    if rule == "first":
        first: Float32 = samples[:, 0]
        return first
    mean: Float32 = samples.mean(axis=1, dtype=np.float32)
    if rule == "average":
        return mean
    far = ((samples - mean[:, None]) ** 2).mean(axis=(2, 3, 4))
    nearest: Float32 = samples[np.arange(len(samples)), far.argmin(axis=1)]
    return nearest
