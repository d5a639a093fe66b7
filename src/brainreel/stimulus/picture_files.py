"""Pictures as PNG files, and many on one sheet."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from brainreel.errors import DataError

UInt8 = NDArray[np.uint8]

# Sizes in pixels of the sheet.
_SMALLEST = 112
_LARGEST = 256
_GAP = 6
_LABEL, _HEAD, _LINE = 58, 20, 16
_BLOCK_GAP = 24
_LEAST_WIDTH = 420
_DPI = 100
_ASPECT = 1.4
MOST_PIXELS = 40_000_000


def check_writable(shape: Sequence[int]) -> None:
    """Refuse pictures of other than one or three channels."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError(
            f"pictures of {tuple(shape)} (channels, height, width) cannot be written as PNG, which "
            "holds one channel (grey) or three (colour)."
        )


def save_picture(path: Path, picture: UInt8) -> None:
    """Write a (C, H, W) picture as a PNG of its own size, C one (grey) or three (colour)."""
    imsave(path, coloured(picture), format="png", metadata={})


def coloured(picture: UInt8) -> UInt8:
    """Return a (C, H, W) picture as (H, W, 3)."""
    check_writable(picture.shape)
    colour = np.repeat(picture, 3, axis=0) if len(picture) == 1 else picture
    return np.ascontiguousarray(np.moveaxis(colour, 0, -1))


def shown(picture: UInt8) -> UInt8:
    """Return a (C, H, W) picture as it stands on a sheet, (H', W', 3).

    Small ones are enlarged, large ones reduced, by whole factors: each pixel is a square of equal
    pixels, or the mean of a square.
    """
    rows = coloured(picture)
    side = max(rows.shape[:2])
    grow, shrink = max(1, round(_SMALLEST / side)), -(-side // _LARGEST)
    if grow > 1:
        return rows.repeat(grow, axis=0).repeat(grow, axis=1)
    if shrink == 1:
        return rows
    height, width = (size // shrink for size in rows.shape[:2])
    squares = rows[: height * shrink, : width * shrink]
    means = squares.reshape(height, shrink, width, shrink, 3).mean(axis=(1, 3))
    reduced: UInt8 = np.rint(means).astype(np.uint8)
    return reduced


@dataclass(frozen=True, eq=False)
class SheetRow:
    """Pictures of one brain.

    Attributes
    ----------
    label
        Its number.
    pictures
        (H', W', 3) each, as `shown` makes them, all of one size.
    """

    label: str
    pictures: Sequence[UInt8]


def rows_on_sheet(picture_shape: Sequence[int], n_columns: int) -> int:
    """Return how many rows of pictures a sheet takes at most."""
    height, width = map(int, shown(np.zeros(tuple(picture_shape), np.uint8)).shape[:2])
    return max(1, MOST_PIXELS // ((height + _GAP) * (n_columns * (width + _GAP) + _LABEL)))


def save_sheet(path: Path, title: str, heads: Sequence[str], rows: Sequence[SheetRow]) -> None:
    """Write rows of pictures as one PNG, with their numbers beside and what they are above.

    Rows run down in as many blocks as make the sheet a little wider than high.

    Parameters
    ----------
    path
        The file.
    title
        What is shown, above all.
    heads
        What the picture in each column of a row is.
    rows
        One for each brain, as many pictures in each as there are heads.
    """
    height, width = rows[0].pictures[0].shape[:2]
    row_height, column = height + _GAP, width + _GAP
    block = _LABEL + len(heads) * column
    n_blocks = _n_blocks(len(rows), row_height, block)
    deep = -(-len(rows) // n_blocks)
    sheet_width = max(_LEAST_WIDTH, n_blocks * (block + _BLOCK_GAP))
    lines = textwrap.wrap(title, sheet_width // 7) or [""]
    top = _GAP + len(lines) * _LINE + _HEAD
    canvas = np.full((top + deep * row_height + _GAP, sheet_width, 3), 255, np.uint8)
    texts = [(_GAP, _GAP + i * _LINE, line, "left") for i, line in enumerate(lines)]
    for number, row in enumerate(rows):
        x = number // deep * (block + _BLOCK_GAP) + _GAP
        y = top + number % deep * row_height
        texts.append((x, y + height // 2 - 6, row.label, "left"))
        for place, picture in enumerate(row.pictures):
            left = x + _LABEL + place * column
            canvas[y : y + height, left : left + width] = picture
            if number % deep == 0:
                texts.append((left + width // 2, top - _LINE, heads[place], "center"))
    _save(path, canvas, texts)


def _n_blocks(n_rows: int, row_height: int, block: int) -> int:
    """Return the number of blocks whose sheet is nearest to the wanted shape."""

    def off(n_blocks: int) -> float:
        deep = -(-n_rows // n_blocks)
        return abs(float(np.log(n_blocks * (block + _BLOCK_GAP) / (deep * row_height) / _ASPECT)))

    return min(range(1, n_rows + 1), key=off)


def _save(path: Path, canvas: UInt8, texts: Sequence[tuple[int, int, str, str]]) -> None:
    """Write a picture with texts at pixels (x, y) of their upper edge."""
    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    figure.figimage(canvas, 0, 0, origin="upper")
    for x, y, text, side in texts:
        figure.text(
            *(x / width, 1 - y / height, text),
            ha=side, va="top", fontsize=8, color="black", parse_math=False,
        )  # fmt: skip
    figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})
