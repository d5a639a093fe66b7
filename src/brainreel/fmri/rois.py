"""Regions: label volumes or mask images as named groups of a mask's voxels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.image import resample_img
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import digest_json, read_json, require_file
from brainreel.fmri.bold import Float32, VoxelMask
from brainreel.fmri.images import lies_on, load_mask, load_volume
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
    """Read label names from a BIDS `dseg.tsv` (columns `index` and `name`), a .csv or a .json.

    JSON maps numbers to names, as `{"1": "V1"}`.

    Raises
    ------
    DataError
        If columns are missing, a number is none, or two regions have one name.
    """
    table = require_file(table, "table of region names")
    if table.suffix.lower() == ".json":
        content = read_json(table)
        if not isinstance(content, dict):
            raise DataError(f'{table}: names of regions are told as {{"1": "V1", "2": "V2"}}.')
        return _named(table, content.items())
    try:
        rows = pd.read_csv(table, sep="," if table.suffix.lower() == ".csv" else "\t", dtype=str)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DataError(f"{table}: not a table that can be read.") from fault
    if not {"index", "name"} <= set(rows.columns):
        raise DataError(
            f"{table}: columns {', '.join(map(str, rows.columns))}; it needs 'index' and 'name'."
        )
    return _named(table, zip(rows["index"], rows["name"], strict=True))


def _named(table: Path, pairs: Iterable[tuple[Any, Any]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for index, name in pairs:
        try:
            number = int(str(index).removesuffix(".0"))
        except ValueError as fault:
            raise DataError(f"{table}: '{index}' is no number of a region.") from fault
        if str(name) in names.values() and number != 0:
            raise DataError(f"{table}: two regions are called '{name}'. Rename one.")
        names[number] = str(name)
    return names


def regions_from_masks(masks: Mapping[str, Path], mask: VoxelMask) -> Regions:
    """Return the voxels of each mask image; every image must lie on the mask's grid.

    Raises
    ------
    DataError
        Naming the image on another grid, or the region without a voxel in the mask.
    """
    return {
        name: regions_from_mask(name, path, load_mask(path), mask) for name, path in masks.items()
    }


def regions_from_mask(
    name: str, path: Path, region: VoxelMask, mask: VoxelMask
) -> NDArray[np.bool_]:
    """Return which voxels (V,) of a mask lie in one region, read from `path`."""
    if not lies_on(region, mask.grid, mask.affine):
        raise DataError(
            f"{path}: region '{name}' lies on another grid {region.grid} than the mask "
            f"{mask.grid}. Resample it first (nilearn.image.resample_to_img)."
        )
    members: NDArray[np.bool_] = region.inside[mask.inside]
    if not members.any():
        raise DataError(f"{path}: region '{name}' has no voxel in the mask.")
    return members


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


def save_regions(path: Path, regions: Mapping[str, NDArray[np.bool_]]) -> None:
    """Write regions as an .npz: `names` (R,) text and `members` (R, V) boolean."""
    np.savez(path, names=np.array(list(regions), dtype=str), members=np.stack([*regions.values()]))


def read_regions(path: Path) -> Regions:
    """Read what `save_regions` wrote."""
    with np.load(require_file(path, "file of regions"), allow_pickle=False) as kept:
        return dict(zip(kept["names"].tolist(), kept["members"], strict=True))


def regions_digest(regions: Mapping[str, NDArray[np.bool_]]) -> str:
    """Return the SHA-256 of the names and their voxels."""
    return digest_json({name: np.packbits(inside).tolist() for name, inside in regions.items()})
