"""Moments of each person's training part, kept beside the weights that were fitted with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from brainreel.fmri.normalize import Moments


def moments_state(moments: Mapping[str, Moments]) -> dict[str, NDArray[np.float32]]:
    """Return mean and deviation of each person's voxels by name."""
    return {
        f"{who}/bold_{end}": getattr(of, end).astype(np.float32)
        for who, of in moments.items()
        for end in ("mean", "std")
    }


def kept_moments(
    state: Mapping[str, NDArray[np.floating]], people: Iterable[str]
) -> dict[str, Moments]:
    """Return the moments of those people that `moments_state` wrote."""
    found = {}
    for who in people:
        if f"{who}/bold_mean" in state:
            mean, std = (state[f"{who}/bold_{end}"].astype(np.float64) for end in ("mean", "std"))
            found[who] = Moments(0, mean, std)
    return found
