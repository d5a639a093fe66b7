"""The two views of a brain volume that TFF takes in, made on the fly from one stored array."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.data.volume_moments import VolumeMoments
from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]


class VolumeViews:
    """(T, V) signal x to (T, 2, X, Y, Z): normalised over everything, and voxel by voxel.

    view 0 = (x + level - m) / s, m and s over all voxels and TRs seen; outside the mask the same
    of 0 or of the least value seen, whichever is lower, so that outside is as dark as any brain.
    view 1 = (x_v - m_v) / s_v; 0 outside the mask and at voxels that do not vary.

    Both deviations have the divisor n - 1, n the TRs (view 1) or the voxels times TRs (view 0), as
    in TFF (Malkiel et al. 2022). Where the signal was cleaned, level is what cleaning took off the
    mean of each voxel; for a run as the scanner gave it, level is 0.

    Parameters
    ----------
    moments
        Of the TRs that were seen (training alone, or a whole run), levels counted in.
    mask
        Where the V columns lie.
    level
        (V,) level of the run that is shown; None for 0.
    """

    def __init__(
        self, moments: VolumeMoments, mask: VoxelMask, level: NDArray[np.floating] | None = None
    ) -> None:
        n_voxels = check_shape(moments.mean, "V", name="moments", V=mask.n_voxels)["V"]
        if moments.n < 2:
            raise DataError("moments of one volume have no deviation. Give at least two volumes.")
        self.mask, self.n_voxels, self.moments = mask, n_voxels, moments
        n_values = moments.n * n_voxels
        self.whole_std = moments.whole_std * np.sqrt(n_values / (n_values - 1))
        if self.whole_std == 0:
            raise DataError("all voxels hold one and the same value. Check the run.")
        self.level = np.zeros(n_voxels) if level is None else np.asarray(level, np.float64)
        check_shape(self.level, "V", name="level", V=n_voxels)
        self._inside = mask.inside.ravel()
        # x is written once, as its distance from the mean where that is far from 0, and 0 outside;
        # both views are then one product and sum over the whole grid.
        mean, deviation = moments.mean.astype(np.float64), moments.std.astype(np.float64)
        far = np.abs(mean) > deviation
        self._centre = np.where(far, moments.mean, np.float32(0))
        outside = min(moments.least, 0.0) - moments.whole_mean
        shift = self._centre + self.level - moments.whole_mean
        self._scale_whole = float(1 / self.whole_std)
        self._shift_whole = self._on_grid(shift / self.whole_std, outside / self.whole_std)
        deviation *= np.sqrt(moments.n / (moments.n - 1))
        scale = np.divide(1, deviation, out=np.zeros(n_voxels), where=deviation > 0)
        self._scale_voxel = self._on_grid(scale)
        self._shift_voxel = self._on_grid((self._centre - mean) * scale)

    @classmethod
    def of(cls, data: NDArray[np.floating], mask: VoxelMask) -> VolumeViews:
        """Return the views that one (T, V) run, as the scanner gave it, has by itself."""
        return cls(VolumeMoments.of(data), mask)

    def __call__(self, data: NDArray[np.floating]) -> Float32:
        """(T, V) in the units of the moments to (T, 2, X, Y, Z)."""
        check_shape(data, "T V", name="bold", V=self.n_voxels)
        views = np.empty((len(data), 2, *self.mask.grid), np.float32)
        self.write(data, views)
        return views

    def write(self, data: NDArray[np.floating], views: NDArray[Any]) -> None:
        """Write the views of (T, V) into a contiguous (T, 2, X, Y, Z) float32 array."""
        far = self._centre.any()
        for row, (first, second) in zip(data, views.reshape(len(data), 2, -1), strict=True):
            second.fill(0)
            second[self._inside] = row - self._centre if far else row
            x, whole = torch.from_numpy(second), torch.from_numpy(first)
            torch.add(self._shift_whole, x, alpha=self._scale_whole, out=whole)
            torch.addcmul(self._shift_voxel, x, self._scale_voxel, out=x)

    def scores(self, volumes: NDArray[np.floating]) -> Float32:
        """(T, X, Y, Z) volumes on the scale of view 0 to (T, V) in deviations of each voxel.

        z = (y s + m - level - m_v) / s_v, s_v with the divisor n, as `zscore_voxelwise` gives of
        measured signal; 0 at voxels that do not vary.
        """
        shift = self.moments.whole_mean - self.level - self.moments.mean
        values = (self._columns(volumes) * self.whole_std + shift) * self._per_voxel()
        return np.asarray(values, np.float32)

    def voxel_scores(self, volumes: NDArray[np.floating]) -> Float32:
        """(T, X, Y, Z) volumes, or deviations, on the scale of view 1 to (T, V), as `scores`."""
        n = self.moments.n
        return np.asarray(self._columns(volumes) * np.sqrt(n / (n - 1)), np.float32)

    def spreads(self, volumes: NDArray[np.floating]) -> Float32:
        """(T, X, Y, Z) standard deviations on the scale of view 0 to (T, V), as `scores` does."""
        values = self._columns(volumes) * (self.whole_std * self._per_voxel())
        return np.asarray(values, np.float32)

    def _columns(self, volumes: NDArray[np.floating]) -> NDArray[np.floating]:
        x, y, z = self.mask.grid
        check_shape(volumes, "T X Y Z", name="volumes", X=x, Y=y, Z=z)
        return volumes[:, self.mask.inside]

    def _per_voxel(self) -> NDArray[np.float64]:
        std = self.moments.std.astype(np.float64)
        return np.divide(1, std, out=np.zeros_like(std), where=std > 0)

    def _on_grid(self, values: NDArray[np.float64], outside: float = 0.0) -> Tensor:
        grid = np.full(self._inside.size, outside, np.float32)
        grid[self._inside] = values
        return torch.from_numpy(grid)
