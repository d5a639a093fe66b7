"""Random changes of voxel vectors in training: voxels dropped, vectors mixed."""

from __future__ import annotations

import torch
from torch import Tensor

from brainreel.errors import ConfigError, ShapeError


def drop_voxels(voxels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return vectors with some voxels at their mean: y_v = 0 for round(share V) of V voxels.

    Which they are is drawn anew for each vector.

    Parameters
    ----------
    voxels
        (..., V) z-scored, before padding: of a voxel that is wrapped round no copy must stay.
    share
        Of the voxels, from 0 to below 1.
    generator
        Draws them.

    Raises
    ------
    ConfigError
        If the share is outside [0, 1).

    Notes
    -----
    Chen et al. 2023, MinD-Vis, with 0.2; its published code takes the share of an axis of length
    one, and drops nothing.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"a share of {share:g} of the voxels cannot be dropped; give 0 to 1.")
    n_dropped = round(share * voxels.shape[-1])
    if not n_dropped:
        return voxels
    noise = torch.rand(voxels.shape, generator=generator)
    dropped = noise.argsort(dim=-1)[..., :n_dropped].to(voxels.device)
    return voxels.scatter(-1, dropped, 0.0)


def mix_vectors(one: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Return y = w x + (1 - w) x' with w uniform in [0, 1), one for each vector.

    Parameters
    ----------
    one, other
        (..., V) vectors of one person: voxels of two people are not the same places.
    generator
        Draws w.

    Notes
    -----
    Chen et al. 2023, MinD-Vis, in pretraining, with w = 1/2.
    """
    if one.shape != other.shape:
        raise ShapeError(
            f"vectors of {tuple(one.shape)} and {tuple(other.shape)} cannot be mixed; give two of "
            "one person."
        )
    weight = torch.rand((*one.shape[:-1], 1), generator=generator).to(one.device)
    return torch.lerp(other, one, weight)
