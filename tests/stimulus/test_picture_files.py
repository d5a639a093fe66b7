"""Pictures as PNG files, and sheets on which small ones are enlarged without blur."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from brainreel.errors import DataError
from brainreel.stimulus.picture_files import (
    MOST_PIXELS,
    SheetRow,
    check_writable,
    rows_on_sheet,
    save_picture,
    save_sheet,
    shown,
)
from brainreel.stimulus.pictures import read_picture


def picture(channels: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (channels, height, width), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_comes_back_pixel_by_pixel(tmp_path: Path, channels: int) -> None:
    drawn = picture(channels, 5, 7)
    save_picture(tmp_path / "a.png", drawn)
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.png"), np.broadcast_to(drawn, (3, 5, 7))
    )
    save_picture(tmp_path / "b.png", drawn)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_channels_that_a_png_does_not_hold_are_refused() -> None:
    check_writable((1, 4, 4))
    with pytest.raises(DataError, match=r"\(2, 4, 4\) .* cannot be written as PNG"):
        check_writable((2, 4, 4))


@pytest.mark.parametrize(("side", "factor"), [(8, 14), (28, 4), (64, 2), (100, 1), (256, 1)])
def test_small_pictures_grow_by_whole_factors_without_blur(side: int, factor: int) -> None:
    drawn = picture(1, side, side)
    found = shown(drawn)
    assert found.shape == (side * factor, side * factor, 3)
    for y, x in [(0, 0), (side - 1, 3), (side // 2, side - 1)]:
        square = found[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        assert (square == drawn[0, y, x]).all()


def test_large_pictures_shrink_to_means_of_squares() -> None:
    drawn = picture(3, 600, 500)
    found = shown(drawn)
    assert found.shape == (200, 166, 3)
    assert found[7, 9, 1] == round(float(drawn[1, 21:24, 27:30].mean()))


def test_a_sheet_holds_every_picture_untouched(tmp_path: Path) -> None:
    rows = [
        SheetRow(f"{i:04}", [shown(picture(3, 28, 28, seed=10 * i + j)) for j in range(3)])
        for i in range(5)
    ]
    save_sheet(tmp_path / "sheet.png", "a model, sub-01", ["seen", "first", "1"], rows)
    sheet = np.rint(imread(tmp_path / "sheet.png") * 255).astype(np.uint8)[..., :3]
    found = {}
    for i, row in enumerate(rows):
        for j, one in enumerate(row.pictures):
            # Where the picture's first two rows of pixels begin, if they are there at all.
            heads = np.argwhere((sheet[:, :, 0] == one[0, 0, 0]) & (sheet[:, :, 1] == one[0, 0, 1]))
            places = [
                (int(y), int(x))
                for y, x in heads
                if np.array_equal(sheet[y : y + 112, x : x + 112], one)
            ]
            assert len(places) == 1
            found[i, j] = places[0]
    for i in range(5):
        assert found[i, 0][0] == found[i, 1][0] == found[i, 2][0]
        assert found[i, 0][1] < found[i, 1][1] < found[i, 2][1]
        numbers = sheet[found[i, 0][0] :, : found[i, 0][1]][:112, -50:]
        assert (numbers < 128).any()
    save_sheet(tmp_path / "again.png", "a model, sub-01", ["seen", "first", "1"], rows)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()


def test_a_sheet_stays_of_a_size_that_can_be_opened() -> None:
    for shape, columns in (((1, 28, 28), 2), ((3, 256, 256), 7), ((3, 1024, 1024), 40)):
        n = rows_on_sheet(shape, columns)
        height, width = shown(np.zeros(shape, np.uint8)).shape[:2]
        assert n >= 3
        assert n * height * width * columns <= MOST_PIXELS
