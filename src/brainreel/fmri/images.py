"""NIfTI in and out: masks, volumes, checked headers of BOLD images."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import require_file, write_aside
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.placement import Placement
from brainreel.timebase import Seconds, exact

_AFFINE_TOLERANCE_MM = 1e-3  # headers written by different tools differ by float32 rounding
_TR_TOLERANCE_S = Fraction(1, 1000)  # below any real difference, above the rounding of sidecars
_SECONDS_OF_UNIT = {"sec": Fraction(1), "msec": Fraction(1, 1000), "usec": Fraction(1, 10**6)}


@dataclass(frozen=True, eq=False)
class BoldImage:
    """The checked header of a 4-D NIfTI file; its voxels stay on disk.

    Attributes
    ----------
    path
        The file.
    grid
        (X, Y, Z) size of a volume.
    n_volumes
        Volumes in the file.
    affine
        (4, 4) voxel indices to millimetres.
    tr_s
        Repetition time in seconds.
    placement
        Where volumes are kept on another grid than the file's: how. `grid` and `affine` are then
        those of the kept volumes.
    """

    path: Path
    grid: tuple[int, int, int]
    n_volumes: int
    affine: NDArray[np.float64]
    tr_s: Fraction
    placement: Placement | None = None


def load_image(path: Path) -> Any:
    """Open a NIfTI file without reading its voxels.

    Raises
    ------
    DataError
        If the file is missing, is no NIfTI image, or holds no plain numbers.
    """
    path = require_file(path, "image")
    try:
        image = nib.load(path)
    except (ImageFileError, OSError, EOFError, zlib.error) as problem:
        raise DataError(
            f"{path}: not an image that can be read; it may be broken or another kind of file. "
            "Give a NIfTI file (.nii or .nii.gz)."
        ) from problem
    if not isinstance(image, nib.Nifti1Pair):
        raise DataError(
            f"{path}: a {type(image).__name__}, not a NIfTI volume. Convert it to .nii.gz."
        )
    if Path(image.file_map["image"].filename).suffix not in (".nii", ".img", ".gz"):
        raise DataError(f"{path}: this compression cannot be read in order. Save it as .nii.gz.")
    if image.get_data_dtype().kind not in "iuf":
        raise DataError(
            f"{path}: voxels of type {image.get_data_dtype()} cannot be used; "
            "save them as integers or floats."
        )
    return image


def open_bold_image(
    path: Path, *, tr_s: Seconds | None = None, trust_tr: bool = False
) -> BoldImage:
    """Check a 4-D BOLD file and return what its header says.

    Parameters
    ----------
    path
        `.nii` or `.nii.gz`.
    tr_s
        Repetition time that the sidecar gives, in seconds; it must agree with the header to
        within 1 ms, unless the header gives none.
    trust_tr
        Take `tr_s` even where the header disagrees.

    Raises
    ------
    DataError
        If the file is no image, is truncated, is not 4-D, or has a TR that is zero, missing or
        other than the sidecar's.
    """
    path = Path(path)
    image = load_image(path)
    shape = tuple(image.shape)
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 4:
        raise DataError(
            f"{path}: {len(shape)}-D {shape}; a run is 4-D (X, Y, Z, volumes). "
            "Give the BOLD series, not a single volume."
        )
    _check_size(path, image)
    header = _header_tr_s(image)
    tr = _agreed_tr_s(path, header, None if tr_s is None else exact(tr_s), trust_tr)
    x, y, z, n_volumes = (int(size) for size in shape)
    return BoldImage(path, (x, y, z), n_volumes, np.asarray(image.affine, np.float64), tr)


def _check_size(path: Path, image: Any) -> None:
    data = Path(image.file_map["image"].filename)
    needed = int(image.dataobj.offset + np.prod(image.shape) * image.get_data_dtype().itemsize)
    held = data.stat().st_size
    if data.suffix in (".nii", ".img") and held < needed:
        raise DataError(
            f"{path}: truncated; the header promises {needed} bytes and the file has {held}. "
            "Copy or convert it again."
        )


def _header_tr_s(image: Any) -> Fraction:
    zooms = image.header.get_zooms()
    unit = image.header.get_xyzt_units()[1]
    given = float(zooms[3]) if len(zooms) > 3 else 0.0
    if not np.isfinite(given) or given <= 0:
        return Fraction(0)
    return exact(given) * _SECONDS_OF_UNIT.get(unit, Fraction(1))


def _agreed_tr_s(path: Path, header: Fraction, told: Fraction | None, trust: bool) -> Fraction:
    if told is None and header == 0:
        raise DataError(
            f"{path}: no TR; the header says 0. Give RepetitionTime in the sidecar, or tr_s."
        )
    if told is None:
        return header
    if told <= 0:
        raise DataError(f"{path}: a TR of {float(told):g} s cannot be used. Give tr_s above 0.")
    if header and not trust and abs(header - told) > _TR_TOLERANCE_S:
        raise DataError(
            f"{path}: the header says a TR of {float(header):g} s, the sidecar "
            f"{float(told):g} s. Mend one of them, or give tr_s."
        )
    return told


def load_mask(path: Path, *, space: str = "") -> VoxelMask:
    """Read a binary mask: 0 outside, one other value inside.

    Raises
    ------
    DataError
        If nothing is inside, the image is not 3-D, or it holds more than two values.
    """
    path = Path(path)
    image = load_image(path)
    values = _all_values(path, image)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise DataError(f"{path}: a mask is 3-D; this image is {values.ndim}-D {values.shape}.")
    values = np.nan_to_num(values)
    kinds = np.unique(values)
    if not values.any():
        raise DataError(f"{path}: the mask is all zero. Give a mask with at least one voxel.")
    if len(kinds) > 2 or (len(kinds) == 2 and 0 not in kinds):
        raise DataError(
            f"{path}: {len(kinds)} different values; a mask has 0 outside and one value inside. "
            "Threshold it first."
        )
    return VoxelMask(values != 0, np.asarray(image.affine, np.float64), space)


def load_volume(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the whole array of an image and its (4, 4) affine."""
    image = load_image(path)
    return _all_values(Path(path), image), np.asarray(image.affine, np.float64)


