"""Regions: label volumes or mask images as named groups of a mask's voxels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.image import resample_img
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import require_file
from brainreel.fmri.bold import Float32, VoxelMask
from brainreel.fmri.images import load_mask, load_volume
from brainreel.shapes import check_shape

Regions = dict[str, NDArray[np.bool_]]


def regions_from_atlas(
    atlas: Path, mask: VoxelMask, names: Mapping[int, str] | None = None
) -> Regions:
    """Return the voxels of each label of an atlas: {v : atlas(v) = label}.

    An atlas on another grid is brought to the mask's by its nearest voxel, as nilearn does for
    labels. Label 0 is background; regions without a voxel in the mask are left out.

    Parameters
    ----------
    atlas
        3-D NIfTI of whole numbers.
    mask
        The voxels of the data.
    names
        Label -> name; without it a region is called by its number. Labels not named are left out.

    Returns
    -------
    Name -> (V,) boolean.

    Raises
    ------
    DataError
        If the atlas is not 3-D, holds fractions, or has no voxel in the mask.
    """
    values, affine = load_volume(atlas)
    if values.ndim != 3:
        raise DataError(f"{atlas}: an atlas of labels is 3-D; this image is {values.ndim}-D.")
    values = np.nan_to_num(values)
    if (values != np.rint(values)).any():
        raise DataError(f"{atlas}: holds fractions, so it is no atlas of labels. Threshold it.")
    labels = _on_grid(values, affine, mask)[mask.inside]
    told = dict(names) if names is not None else {int(v): str(int(v)) for v in np.unique(labels)}
    regions = {told[label]: labels == label for label in sorted(told) if label != 0}
    kept = {name: inside for name, inside in regions.items() if inside.any()}
    if not kept:
        raise DataError(f"{atlas}: no region has a voxel in the mask. Are both in one space?")
    return kept


def _on_grid(
    values: NDArray[np.float64], affine: NDArray[np.float64], mask: VoxelMask
) -> NDArray[np.int64]:
    if values.shape != mask.grid or not np.allclose(affine, mask.affine, atol=1e-3):
        image = resample_img(
            nib.Nifti1Image(values, affine),
            target_affine=mask.affine,
            target_shape=mask.grid,
            interpolation="nearest",
            copy_header=True,
            force_resample=True,
        )
        values = np.asarray(image.dataobj)
    return np.rint(values).astype(np.int64)


def read_region_names(table: Path) -> dict[int, str]:
    """Read label names from a BIDS `dseg.tsv` (columns `index` and `name`)."""
    table = require_file(table, "table of region names")
    content = pd.read_csv(table, sep="\t")
    if not {"index", "name"} <= set(content.columns):
        raise DataError(
            f"{table}: columns {', '.join(map(str, content.columns))}; it needs 'index' and 'name'."
        )
    pairs = zip(content["index"], content["name"], strict=True)
    return {int(index): str(name) for index, name in pairs}


def regions_from_masks(masks: Mapping[str, Path], mask: VoxelMask) -> Regions:
    """Return the voxels of each mask image; every image must lie on the mask's grid.

    Raises
    ------
    DataError
        Naming the image on another grid, or the region without a voxel in the mask.
    """
    regions: Regions = {}
    for name, path in masks.items():
        region = load_mask(path)
        same = region.grid == mask.grid and np.allclose(region.affine, mask.affine, atol=1e-3)
        if not same:
            raise DataError(
                f"{path}: region '{name}' lies on another grid {region.grid} than the mask "
                f"{mask.grid}. Resample it first (nilearn.image.resample_to_img)."
            )
        regions[name] = region.inside[mask.inside]
        if not regions[name].any():
            raise DataError(f"{path}: region '{name}' has no voxel in the mask.")
    return regions


def average_rois(
    data: NDArray[np.floating], regions: Mapping[str, NDArray[np.bool_]]
) -> tuple[Float32, tuple[str, ...]]:
    """Return the mean over the voxels of each region, (T, R) float32, and the R names.

    Parameters
    ----------
    data
        (T, V).
    regions
        Name -> (V,) boolean with at least one voxel.
    """
    n_voxels = check_shape(data, "T V", name="data")["V"]
    means = np.empty((data.shape[0], len(regions)), np.float32)
    for number, (name, inside) in enumerate(regions.items()):
        check_shape(inside, "V", name=f"region '{name}'", V=n_voxels)
        if not inside.any():
            raise DataError(f"region '{name}' has no voxel. Leave it out.")
        means[:, number] = data[:, inside].mean(axis=1, dtype=np.float64)
    return means, tuple(regions)
