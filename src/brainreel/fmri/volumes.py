"""Volumes of a run streamed in constant memory: scaled, smoothed, resampled and masked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nilearn.image import smooth_img
from numpy.typing import NDArray

from brainreel.fmri.bold import Float32, VoxelMask
from brainreel.fmri.images import load_image
from brainreel.fmri.placement import Placement
from brainreel.fmri.streams import ByteStream, prefetched

_BLOCK_BYTES = 48 << 20  # volumes in memory at once, before masking; three such blocks are alive


def read_volumes(
    path: Path,
    mask: VoxelMask,
    *,
    smoothing_mm: float = 0.0,
    placement: Placement | None = None,
    block_bytes: int = _BLOCK_BYTES,
) -> Iterator[tuple[int, Float32]]:
    """Read a run in order: value = stored * slope + intercept, inside the mask.

    Parameters
    ----------
    path
        4-D NIfTI, plain or gzipped, of any byte order and number type.
    mask
        On the same grid, or on that of the placement.
    smoothing_mm
        Full width at half maximum of a Gaussian, applied to whole volumes before anything else.
    placement
        How volumes come to another grid, or None.
    block_bytes
        How much of the file to hold at once.

    Yields
    ------
    start, block
        Number of the first volume, and a (t, V) float32 block.

    Raises
    ------
    DataError
        If the file ends before its last volume.
    """
    image = load_image(path)
    resampling = placement if placement is not None and placement.order is not None else None
    if placement is not None and resampling is None:
        mask = placement.in_file(mask)
    # NIfTI stores x fastest; a mask numbers its voxels in C order.
    stored = np.ravel_multi_index(np.nonzero(mask.inside), mask.grid, order="F")
    kept_points = mask.inside.size if resampling else 0
    for start, raw in prefetched(_raw_blocks(Path(path), image, block_bytes, kept_points)):
        if not (smoothing_mm or resampling):
            yield start, _scaled(raw[:, stored], image)
            continue
        block = _scaled(raw, image)
        if smoothing_mm:
            block = _smoothed(block, image, smoothing_mm)
        if resampling:
            volumes = block.reshape(-1, *image.shape[2::-1])
            block = resampling.resampled(volumes).reshape(len(block), -1)
        yield start, block[:, stored]


def _raw_blocks(
    path: Path, image: Any, block_bytes: int, kept_points: int
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Yield (first volume, (t, X*Y*Z) stored numbers, x fastest); t volumes of n points fit too."""
    n_volumes, dtype = int(np.prod(image.shape[3:])), image.dataobj.dtype
    n_points = int(np.prod(image.shape[:3]))
    n_bytes = max(n_points * dtype.itemsize, kept_points * np.dtype(np.float32).itemsize)
    step = max(1, block_bytes // n_bytes)
    with ByteStream(Path(image.file_map["image"].filename or path)) as stream:
        stream.skip(int(image.dataobj.offset))
        for start in range(0, n_volumes, step):
            raw = np.empty((min(step, n_volumes - start), n_points), dtype)
            stream.fill(raw.reshape(-1).view(np.uint8).data)
            if start + len(raw) == n_volumes:
                stream.finish()
            yield start, raw


def _scaled(raw: NDArray[Any], image: Any) -> Float32:
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    if (slope, intercept) == (1.0, 0.0):
        return raw.astype(np.float32)
    # Scaled in float64: a large intercept would lose the signal in float32.
    scaled: Float32 = (raw.astype(np.float64) * slope + intercept).astype(np.float32)
    return scaled


def _smoothed(block: Float32, image: Any, smoothing_mm: float) -> Float32:
    """Smooth (t, X*Y*Z) volumes as nilearn does; voxels that were not finite stay NaN."""
    volumes = block.reshape(-1, *image.shape[2::-1]).transpose(3, 2, 1, 0)
    smooth = smooth_img(nib.Nifti1Image(volumes, image.affine), smoothing_mm)
    turned = np.asarray(smooth.dataobj, np.float32).transpose(3, 2, 1, 0)
    result: Float32 = np.ascontiguousarray(turned).reshape(block.shape)
    result[~np.isfinite(block)] = np.nan
    return result
