"""The pictures that were really seen, where somebody who brings voxel vectors knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.data.given_vectors import GivenVectors
from brainreel.data.labelled_samples import PICTURE_SUFFIXES
from brainreel.data.readers import array_names, read_array, read_table, read_texts
from brainreel.data.stored_pictures import squared
from brainreel.data.trial_files import TrialFile
from brainreel.data.trial_pictures import find_pictures, read_pictures
from brainreel.errors import DataError
from brainreel.fmri.betas import table_beside
from brainreel.fmri.vector_images import is_image

UInt8 = NDArray[np.uint8]

# What `prepare` calls them, and their column in a table beside betas.
_ITEMS, _NAMES, _STIMULI = "items", "item_names", "stim_file"


@dataclass(frozen=True)
class PictureLayout:
    """How pictures stand in the files of a fit.

    Attributes
    ----------
    shape
        (C, H, W) of the pictures that the fit gives.
    keys
        Array of voxel vectors -> array of their pictures.
    pixels, order, white, size
        Options `picture_shape`, `picture_order`, `picture_max` and `picture_size` of the fit's
        data.
    """

    shape: tuple[int, int, int]
    keys: Mapping[str, str] = field(default_factory=dict)
    pixels: tuple[int, ...] | None = None
    order: Literal["C", "F"] = "C"
    white: float | None = None
    size: int | None = None


@dataclass(frozen=True, eq=False)
class SeenPictures:
    """True pictures of some vectors.

    Attributes
    ----------
    pictures
        (B, C, H, W) uint8, in the order of the rows that are asked for.
    told
        Where they come from, for a reader.
    """

    pictures: UInt8
    told: str


def seen_pictures(given: GivenVectors, named: str, layout: PictureLayout) -> SeenPictures | None:
    """Return the true pictures of the rows that are asked for; None where none are known.

    Parameters
    ----------
    given
        The vectors.
    named
        A key of the same file, or a folder: of pictures that `item_names` of the file or the table
        beside betas names, or else of as many as there are vectors, in the order of their names.
        Empty: the array that the fit would take, if the file has it. `"none"`: no pictures.
    layout
        How pictures stand in the files of the fit.

    Raises
    ------
    DataError
        If they are not there, are not as many as the vectors, or have another shape.
    """
    if named == "none":
        return None
    if named and Path(named).is_dir():
        return _of_folder(given, Path(named), layout)
    key = named or layout.keys.get(given.key, "")
    if is_image(given.path):
        if not named:
            return None
        raise DataError(f"--pictures {named}: no such folder. Beside an image, give a folder.")
    names = array_names(given.path)
    if not named and key not in names:
        return None
    if key not in names:
        raise DataError(
            f"--pictures {named}: neither a folder nor an array of {given.path}, which holds "
            f"{', '.join(names) or 'one array without a name'}."
        )
    return _of_key(given, key, layout)


def _of_key(given: GivenVectors, key: str, layout: PictureLayout) -> SeenPictures:
    file = TrialFile(given.path, (given.key,))
    # Pixels in a row have the fit's shape where its data does not say another.
    flat = read_array(given.path, key).ndim == 2
    pixels = layout.pixels or (layout.shape if flat else None)
    order = layout.order if flat else "C"
    read = file.pictures((key,), [len(given.voxels)], pixels, order, layout.white)
    pictures = _in_bytes(squared(read, layout.size)[list(given.rows)])
    _check_shape(pictures, layout, f"{given.path} '{key}'")
    return SeenPictures(pictures, f"'{key}' of {given.path.name}")


def _of_folder(given: GivenVectors, folder: Path, layout: PictureLayout) -> SeenPictures:
    channels, height, width = layout.shape
    paths = _named_by_file(given, folder)
    source = "the table beside" if is_image(given.path) else "the file"
    told = f"those in {folder} that {source} names"
    if paths is None:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        told = f"those in {folder}, in the order of their names"
        if len(paths) != len(given.voxels):
            raise DataError(
                f"{folder}: {len(paths)} pictures, and {given.where} has {len(given.voxels)} "
                "vectors. Give one picture a vector, in the order of their names."
            )
    chosen = [paths[row] for row in given.rows]
    return SeenPictures(read_pictures(chosen, (height, width), grey=channels == 1), told)


def _named_by_file(given: GivenVectors, folder: Path) -> Sequence[Path] | None:
    """Return the pictures that a table beside betas, or `prepare`, names of each vector, or None.

    Those of other rows than are asked for need not be there.
    """
    names = _table_names(given) if is_image(given.path) else _item_names(given)
    if names is None:
        return None
    files = find_pictures(sorted({names[row] for row in given.rows}), [folder])
    return [files.get(name, folder) for name in names]


def _table_names(given: GivenVectors) -> Sequence[str] | None:
    table = table_beside(given.path)
    if table is None:
        return None
    names: list[str] = read_table(table, (_STIMULI,), text=True)[_STIMULI].tolist()
    if len(names) != len(given.voxels):
        raise DataError(
            f"{table}: {len(names)} rows, and {given.path.name} has {len(given.voxels)} volumes. "
            "Give a table with one row a volume, in their order."
        )
    return names


def _item_names(given: GivenVectors) -> Sequence[str] | None:
    if not {_ITEMS, _NAMES} <= set(array_names(given.path)):
        return None
    names = read_texts(given.path, _NAMES)
    items = read_array(given.path, _ITEMS).ravel()
    fits = items.dtype.kind in "iu" and len(items) == len(given.voxels)
    if not fits or not 0 <= items.min() <= items.max() < len(names):
        raise DataError(
            f"{given.path}: '{_ITEMS}' should give a number of '{_NAMES}' for each vector."
        )
    return [names[item] for item in items]


def _in_bytes(pictures: NDArray[Any]) -> UInt8:
    if pictures.dtype == np.uint8:
        return pictures
    whole: UInt8 = np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
    return whole


def _check_shape(pictures: UInt8, layout: PictureLayout, where: str) -> None:
    if pictures.shape[1:] != layout.shape:
        raise DataError(
            f"{where}: pictures of {tuple(pictures.shape[1:])}, and the fit gives {layout.shape}. "
            "Give them in that size, or leave them out: --pictures none."
        )
