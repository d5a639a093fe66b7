"""The grid that volumes are kept on: cropped, resampled to a voxel size, or that of an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from brainreel.config import Config
from brainreel.errors import DataError
from brainreel.fmri.images import BoldImage, load_image
from brainreel.fmri.placement import Grid, Placement

_Off = Annotated[int, Field(ge=0)]
_SPLINES = {"linear": 1, "continuous": 3}


class GridConfig(Config):
    """On which grid volumes are kept; first they are cropped, then resampled."""

    crop: tuple[tuple[_Off, _Off], tuple[_Off, _Off], tuple[_Off, _Off]] = ((0, 0),) * 3
    """Voxels to cut off both ends of x, y and z, as they lie in the file. TFF's published cut of
    HCP's 91 x 109 x 91 is [[8, 8], [8, 8], [0, 10]]."""
    voxel_mm: float | None = Field(None, gt=0)
    """Edge in millimetres of the voxels to resample to, along the file's own axes; none: as they
    are."""
    like: Path | None = None
    """Image whose grid to resample to, in the same space as the runs; none: their own grid."""
    interpolation: Literal["linear", "continuous"] = "linear"
    """How values between voxels are found: linear, or continuous by cubic splines, which keep more
    detail and ring at edges."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.voxel_mm is not None and self.like is not None:
            raise ValueError("voxel_mm and like are two grids to resample to; give one of them")
        return self

    def facts(self) -> dict[str, Any]:
        """Return the options, with the grid of the image in the place of its path."""
        if self.like is None:
            return self.to_dict()
        grid, affine = _grid_of(self.like)
        return {**self.to_dict(), "like": [list(grid), np.round(affine, 4).tolist()]}


def placed(image: BoldImage, config: GridConfig) -> BoldImage:
    """Return an image as it is to be kept: its grid is the kept one, its placement tells how.

    Raises
    ------
    DataError
        If cropping leaves nothing, or the image of `like` cannot be read.
    """
    sides = list(zip(config.crop, image.grid, strict=True))
    if any(low + high >= size for (low, high), size in sides):
        raise DataError(
            f"{image.path}: volumes are {image.grid}, and cropping by "
            f"{[list(pair) for pair in config.crop]} leaves nothing. Crop less."
        )
    x, y, z = (slice(low, size - high) for (low, high), size in sides)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [x.start, y.start, z.start]
    grid: Grid = (x.stop - x.start, y.stop - y.start, z.stop - z.start)
    order = None
    if config.voxel_mm is not None:
        wanted = _resized(grid, affine, config.voxel_mm)
    elif config.like is not None:
        wanted = _grid_of(config.like)
    else:
        wanted = grid, affine
    if wanted[0] != grid or not np.array_equal(wanted[1], affine):
        order = _SPLINES[config.interpolation]
    elif grid == image.grid:
        return image
    placement = Placement(image.grid, image.affine, (x, y, z), *wanted, order)
    return replace(image, grid=wanted[0], affine=wanted[1], placement=placement)


def _resized(
    grid: Grid, affine: NDArray[np.float64], voxel_mm: float
) -> tuple[Grid, NDArray[np.float64]]:
    """Return the grid of cubes that fills the same box of space from the same corner on."""
    scale = voxel_mm / np.linalg.norm(affine[:3, :3], axis=0)
    x, y, z = (max(1, round(n / s)) for n, s in zip(grid, scale, strict=True))
    resized = affine.copy()
    resized[:3, :3] *= scale
    # The middle of the first new voxel, in old voxels: its corner is that of the first old one.
    resized[:3, 3] += affine[:3, :3] @ ((scale - 1) / 2)
    return (x, y, z), resized


def _grid_of(path: Path) -> tuple[Grid, NDArray[np.float64]]:
    image = load_image(path)
    if len(image.shape) < 3:
        raise DataError(f"{path}: {len(image.shape)}-D; a grid to resample to is 3-D.")
    x, y, z = (int(size) for size in image.shape[:3])
    return (x, y, z), np.asarray(image.affine, np.float64)
