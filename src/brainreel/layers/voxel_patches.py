"""Voxel vectors cut into patches: brought to a whole number of them, and back to voxels."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from brainreel.errors import ShapeError

Padding = Literal["wrap", "constant"]


def count_patches(n_voxels: int, patch: int) -> int:
    """Return ceil(V / P), the patches of P voxels that hold V; no more than are needed."""
    return math.ceil(n_voxels / patch)


def padded(voxels: Tensor, length: int, padding: Padding = "wrap") -> Tensor:
    """Return vectors of a given length: y_i = x_(i mod V), or 0 from V on.

    Parameters
    ----------
    voxels
        (..., V).
    length
        Length of the result, at least V.
    padding
        `"wrap"`: the vector begins anew at its end; `"constant"`: zeros, which are the mean of a
        voxel that was z-scored.

    Returns
    -------
    Tensor
        (..., length); the vectors themselves where they have this length.

    Raises
    ------
    ShapeError
        If the vectors are longer, or empty.

    Notes
    -----
    Chen et al. 2023, MinD-Vis: wrapping round gives better pictures than zeros.
    """
    n = voxels.shape[-1]
    if not 0 < n <= length:
        raise ShapeError(f"vectors of {n} voxels cannot be padded to {length}.")
    if n == length:
        return voxels
    if padding == "constant":
        return functional.pad(voxels, (0, length - n))
    return voxels[..., torch.arange(length, device=voxels.device) % n]


def cut(voxels: Tensor, patch: int) -> Tensor:
    """(B, N * P) to (B, N, P), patch after patch."""
    return voxels.reshape(len(voxels), -1, patch)


def joined_patches(patches: Tensor, n_voxels: int) -> Tensor:
    """(B, N, P) back to (B, V), without what was padded, in the order that the voxels had."""
    return patches.flatten(1)[:, :n_voxels]
