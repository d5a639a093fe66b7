"""Pictures kept once each in bytes, given out by trial as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.stimulus.pictures import crop_to_aspect, resize_pictures

_AT_ONCE = 256
_DIGEST = blake2b()


@dataclass(frozen=True, eq=False)
class StoredPictures:
    """The pictures of B trials, of which several may have seen one picture.

    `pictures[rows]` gives (B, C, H, W) float32 in [0, 1] of some trials, `pictures[row]` one.

    Attributes
    ----------
    stored
        (N, C, H, W) uint8, each picture once.
    number
        (B,) place in `stored` of what each trial saw.
    """

    stored: NDArray[np.uint8]
    number: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = check_shape(self.stored, "N C H W", name="pictures")["N"]
        check_shape(self.number, "B", name="picture numbers")
        if self.number.size and not 0 <= self.number.min() <= self.number.max() < n:
            raise DataError(f"trials with pictures beyond the {n} that are there.")

    def __len__(self) -> int:
        """Trials B."""
        return len(self.number)

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, C, H, W)."""
        return (len(self.number), *self.stored.shape[1:])

    def __getitem__(
        self, rows: int | slice | Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the pictures of some trials."""
        return self.stored[self.number[rows]].astype(np.float32) / np.float32(255)

    def take(self, rows: NDArray[np.integer]) -> StoredPictures:
        """Return the pictures of some trials, still in bytes."""
        return StoredPictures(self.stored, self.number[rows])

    def items(self) -> NDArray[np.int64]:
        """Return (B,) numbers that are equal where all pixels are."""
        return number_equal(self.stored)[self.number]


def number_equal(rows: NDArray[np.generic]) -> NDArray[np.int64]:
    """Number rows from 0 in order of first appearance; rows of equal bytes share a number."""
    numbers: dict[bytes, int] = {}
    # Digests of long rows: thousands of pictures would stand in memory once more.
    short = rows[:1].nbytes <= _DIGEST.digest_size
    keys = (row.tobytes() if short else blake2b(row.tobytes()).digest() for row in rows)
    found = [numbers.setdefault(key, len(numbers)) for key in keys]
    return np.array(found, dtype=np.int64)


def picture_digests(
    pictures: NDArray[np.float32] | StoredPictures, rows: Sequence[int]
) -> list[str]:
    """Return for each of some trials the digest of its picture in bytes, whatever holds them."""
    if isinstance(pictures, StoredPictures):
        numbers = pictures.number[np.asarray(rows, dtype=np.int64)].tolist()
        known = {number: _digest(pictures.stored[number]) for number in set(numbers)}
        return [known[number] for number in numbers]
    return [_digest(np.rint(pictures[row] * 255).astype(np.uint8)) for row in rows]


def _digest(picture: NDArray[np.uint8]) -> str:
    return blake2b(picture.tobytes(), digest_size=8).hexdigest()


def kept_once(pictures: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return each of (B, C, H, W) pictures once, (N, C, H, W), and (B,) its place there."""
    number = number_equal(pictures)
    return pictures[np.unique(number, return_index=True)[1]], number


def mean_picture(
    pictures: NDArray[np.float32] | StoredPictures, rows: Sequence[int] | NDArray[np.integer]
) -> NDArray[np.float32]:
    """Return the (C, H, W) mean of some trials' pictures, a few at a time."""
    chosen = np.asarray(rows, dtype=np.int64)
    total = np.zeros(pictures.shape[1:])
    for first in range(0, len(chosen), _AT_ONCE):
        total += np.asarray(pictures[chosen[first : first + _AT_ONCE]]).sum(axis=0, dtype=float)
    return (total / len(chosen)).astype(np.float32)


def squared(pictures: NDArray[Any], size: int | None) -> NDArray[Any]:
    """Return the middle square of (..., H, W) pictures at `size` pixels; None: as they are."""
    return (
        pictures
        if size is None
        else resize_pictures(crop_to_aspect(pictures, (size, size)), (size, size))
    )
