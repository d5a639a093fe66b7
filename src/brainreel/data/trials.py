"""Voxel vectors paired with pictures or labels, from a file by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.data.readers import check_finite, check_same_length, read_array, read_numbers
from brainreel.data.samples import Trials
from brainreel.data.trial_splits import StratifiedSplit, TrialSplitConfig, make_trial_folds
from brainreel.errors import DataError
from brainreel.files import digest_file
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]


class TrialsData(Config):
    """Single-trial voxel vectors with the pictures that were seen, or class labels."""

    name: Literal["trials"] = "trials"
    path: Path
    """A .npz, .mat or .h5 file."""
    voxel_keys: tuple[str, ...] = Field(default=("voxels",), min_length=1)
    """Arrays (trials, voxels); several are stacked, such as training and test."""
    picture_keys: tuple[str, ...] = ()
    """Arrays of pictures, one for each voxel key: (trials, pixels), (trials, H, W) or
    (trials, C, H, W)."""
    label_keys: tuple[str, ...] = ()
    """Arrays of class labels, one for each voxel key."""
    picture_shape: tuple[int, int] | tuple[int, int, int] | None = None
    """(H, W) or (C, H, W) of one picture, where the file holds rows of pixels."""
    picture_order: Literal["C", "F"] = "C"
    """How pixels were strung into a row: C row by row, F column by column (MATLAB)."""
    picture_max: float | None = Field(default=None, gt=0)
    """Pixel value of white; none: 255 for whole numbers, 1 for others."""
    subject: str = "sub-01"
    """Whose brain it is."""
    shuffle_pairs: bool = False
    """Negative control: pair each brain with another trial's picture and label; scores must fall
    to chance."""
    seed: int = 0
    """Seed of that shuffle."""
    splits: tuple[TrialSplitConfig, ...] = (StratifiedSplit(),)
    """How trials are parted into training and test; each is scored by itself."""

    def open(self) -> Trials:
        """Read the file and make the folds.

        Raises
        ------
        DataError
            For keys of different lengths, NaN, fewer than two trials, or pictures that do not fit
            `picture_shape`.
        LeakError
            If a picture is on both sides of a split.
        """
        blocks = [self._voxels(key) for key in self.voxel_keys]
        lengths = [len(block) for block in blocks]
        voxels = self._stacked(blocks, self.voxel_keys)
        if len(voxels) < 2:
            raise DataError(f"{self.path}: one trial cannot be split into training and test.")
        pictures = self._pictures(lengths) if self.picture_keys else None
        labels = self._labels(lengths) if self.label_keys else None
        notes: tuple[str, ...] = ()
        if self.shuffle_pairs:
            order = np.random.default_rng(self.seed).permutation(len(voxels))
            pictures = None if pictures is None else pictures[order]
            labels = None if labels is None else labels[order]
            notes = ("Negative control: brains and pictures were paired at random.",)
        sources = {self.path.name: digest_file(self.path)}
        trials = Trials(voxels, pictures, labels, (), (self.subject,), sources, notes)
        return replace(trials, folds=make_trial_folds(trials, lengths[:1], self.splits))

    def _voxels(self, key: str) -> Float32:
        values = read_numbers(self.path, key)
        check_shape(values, "B V", name=f"{self.path} '{key}'")
        return values

    def _stacked(self, blocks: Sequence[Float32], keys: Sequence[str]) -> Float32:
        widths = {key: int(block.shape[1]) for key, block in zip(keys, blocks, strict=True)}
        check_same_length(widths, what="voxels", where=str(self.path))
        return np.concatenate(blocks)

    def _pictures(self, lengths: Sequence[int]) -> Float32:
        self._check_keys(self.picture_keys, "picture_keys")
        blocks = []
        for key, voxel_key, n in zip(self.picture_keys, self.voxel_keys, lengths, strict=True):
            block = self._scaled(key)
            counts = {voxel_key: n, key: len(block)}
            check_same_length(counts, what="trials", where=str(self.path))
            blocks.append(as_pictures(block, self.picture_shape, self.picture_order, name=key))
        if len({block.shape[1:] for block in blocks}) > 1:
            shapes = ", ".join(str(block.shape[1:]) for block in blocks)
            raise DataError(f"{self.path}: the pictures differ in size: {shapes}.")
        return np.concatenate(blocks)

    def _scaled(self, key: str) -> Float32:
        whole = read_array(self.path, key).dtype.kind in "iu"
        values = read_numbers(self.path, key)
        white = self.picture_max or (255.0 if whole else 1.0)
        if values.min() < 0 or values.max() > white:
            raise DataError(
                f"{self.path} '{key}': pixels lie between {values.min():g} and "
                f"{values.max():g}, not between 0 and {white:g}. Give picture_max."
            )
        return values / np.float32(white)

    def _labels(self, lengths: Sequence[int]) -> NDArray[np.int64]:
        self._check_keys(self.label_keys, "label_keys")
        blocks = []
        for key, voxel_key, n in zip(self.label_keys, self.voxel_keys, lengths, strict=True):
            block = read_array(self.path, key).ravel()
            if block.dtype.kind == "f":
                check_finite(block, f"{self.path} '{key}'")
            counts = {voxel_key: n, key: len(block)}
            check_same_length(counts, what="trials", where=str(self.path))
            blocks.append(block)
        # Classes are numbered from 0 in sorted order, whatever the file calls them.
        return np.unique(np.concatenate(blocks), return_inverse=True)[1].astype(np.int64)

    def _check_keys(self, keys: Sequence[str], option: str) -> None:
        if len(keys) != len(self.voxel_keys):
            raise DataError(
                f"{self.path}: {len(self.voxel_keys)} voxel_keys and {len(keys)} {option}; give "
                "as many of both."
            )


def as_pictures(values: Float32, shape: Sequence[int] | None, order: str, *, name: str) -> Float32:
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
