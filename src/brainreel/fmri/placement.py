"""Where the kept voxels of an image lie: in a box of its own grid, or on another grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from brainreel.fmri.bold import Float32, VoxelMask

Grid = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Placement:
    """How volumes come from the grid of their file to the one they are kept on.

    Attributes
    ----------
    file_grid, file_affine
        Size of a volume in the file, and (4, 4) its voxel indices to millimetres.
    box
        The part of it that is kept.
    grid, affine
        The grid that volumes are kept on.
    order
        Order of the splines that resample the box; None where the box itself is kept.
    """

    file_grid: Grid
    file_affine: NDArray[np.float64]
    box: tuple[slice, slice, slice]
    grid: Grid
    affine: NDArray[np.float64]
    order: int | None = None

    def in_file(self, mask: VoxelMask) -> VoxelMask:
        """Return a mask of the box as a mask of the file's grid."""
        inside = np.zeros(self.file_grid, np.bool_)
        inside[self.box] = mask.inside
        return VoxelMask(inside, self.file_affine, mask.space)

    def mask(self, mask: VoxelMask) -> VoxelMask:
        """Return a mask on the file's grid as one on the kept grid, by the nearest voxel."""
        if self.order is None:
            return VoxelMask(mask.inside[self.box], self.affine, mask.space)
        stored = mask.inside.transpose()[None].astype(np.float32)
        inside = self._transformed(stored, order=0)[0].transpose() > 0
        return VoxelMask(np.ascontiguousarray(inside), self.affine, mask.space)

    def resampled(self, volumes: Float32) -> Float32:
        """(t, Z, Y, X) volumes of the file to (t, Z', Y', X') of the kept grid, 0 beyond the file.

        As `nilearn.image.resample_img` without clipping. A voxel is NaN if any that it comes from
        is not finite.
        """
        finite = np.isfinite(volumes)
        if finite.all():
            return self._transformed(volumes, order=self.order or 0)
        values = self._transformed(np.where(finite, volumes, 0), order=self.order or 0)
        broken = self._transformed((~finite).astype(np.float32), order=1) > 0
        return np.where(broken, np.float32(np.nan), values)

    def _transformed(self, volumes: Float32, *, order: int) -> Float32:
        # NIfTI stores x fastest, so both grids are turned round.
        origin = [side.start for side in self.box]
        box_affine = self.file_affine.copy()
        box_affine[:3, 3] += box_affine[:3, :3] @ origin
        to_box = np.linalg.inv(box_affine) @ self.affine
        matrix, offset = to_box[:3, :3][::-1, ::-1], to_box[:3, 3][::-1]
        if np.all(matrix == np.diag(np.diag(matrix))):
            matrix = np.diag(matrix)  # axis by axis, which is faster
        result = np.empty((len(volumes), *self.grid[::-1]), np.float32)
        box = tuple(reversed(self.box))
        for volume, out in zip(volumes, result, strict=True):
            affine_transform(volume[box], matrix, offset, out.shape, output=out, order=order)
        return result
