"""One person's trials from arrays of a file: voxels, pictures, labels and numbers of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.readers import check_finite, check_same_length, read_array, read_numbers
from brainreel.errors import DataError
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class TrialFile:
    """A file, and the keys whose arrays are stacked: those of training, then those of the test.

    Attributes
    ----------
    path
        .npz, .mat or .h5.
    voxel_keys
        Arrays (trials, voxels).
    """

    path: Path
    voxel_keys: Sequence[str]

    def voxels(self) -> tuple[Float32, list[int]]:
        """Return (B, V) of all keys, and the trials of each key."""
        blocks = [read_numbers(self.path, key) for key in self.voxel_keys]
        for key, block in zip(self.voxel_keys, blocks, strict=True):
            check_shape(block, "B V", name=f"{self.path} '{key}'")
        widths = {k: b.shape[1] for k, b in zip(self.voxel_keys, blocks, strict=True)}
        check_same_length(widths, what="voxels", where=str(self.path))
        return np.concatenate(blocks), [len(block) for block in blocks]

    def pictures(
        self,
        keys: Sequence[str],
        lengths: Sequence[int],
        shape: Sequence[int] | None,
        order: str,
        white: float | None,
    ) -> Float32 | UInt8:
        """Return (B, C, H, W): uint8 where the file has it and 255 is white, else in [0, 1]."""
        self._check_keys(keys, "picture_keys")
        read = [self._scaled(key, white) for key in keys]
        self._check_lengths(keys, read, lengths)
        blocks = [as_pictures(b, shape, order, name=key) for key, b in zip(keys, read, strict=True)]
        if len({block.shape[1:] for block in blocks}) > 1:
            shapes = ", ".join(str(block.shape[1:]) for block in blocks)
            raise DataError(f"{self.path}: the pictures differ in size: {shapes}.")
        if len({block.dtype for block in blocks}) > 1:
            blocks = [b / np.float32(255) if b.dtype == np.uint8 else b for b in blocks]
        return np.concatenate(blocks)

    def numbers(self, keys: Sequence[str], lengths: Sequence[int], option: str) -> NDArray[Any]:
        """Return (B,) labels or numbers of pictures, whatever the file calls them."""
        self._check_keys(keys, option)
        blocks = [read_array(self.path, key).ravel() for key in keys]
        for key, block in zip(keys, blocks, strict=True):
            if block.dtype.kind == "f":
                check_finite(block, f"{self.path} '{key}'")
        self._check_lengths(keys, blocks, lengths)
        return np.concatenate(blocks)

    def _scaled(self, key: str, white: float | None) -> Float32 | UInt8:
        raw = read_array(self.path, key)
        if raw.dtype == np.uint8 and white in (None, 255.0):
            _check_not_black(raw, white, f"{self.path} '{key}'")
            return raw
        values = read_numbers(self.path, key)
        _check_not_black(raw, white, f"{self.path} '{key}'")
        top = white or (255.0 if raw.dtype.kind in "iu" else 1.0)
        if values.min() < 0 or values.max() > top:
            raise DataError(
                f"{self.path} '{key}': pixels lie between {values.min():g} and "
                f"{values.max():g}, not between 0 and {top:g}. Give picture_max."
            )
        return values / np.float32(top)

    def _check_keys(self, keys: Sequence[str], option: str) -> None:
        if len(keys) != len(self.voxel_keys):
            raise DataError(
                f"{self.path}: {len(self.voxel_keys)} voxel_keys and {len(keys)} {option}; give "
                "as many of both."
            )

    def _check_lengths(
        self, keys: Sequence[str], blocks: Sequence[NDArray[Any]], lengths: Sequence[int]
    ) -> None:
        for key, block, own, n in zip(keys, blocks, self.voxel_keys, lengths, strict=True):
            counts = {own: n, key: len(block)}
            check_same_length(counts, what="trials", where=str(self.path))


def _check_not_black(raw: NDArray[Any], white: float | None, where: str) -> None:
    """Refuse pictures of 0 and 1 in whole numbers, of which 255 would be white."""
    if white is None and raw.dtype.kind in "iu" and raw.size and raw.max() == 1:
        raise DataError(
            f"{where}: pixels are 0 and 1 in whole numbers, of which 255 is white unless it is "
            "said. Give picture_max: 1, or 255 if they are so dark."
        )


def as_pictures(
    values: NDArray[Any], shape: Sequence[int] | None, order: str, *, name: str
) -> NDArray[Any]:
    """Bring pictures into (B, C, H, W).

    Parameters
    ----------
    values
        (B, P) rows of pixels, (B, H, W) or (B, C, H, W).
    shape
        (H, W) or (C, H, W); needed where `values` are rows.
    order
        `"C"`: rows strung together, `"F"`: columns strung together; channels stand one after
        another in both.
    name
        What the pictures are called in errors.

    Raises
    ------
    DataError
        If the rows do not have C * H * W pixels, or no shape is given for rows.
    """
    if values.ndim == 2:
        if not shape:
            raise DataError(f"'{name}' holds rows of {values.shape[1]} pixels. Give picture_shape.")
        channels, height, width = (1, *shape) if len(shape) == 2 else tuple(shape)
        if values.shape[1] != channels * height * width:
            raise DataError(
                f"'{name}' holds rows of {values.shape[1]} pixels, which are not {tuple(shape)} "
                "pictures. Give another picture_shape."
            )
        if order == "F":
            columns = values.reshape(-1, channels, width, height)
            return np.ascontiguousarray(columns.transpose(0, 1, 3, 2))
        return values.reshape(-1, channels, height, width)
    if values.ndim == 3:
        values = values[:, None]
    check_shape(values, "B C H W", name=f"'{name}'")
    if order == "F":
        raise DataError(
            f"'{name}' already has {values.shape[2:]} pictures; leave picture_order out."
        )
    if shape and tuple(values.shape[-len(shape) :]) != tuple(shape):
        raise DataError(f"'{name}' has pictures of {values.shape[1:]}, not {tuple(shape)}.")
    return values
