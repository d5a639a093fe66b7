"""Bold: one run's measured signal, time first; VoxelMask: where its columns lie in the brain."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class VoxelMask:
    """The voxels of a brain volume that are columns of a `Bold`, in C order.

    Attributes
    ----------
    inside
        (X, Y, Z) boolean.
    affine
        (4, 4) voxel indices to millimetres.
    space
        Name of the space, such as `"MNI152NLin2009cAsym"`; empty if unknown.
    """

    inside: NDArray[np.bool_]
    affine: NDArray[np.float64]
    space: str = ""

    def __post_init__(self) -> None:
        check_shape(self.inside, "X Y Z", name="mask")
        check_shape(self.affine, "4 4", name="affine")
        if not self.inside.any():
            raise DataError("mask: no voxel is inside. Give a mask with at least one voxel.")

    @property
    def n_voxels(self) -> int:
        """Number of voxels inside."""
        return int(np.count_nonzero(self.inside))

    @property
    def grid(self) -> tuple[int, int, int]:
        """(X, Y, Z) size of the volume."""
        x, y, z = self.inside.shape
        return x, y, z

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The smallest box of the grid that holds all voxels inside."""
        places = np.nonzero(self.inside)
        x, y, z = (slice(int(place.min()), int(place.max()) + 1) for place in places)
        return x, y, z

    def within(self, box: tuple[slice, slice, slice]) -> VoxelMask:
        """Return the mask of a box of the grid that holds all voxels: the same V, a smaller grid.

        Raises
        ------
        DataError
            If voxels lie outside the box.
        """
        cut = self.inside[box]
        if np.count_nonzero(cut) != self.n_voxels:
            raise DataError(
                f"{self.n_voxels - np.count_nonzero(cut)} voxels lie outside the box that volumes "
                "are cut to. Cut to a larger one, or leave the grid whole."
            )
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
        return VoxelMask(cut, affine, self.space)

    def unmask(self, values: NDArray[np.floating], fill: float = 0.0) -> NDArray[np.floating]:
        """Put (..., V) values back into (..., X, Y, Z) volumes, `fill` outside."""
        if values.shape[-1] != self.n_voxels:
            raise DataError(
                f"values have {values.shape[-1]} voxels, the mask has {self.n_voxels}. "
                "Use the mask that the values were made with."
            )
        volume = np.full((*values.shape[:-1], *self.grid), fill, dtype=values.dtype)
        volume[..., self.inside] = values
        return volume


@dataclass(frozen=True, eq=False)
class Bold:
    """One run's BOLD signal.

    Attributes
    ----------
    data
        (T, V) float32, time first; may be a read-only memory map.
    grid
        The TRs on the film's clock.
    mask
        Where the columns lie, or None for a plain vector (regions, surface vertices).
    names
        Names of the columns (regions), or empty.
    """

    data: Float32
    grid: TrGrid
    mask: VoxelMask | None = None
    names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        check_shape(self.data, "T V", name="bold", T=self.grid.n_trs)
        if self.mask is not None:
            check_shape(self.data, "T V", name="bold", V=self.mask.n_voxels)
        if self.names:
            check_shape(self.data, "T V", name="bold", V=len(self.names))

    @property
    def n_trs(self) -> int:
        """Number of volumes."""
        return int(self.data.shape[0])

    @property
    def n_voxels(self) -> int:
        """Number of columns."""
        return int(self.data.shape[1])

    @property
    def tr_s(self) -> Fraction:
        """Repetition time in seconds."""
        return self.grid.tr_s
