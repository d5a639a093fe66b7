"""Every patch of a voxel vector filled in from the others, none of it seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from brainreel.layers.masking import keep_lowest, n_kept, put_last
from brainreel.layers.voxel_patches import joined_patches
from brainreel.models.sc_mbm import SCMBM


def rounds(n_patches: int, ratio: float, generator: torch.Generator) -> Tensor:
    """Return noise (R, N) that hides every patch at least once, each about as often.

    The patches stand in a circle in random order; each round hides the next N - K of them, K the
    number that is seen, and begins min(K, N - K) further on.
    """
    n_hidden = n_patches - n_kept(n_patches, ratio)
    step = max(1, min(n_hidden, n_patches - n_hidden))
    order = torch.randperm(n_patches, generator=generator)
    starts = torch.arange(math.ceil(n_patches / step)) * step
    hidden = order[(starts[:, None] + torch.arange(n_hidden)) % n_patches]
    noise = torch.rand(len(starts), n_patches, generator=generator)
    return put_last(noise, hidden)


@torch.no_grad()
def fill(network: SCMBM, voxels: Tensor, noise: Tensor) -> Tensor:
    """Return vectors in which every voxel is told from patches that do not hold it.

    y_v = mean of what is filled in for voxel v over the rounds that hide its patch. What a round
    hides is 0 in its input, for where a vector is wrapped round the same voxels stand in other
    patches too.

    Parameters
    ----------
    network
        In evaluation mode.
    voxels
        (B, V) of one person.
    noise
        (R, N), as `rounds` gives it.
    """
    n_voxels, patch = voxels.shape[1], network.encoder.patch
    total = voxels.new_zeros(len(voxels), noise.shape[1], patch)
    times = voxels.new_zeros(noise.shape[1], 1)
    for row in noise.to(voxels.device):
        removed = keep_lowest(row[None], network.mask_ratio).removed
        hidden = removed.repeat_interleave(patch, dim=1)[:, :n_voxels]
        out = network(voxels.masked_fill(hidden, 0.0), row.expand(len(voxels), -1))
        total += out.predicted.float() * removed[:, :, None]
        times += removed[0][:, None]
    return joined_patches(total / times, n_voxels)
