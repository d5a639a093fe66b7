"""Voxel vectors out of images: one volume a trial, the voxels of a mask in its order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainreel.errors import DataError
from brainreel.fmri.bold import Float32
from brainreel.fmri.images import lies_on, load_image, load_mask
from brainreel.fmri.volumes import read_volumes

IMAGE_ENDS = (".nii", ".nii.gz", ".img", ".hdr")


def is_image(path: Path) -> bool:
    """Tell by its name whether a file is an image of a brain."""
    return path.name.lower().endswith(IMAGE_ENDS)


def read_image_vectors(path: Path, mask: Path) -> Float32:
    """Return (B, V) of an image's volumes; columns are the mask's voxels in C order (x slowest).

    Parameters
    ----------
    path
        3-D NIfTI, one volume, or 4-D, one volume a trial.
    mask
        3-D NIfTI on the same grid.

    Raises
    ------
    DataError
        If the image has another number of axes, is cut short, lies elsewhere than the mask, or
        holds NaN or infinite values inside it.
    """
    image = load_image(path)
    inside = load_mask(mask)
    if len(image.shape) not in (3, 4):
        raise DataError(
            f"{path}: {len(image.shape)}-D {image.shape}; give one volume (3-D), or one volume a "
            "trial (4-D)."
        )
    x, y, z = (int(size) for size in image.shape[:3])
    if not lies_on(inside, (x, y, z), np.asarray(image.affine, np.float64)):
        raise DataError(
            f"{path}: its volumes {(x, y, z)} do not lie on the grid {inside.grid} of the mask "
            f"{mask}. Give images in the space that the fit's voxels were taken from."
        )
    vectors = np.concatenate([block for _, block in read_volumes(path, inside)])
    broken = ~np.isfinite(vectors).all(axis=0)
    if broken.any():
        where = np.argwhere(inside.inside)[np.flatnonzero(broken)[0]]
        raise DataError(
            f"{path}: {int(broken.sum())} of {inside.n_voxels} voxels in the mask hold NaN or "
            f"infinite values, the first at {tuple(map(int, where))}. Set them to the voxel's mean."
        )
    return vectors