def _all_values(path: Path, image: Any) -> NDArray[np.float64]:
    try:
        values: NDArray[np.float64] = np.asarray(image.dataobj, np.float64)
    except (OSError, EOFError, ValueError, zlib.error) as problem:
        raise DataError(f"{path}: truncated or broken. Copy or convert it again.") from problem
    return values


def save_volume(
    path: Path, values: NDArray[Any], mask: VoxelMask, tr_s: Seconds | None = None
) -> Path:
    """Write (V,) or (T, V) values as a float32 NIfTI, 0 outside the mask.

    Parameters
    ----------
    path
        Ending in `.nii` or `.nii.gz`; written whole or not at all.
    values
        One number per voxel, or a time series (then `tr_s` goes into the header, in seconds).
    mask
        Where the voxels lie.
    """
    volume = np.moveaxis(mask.unmask(np.asarray(values, np.float32)), 0, -1)
    if values.ndim == 1:
        volume = mask.unmask(np.asarray(values, np.float32))
    image = nib.Nifti1Image(volume, mask.affine)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 2 and tr_s is not None:
        image.header["pixdim"][4] = float(exact(tr_s))
    with write_aside(Path(path)) as aside:
        nib.save(image, aside)
    return Path(path)


def lies_on(mask: VoxelMask, grid: tuple[int, int, int], affine: NDArray[np.float64]) -> bool:
    """Tell whether a mask lies on a grid."""
    return mask.grid == grid and _apart_mm(mask.affine, affine) <= _AFFINE_TOLERANCE_MM


def check_same_grid(mask: VoxelMask, image: BoldImage, *, mask_name: str = "the mask") -> None:
    """Refuse a mask that lies on another grid than the image.

    Raises
    ------
    DataError
        Naming both sizes, or the affine difference in millimetres.
    """
    advice = "Resample the mask (nilearn.image.resample_to_img), or give another."
    if mask.grid != image.grid:
        raise DataError(
            f"{image.path}: volumes are {image.grid}, {mask_name} is {mask.grid}. {advice}"
        )
    apart = _apart_mm(mask.affine, image.affine)
    if apart > _AFFINE_TOLERANCE_MM:
        raise DataError(
            f"{image.path}: {mask_name} lies elsewhere (affines differ by up to {apart:g} mm). "
            f"{advice}"
        )


def _apart_mm(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).max())
