"""A coarse standard brain and its regions: which voxel is tuned to what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nilearn.datasets import load_mni152_brain_mask
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask

SPACE = "MNI152NLin2009aSym"
"""The template that nilearn ships, as BIDS names it."""

# Middle of each region in the right hemisphere (mm), and its share of the brain's voxels.
# Vision lies in the occipital lobe, sound on the upper temporal lobe, both behind it (STS).
_REGIONS: dict[str, tuple[tuple[float, float, float], float]] = {
    "luminance": ((8.0, -94.0, 2.0), 0.055),
    "contrast": ((24.0, -82.0, -8.0), 0.055),
    "motion": ((44.0, -70.0, 6.0), 0.055),
    "pitch": ((50.0, -14.0, 6.0), 0.05),
    "loudness": ((58.0, -30.0, 12.0), 0.05),
    "both": ((54.0, -52.0, 26.0), 0.06),
}

REGION_NAMES = ("none", *_REGIONS)
"""Names of the regions; a voxel's code is its place here, 0 for untuned."""

VISUAL_REGIONS = ("luminance", "contrast", "motion")


@dataclass(frozen=True, eq=False)
class Brain:
    """A brain mask and the region of each of its voxels.

    Attributes
    ----------
    mask
        The voxels inside, in the space of the template.
    codes
        (V,) place of each voxel's region in `REGION_NAMES`.
    """

    mask: VoxelMask
    codes: NDArray[np.int16]

    @property
    def regions(self) -> NDArray[np.str_]:
        """(V,) name of each voxel's region."""
        return np.array(REGION_NAMES)[self.codes]

    @property
    def visual(self) -> NDArray[np.bool_]:
        """(V,) whether a voxel is tuned to what is seen alone."""
        return np.isin(self.regions, VISUAL_REGIONS)


def make_brain(voxel_size_mm: int, grid: tuple[int, int, int] | None = None) -> Brain:
    """Make the brain mask at a voxel size, and place the regions as compact blobs.

    Each region takes, in both hemispheres, the free voxels nearest to its middle.

    Parameters
    ----------
    voxel_size_mm
        Edge of a voxel in millimetres.
    grid
        (X, Y, Z) voxels of a volume, the brain in the middle; None for a margin of one voxel.

    Raises
    ------
    DataError
        If the voxels are so large that a region would be empty, or so small that the brain does
        not fit in the grid.
    """
    image = load_mni152_brain_mask(resolution=voxel_size_mm)
    inside, affine = _cropped(np.asarray(image.dataobj) > 0, np.asarray(image.affine))
    if grid is not None:
        inside, affine = _placed(inside, affine, grid, voxel_size_mm)
    mask = VoxelMask(inside, affine, SPACE)
    indices = np.argwhere(inside)
    place_mm = indices @ affine[:3, :3].T + affine[:3, 3]
    place_mm[:, 0] = np.abs(place_mm[:, 0])
    codes = np.zeros(len(indices), dtype=np.int16)
    for code, (middle_mm, share) in enumerate(_REGIONS.values(), start=1):
        distance = np.linalg.norm(place_mm - middle_mm, axis=1)
        distance[codes > 0] = np.inf
        wanted = round(share * len(indices))
        if wanted < 1:
            raise DataError(
                f"voxels of {voxel_size_mm} mm leave {len(indices)} in the brain, too few for "
                "its regions. Give a smaller voxel_size_mm."
            )
        codes[np.argsort(distance, kind="stable")[:wanted]] = code
    return Brain(mask, codes)


def _cropped(
    inside: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Cut the empty margin off, all but one voxel."""
    places = np.argwhere(inside)
    low = np.maximum(places.min(axis=0) - 1, 0)
    high = np.minimum(places.max(axis=0) + 2, inside.shape)
    cut = inside[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ low
    return cut, moved


def _placed(
    inside: NDArray[np.bool_],
    affine: NDArray[np.float64],
    grid: tuple[int, int, int],
    voxel_size_mm: int,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Put the brain in the middle of a larger grid."""
    free = np.array(grid) - inside.shape
    if free.min() < 0:
        raise DataError(
            f"a brain of {' x '.join(map(str, inside.shape))} voxels of {voxel_size_mm} mm does "
            f"not fit in {' x '.join(map(str, grid))}. Give a larger grid, or larger voxels."
        )
    low = free // 2
    placed = np.zeros(grid, dtype=bool)
    placed[tuple(slice(at, at + n) for at, n in zip(low, inside.shape, strict=True))] = inside
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ low
    return placed, moved
