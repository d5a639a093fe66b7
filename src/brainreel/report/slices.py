"""Slices through the voxels of a mask, as arrays that say which voxel each picture element is."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from brainreel.fmri.bold import VoxelMask

Columns = NDArray[np.int64]

OUTSIDE = -1  # of a picture element without a voxel
_APART = 2  # picture elements between two slices


def three_slices(mask: VoxelMask, column: int) -> Columns:
    """Return the sagittal, coronal and axial slice through one voxel, side by side.

    Parameters
    ----------
    mask
        Where the V voxels lie; its axes may point any way.
    column
        Number of the voxel that all three go through.

    Returns
    -------
    (H, W)
        Number of the voxel at each picture element, `OUTSIDE` where there is none. Up is the top
        of the head, or in the axial slice the front; left is the back, or the left side. Elements
        are as large as the voxel's shortest side.
    """
    volume, sizes = _upright(mask)
    x, y, z = (int(at) for at in np.argwhere(volume == column)[0])
    planes = (
        _plane(volume[x], sizes[1], sizes[2]),
        _plane(volume[:, y], sizes[0], sizes[2]),
        _plane(volume[:, :, z], sizes[0], sizes[1]),
    )
    return _side_by_side(planes)


def axial_slices(mask: VoxelMask, n: int) -> Columns:
    """Return at most `n` axial slices, evenly from below to above, as `three_slices` does."""
    volume, sizes = _upright(mask)
    levels = np.unique(np.linspace(0, volume.shape[2] - 1, n + 2)[1:-1].round().astype(int))
    return _side_by_side([_plane(volume[:, :, z], sizes[0], sizes[1]) for z in levels])


def sliced(values: NDArray[np.floating], columns: Columns) -> NDArray[np.float32]:
    """Return (..., V) values at the picture elements of slices, (..., H, W), NaN outside."""
    found = np.asarray(values, dtype=np.float32)[..., np.maximum(columns, 0)]
    return np.where(columns == OUTSIDE, np.float32(np.nan), found)


def _upright(mask: VoxelMask) -> tuple[Columns, NDArray[np.float64]]:
    """Return the number of each voxel, axes to right, front and top, cut to the mask; sizes."""
    volume = np.full(mask.grid, OUTSIDE, dtype=np.int64)
    volume[mask.inside] = np.arange(np.count_nonzero(mask.inside))
    turn = nib.orientations.io_orientation(mask.affine)
    turned = nib.orientations.apply_orientation(volume, turn)
    sizes = np.empty(3)
    sizes[turn[:, 0].astype(int)] = np.sqrt((mask.affine[:3, :3] ** 2).sum(axis=0))
    filled = np.argwhere(turned != OUTSIDE)
    low, high = filled.min(axis=0), filled.max(axis=0) + 1
    return turned[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], sizes / sizes.min()


def _plane(values: Columns, across: float, up: float) -> Columns:
    """Turn (A, B) into rows from the top, each voxel as many elements as it is long."""
    rows, columns = (
        (np.arange(round(n * size)) / size).astype(int)
        for n, size in zip(values.shape, (across, up), strict=True)
    )
    upright: Columns = values[rows][:, columns].T[::-1]
    return upright


def _side_by_side(planes: Sequence[Columns]) -> Columns:
    height = max(len(plane) for plane in planes)
    parts = []
    for plane in planes:
        above = (height - len(plane)) // 2
        rest = height - len(plane) - above
        parts.append(np.pad(plane, ((above, rest), (0, _APART)), constant_values=OUTSIDE))
    return np.concatenate(parts, axis=1)[:, :-_APART]
