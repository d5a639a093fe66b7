"""A 4-D image written volume by volume, in constant memory."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.shapes import check_shape
from brainreel.timebase import Seconds, exact

_OFFSET = 352  # header and four bytes that say that no extension follows
_LEVEL = 1  # float noise hardly shrinks further, and takes five times as long


class ImageSeries:
    """A NIfTI file, float32 or another type, 0 outside the mask; `write` appends volumes.

    NIfTI stores x fastest and time slowest, so volumes follow each other in the file.

    Parameters
    ----------
    path
        Ending in `.nii`, or `.nii.gz` for a gzipped file. It is written in place: write it into a
        folder that is renamed when all is there.
    mask
        Where the V columns lie.
    n_volumes
        Volumes that will be written, for the header.
    tr_s
        Repetition time in seconds.
    dtype
        Type of a voxel on disk.
    space
        What the mask's affine leads to, as NIfTI names it: "aligned" to another image, or "mni".

    Raises
    ------
    DataError
        If NIfTI cannot hold so many volumes, or another number is written.
    """

    def __init__(
        self,
        path: Path,
        mask: VoxelMask,
        n_volumes: int,
        tr_s: Seconds,
        *,
        dtype: str = "<f4",
        space: str = "aligned",
    ) -> None:
        self.path, self.mask, self.dtype = Path(path), mask, np.dtype(dtype)
        self.n_volumes, self.n_written = n_volumes, 0
        header = nib.Nifti1Header(endianness="<")
        try:
            header.set_data_shape((*mask.grid, n_volumes))
        except HeaderDataError as problem:
            raise DataError(
                f"{self.path.name}: {n_volumes} volumes do not fit in a NIfTI file, which holds "
                "32767 along an axis. Predict fewer (--volumes), or cut the film."
            ) from problem
        header.set_data_dtype(self.dtype)
        header.set_sform(mask.affine, code=space)
        header.set_qform(mask.affine, code="unknown" if space == "aligned" else space)
        header.set_xyzt_units("mm", "sec")
        header["pixdim"][4] = float(exact(tr_s))
        header["vox_offset"] = _OFFSET
        header.set_slope_inter(1, 0)
        self._raw = self.path.open("wb")
        self._file = cast(IO[bytes], self._raw)
        if self.path.suffix == ".gz":
            # Neither name nor time, so that the same numbers are the same bytes.
            zipped = gzip.GzipFile("", "wb", _LEVEL, self._raw, mtime=0)
            self._file = cast(IO[bytes], zipped)
        self._file.write(header.binaryblock.ljust(_OFFSET, b"\0"))

    def write(self, values: NDArray[np.floating]) -> None:
        """Append (T, V) values."""
        check_shape(values, "T V", name=self.path.name, V=self.mask.n_voxels)
        for row in values:
            volume = self.mask.unmask(np.asarray(row, self.dtype))
            self._file.write(volume.tobytes(order="F"))
        self.n_written += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not self._raw:
            self._file.close()
        self._raw.close()
        if kind is None and self.n_written != self.n_volumes:
            raise DataError(
                f"{self.path.name}: {self.n_written} volumes were written, its header promises "
                f"{self.n_volumes}."
            )
