"""Voxel vectors with the pictures that were seen, and pictures that nobody saw, as rows to load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from brainreel.data.loading import Draw
from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import StoredPictures
from brainreel.errors import DataError, LeakError
from brainreel.layers.voxel_patches import Padding, padded

Float32 = NDArray[np.float32]

# Two pictures that correlate more are one picture, sharpened, resized or saved again.
_SAME = 0.99
_AT_ONCE = 512


class PictureBatch(NamedTuple):
    """Pairs of brains and pictures; of a picture that nobody saw, the brain is 0 and withheld.

    Attributes
    ----------
    voxels
        (B, V) in deviations of the training part, padded to the longest.
    pictures
        (B, C, H, W) in [0, 1].
    guesses
        (B, C, H, W) first guesses of them, 0 where there are none.
    paired
        (B,) boolean, False for a picture without a brain.
    guessed
        (B,) boolean, False for a picture without a first guess.
    counted
        (B,) boolean, False for a copy that fills up a rank.
    """

    voxels: Tensor
    pictures: Tensor
    guesses: Tensor
    paired: Tensor
    guessed: Tensor
    counted: Tensor


@dataclass(frozen=True, eq=False)
class Pairs:
    """Some trials: their vectors, one block of rows a person, pictures and first guesses.

    Attributes
    ----------
    blocks
        (T, V) each.
    pictures
        (B, C, H, W) in the order of the blocks.
    guesses
        (B, C, H, W) in that order, or None.
    """

    blocks: Sequence[Float32]
    pictures: Float32 | StoredPictures
    guesses: Float32 | None = None

    def __len__(self) -> int:
        """Trials of all blocks."""
        return sum(map(len, self.blocks))


class PictureRows(Dataset[PictureBatch]):
    """Pairs, then pictures without a brain; row `~i` is a copy of row i that must not count.

    Parameters
    ----------
    pairs
        What was seen and measured.
    more, more_guesses
        (N, C, H, W) further pictures, in [0, 1], and first guesses of them, or None.
    length, padding
        What vectors are padded to, and how.
    """

    def __init__(
        self,
        pairs: Pairs,
        more: Float32 | None,
        length: int,
        padding: Padding,
        more_guesses: Float32 | None = None,
    ) -> None:
        self.pairs, self.more, self.length, self.padding = pairs, more, length, padding
        self.more_guesses = more_guesses
        self.ends = np.cumsum([len(block) for block in pairs.blocks])

    def __len__(self) -> int:
        """Pairs and further pictures."""
        return len(self.pairs) + (0 if self.more is None else len(self.more))

    def __getitem__(self, index: int | Draw) -> PictureBatch:
        """Return one row, without the axis of the batch."""
        index = index.item if isinstance(index, Draw) else index
        row, counted = (index, True) if index >= 0 else (~index, False)
        place, paired = row - len(self.pairs), row < len(self.pairs)
        if paired:
            shown, guesses = self.pairs.pictures[row], self.pairs.guesses
            voxels = padded(torch.from_numpy(self._vector(row)), self.length, self.padding)
            guess = None if guesses is None else guesses[row]
        else:
            assert self.more is not None
            shown, voxels = self.more[place], torch.zeros(self.length)
            guess = None if self.more_guesses is None else self.more_guesses[place]
        picture = torch.from_numpy(np.asarray(shown, dtype=np.float32))
        guessed = torch.zeros_like(picture) if guess is None else torch.from_numpy(guess)
        flags = (torch.tensor(flag) for flag in (paired, guess is not None, counted))
        return PictureBatch(voxels, picture, guessed, *flags)

    def _vector(self, row: int) -> Float32:
        block = int(np.searchsorted(self.ends, row, side="right"))
        vector: Float32 = self.pairs.blocks[block][row - int(self.ends[block])]
        return vector


def collate_pictures(rows: Sequence[PictureBatch]) -> PictureBatch:
    """Join rows into a batch."""
    return PictureBatch(*(torch.stack(part) for part in zip(*rows, strict=True)))


def check_not_shown(more: Float32, trials: Trials, where: str) -> None:
    """Refuse further pictures among which is one of those that were seen, however saved.

    Raises
    ------
    DataError
        If they have another shape.
    LeakError
        If one is equal to one of the trials' pictures, or correlates with it above 0.99.
    """
    assert trials.pictures is not None
    if more.shape[1:] != tuple(trials.pictures.shape[1:]):
        raise DataError(
            f"{where}: pictures of {more.shape[1:]}, and those that were seen have "
            f"{tuple(trials.pictures.shape[1:])}. Give both one size."
        )
    for first, one in _parts(more):
        for trial, other in _parts(trials.pictures):
            alike = one @ other.T
            found = np.argwhere(alike > _SAME)
            if len(found):
                row, column = found[0]
                raise LeakError(
                    f"{where}: picture {first + row} is the one that was seen in trial "
                    f"{trial + column} (they correlate by {alike[row, column]:.3f}). Leave out "
                    "whatever was seen."
                )


def _parts(pictures: Float32 | StoredPictures) -> Iterator[tuple[int, Float32]]:
    """Yield the first number and the directions of some hundred pictures at a time."""
    for first in range(0, len(pictures), _AT_ONCE):
        yield first, _directions(np.asarray(pictures[first : first + _AT_ONCE]))


def _directions(pictures: Float32) -> Float32:
    rows = pictures.reshape(len(pictures), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(sizes > 0, sizes, 1), dtype=np.float32)
