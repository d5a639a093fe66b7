"""Pictures that nobody saw, for a model of pictures to learn from: a folder, or arrays by key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.readers import read_array, read_numbers
from brainreel.data.trial_pictures import read_pictures
from brainreel.errors import DataError
from brainreel.stimulus.pictures import crop_to_aspect, resize_pictures

Float32 = NDArray[np.float32]
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


def read_more_pictures(path: Path, key: str, shape: Sequence[int]) -> Float32:
    """Read pictures as (N, C, H, W) in [0, 1].

    Parameters
    ----------
    path
        Folder of picture files, searched through all its folders; or a file of arrays, (N, H, W) or
        (N, C, H, W), whole numbers up to 255 or others up to 1.
    key
        Name of the array, empty where the file holds one.
    shape
        (C, H, W) that they are cut and resized to.

    Raises
    ------
    DataError
        If there is none, one cannot be read, or the channels or the range are others.
    """
    channels, *size = shape
    height, width = size
    if path.is_dir():
        found = sorted(f for f in path.rglob("*") if f.suffix.lower() in _SUFFIXES)
        if not found:
            raise DataError(f"{path}: holds no pictures ({', '.join(sorted(_SUFFIXES))}).")
        read = read_pictures(found, (height, width), grey=channels == 1)
        return read.astype(np.float32) / np.float32(255)
    whole = read_array(path, key).dtype.kind in "iu"
    values = read_numbers(path, key)
    values = values[:, None] if values.ndim == 3 else values
    if values.ndim != 4 or values.shape[1] != channels or not len(values):
        raise DataError(
            f"{path} '{key}': an array of {values.shape}, and pictures of {channels} channels are "
            f"wanted. Give (N, {channels}, H, W)" + (" or (N, H, W)." if channels == 1 else ".")
        )
    if whole and values.max() == 1:
        raise DataError(
            f"{path} '{key}': pixels are 0 and 1 in whole numbers, of which 255 is white. Save "
            "numbers with a point, or true and false."
        )
    values = values / np.float32(255 if whole else 1)
    if values.min() < 0 or values.max() > 1:
        raise DataError(
            f"{path} '{key}': pixels lie between {values.min():g} and {values.max():g}, white "
            "being 1. Save whole numbers up to 255, or others up to 1."
        )
    resized = resize_pictures(crop_to_aspect(values, (height, width)), (height, width))
    pictures: Float32 = np.clip(resized, 0, 1).astype(np.float32)
    return pictures
