"""Voxel vectors that somebody brings to a fit: an array of a file by its key, or an image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.readers import array_names, read_numbers
from brainreel.errors import ConfigError, DataError
from brainreel.files import digest_file, require_file
from brainreel.fmri.vector_images import is_image, read_image_vectors
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]

_RANGE = re.compile(r"(\d*):(\d*)")


@dataclass(frozen=True)
class VectorChoice:
    """Which vectors are meant.

    Attributes
    ----------
    path
        .npz, .npy, .mat or .h5 with (B, V), or a NIfTI.
    key
        Name of the array; empty for the one that the fit took its vectors from.
    mask
        Of an image: the voxels that are columns; None for that beside the fit's own vectors.
    rows
        `"0:10"`, `"3"` or `"0,3,7"`; empty for all.
    """

    path: Path
    key: str = ""
    mask: Path | None = None
    rows: str = ""


@dataclass(frozen=True, eq=False)
class GivenVectors:
    """Vectors of a file.

    Attributes
    ----------
    voxels
        (B, V) all vectors of the array or image.
    rows
        Which of them are asked for, from 0.
    path, key
        Where they stand; the key is empty in an image and where an array has no name.
    digests
        SHA-256 of the files that were read, by path.
    """

    voxels: Float32
    rows: tuple[int, ...]
    path: Path
    key: str
    digests: Mapping[str, str]

    @property
    def where(self) -> str:
        """File and key, as errors name them."""
        return f"{self.path} '{self.key}'" if self.key else str(self.path)


def read_given(
    choice: VectorChoice, keys: Sequence[str] = (), own_mask: Path | None = None
) -> GivenVectors:
    """Read the vectors that are meant.

    Parameters
    ----------
    choice
        As asked.
    keys
        Arrays that the fit took its vectors from.
    own_mask
        Mask of the voxels that it took, if one is known.

    Raises
    ------
    DataError
        For a missing or broken file, a wrong key, NaN, or a mask that does not fit.
    ConfigError
        If an option says nothing of such a file, or rows are asked for that are not there.
    """
    path = require_file(choice.path, "file of voxel vectors")
    read: tuple[Path, ...]
    if is_image(path):
        if choice.key:
            raise ConfigError(f"{path}: an image has no keys. Leave --key out.")
        mask = choice.mask or own_mask
        if mask is None:
            raise ConfigError(
                f"{path}: which voxels of the image are the columns? Give the mask that the fit's "
                "vectors were taken with: --mask IMAGE."
            )
        voxels, key, read = read_image_vectors(path, mask), "", (path, mask)
    else:
        if choice.mask is not None:
            raise ConfigError(f"--mask says something of images, and {path} holds arrays.")
        key, read = choice.key or _own_key(path, keys), (path,)
        voxels = read_numbers(path, key)
        voxels = voxels[None] if voxels.ndim == 1 else voxels
    check_shape(voxels, "B V", name=f"{path} '{key}'" if key else str(path))
    if not voxels.size:
        raise DataError(f"{path}: holds no vector.")
    rows = chosen_rows(choice.rows, len(voxels))
    return GivenVectors(voxels, rows, path, key, {str(p): digest_file(p) for p in read})


def chosen_rows(text: str, n: int) -> tuple[int, ...]:
    """Return the rows of n that `"0:10"`, `"3"` or `"0,3,7"` names, from 0; empty text: all.

    Raises
    ------
    ConfigError
        If it names none, one twice, or one that is not there.
    """
    rows: list[int] = []
    for part in text.split(",") if text else [":"]:
        ends = _RANGE.fullmatch(part.strip())
        if ends:
            first, last = int(ends[1] or 0), int(ends[2] or n)
            rows += range(first, last)
        elif part.strip().isdecimal():
            first, last = int(part), int(part) + 1
            rows.append(first)
        else:
            raise ConfigError(f"--rows {text}: should be such as 0:10, 3, or 0,3,7.")
        if first >= last or last > n:
            raise ConfigError(f"--rows {text}: the file has rows 0 to {n - 1}.")
    if len(set(rows)) < len(rows):
        raise ConfigError(f"--rows {text}: names a row twice.")
    return tuple(rows)


def _own_key(path: Path, keys: Sequence[str]) -> str:
    """Return the key of the fit's own vectors, if the file has one of them, and one alone."""
    names = array_names(path)
    found = [key for key in keys if key in names]
    if len(found) == 1:
        return found[0]
    if len(names) < 2:
        return ""  # the only array there is
    told = f"{' and '.join(found)}, which the fit took both" if found else ", ".join(names)
    raise ConfigError(f"{path}: which array are the voxel vectors? It holds {told}. Give --key.")
