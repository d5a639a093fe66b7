"""The two views of a brain volume that TFF takes in, made on the fly from one stored array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.normalize import Moments
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]


class VolumeViews:
    """(T, V) BOLD to (T, 2, X, Y, Z): normalised over everything, and voxel by voxel.

    view 0 = (x - m) / s, m and s over all voxels and TRs seen; outside the mask the same of 0 or
    of the least value seen, whichever is lower, so that outside is as dark as any brain.
    view 1 = (x_v - m_v) / s_v; 0 outside the mask and at voxels that do not vary.

    Both deviations have the divisor n - 1, n the TRs (view 1) or the voxels times TRs (view 0), as
    in TFF (Malkiel et al. 2022).

    Parameters
    ----------
    moments
        Mean and deviation over the TRs that were seen (training alone, or a whole run).
    mask
        Where the V columns lie.
    least
        Least value among the TRs seen, in the units of the data.
    """

    def __init__(self, moments: Moments, mask: VoxelMask, least: float) -> None:
        check_shape(moments.mean, "V", name="moments", V=mask.n_voxels)
        if moments.n < 2:
            raise DataError("moments of one volume have no deviation. Give at least two volumes.")
        self.mask, self.n_voxels = mask, mask.n_voxels
        self.places = np.flatnonzero(mask.inside)
        n_values = moments.n * self.n_voxels
        spread = moments.global_std * np.sqrt(n_values / (n_values - 1))
        if spread == 0:
            raise DataError("all voxels hold one and the same value. Check the run.")
        self.mean, self.scale = moments.global_mean, 1 / spread
        self.outside = np.float32((min(least, 0.0) - self.mean) * self.scale)
        deviation = moments.std * np.sqrt(moments.n / (moments.n - 1))
        self.voxel_mean = moments.mean
        self.voxel_scale = np.divide(
            1, deviation, out=np.zeros_like(deviation), where=deviation > 0
        )

    @classmethod
    def of(cls, data: NDArray[np.floating], mask: VoxelMask) -> VolumeViews:
        """Return the views that one (T, V) run has by itself."""
        return cls(Moments.of([data]), mask, float(np.min(data)))

    def __call__(self, data: NDArray[np.floating]) -> Float32:
        """(T, V) in the units of the moments to (T, 2, X, Y, Z)."""
        n_trs = check_shape(data, "T V", name="bold", V=self.n_voxels)["T"]
        views = np.zeros((n_trs, 2, self.mask.inside.size), np.float32)
        views[:, 0] = self.outside
        views[:, 0, self.places] = (data - self.mean) * self.scale
        views[:, 1, self.places] = (data - self.voxel_mean) * self.voxel_scale
        return views.reshape(n_trs, 2, *self.mask.grid)
