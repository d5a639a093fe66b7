"""Still pictures against Pillow's and PyTorch's own readers and resizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from brainreel.errors import DataError, ShapeError
from brainreel.stimulus.pictures import (
    crop_to_aspect,
    normalise_frames,
    read_picture,
    resize_pictures,
    resize_weights,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_png_is_read_as_it_is(tmp_path: Path) -> None:
    pixels = noise(11, 17, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), pixels.transpose(2, 0, 1))


def test_a_grey_picture_has_three_channels(tmp_path: Path) -> None:
    pixels = noise(12, 16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.stack([pixels] * 3))


def test_a_jpeg_is_near_pillows(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    Image.fromarray(np.stack([np.add.outer(ramp // 2, ramp // 2)] * 3, -1)).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as opened:
        expected = np.asarray(opened).transpose(2, 0, 1).astype(int)
    assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - expected).max() <= 3


def test_a_picture_is_resized_on_reading(tmp_path: Path) -> None:
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / "a.png")
    whole = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.png", (5, 6)), resize_pictures(whole, (5, 6))
    )


def test_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DataError, match="the picture cannot be decoded"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="no such picture"):
        read_picture(tmp_path / "b.png")


def test_a_sound_is_no_picture(write_film: Callable[..., Path], tone: np.ndarray) -> None:
    film = write_film("tone.wav", sound=tone, sound_codec="pcm_s16le")
    with pytest.raises(DataError, match="has no pictures"):
        read_picture(film)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (40, 50), (24, 31), (1, 1)])
def test_resizing_equals_pytorchs(size: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).random((2, 3, 24, 30), dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pictures), size, mode="bilinear", antialias=True, align_corners=False
    )
    np.testing.assert_allclose(resize_pictures(pictures, size), expected.numpy(), atol=2e-6)


def test_resizing_keeps_type_and_constants() -> None:
    flat = np.full((2, 9, 9), 200, np.uint8)
    small = resize_pictures(flat, (4, 5))
    assert small.dtype == np.uint8
    assert (small == 200).all()
    assert resize_pictures(flat, (9, 9)) is flat


def test_weights_sum_to_one() -> None:
    np.testing.assert_allclose(resize_weights(31, 7).sum(axis=1), 1)


def test_impossible_size() -> None:
    with pytest.raises(DataError, match="cannot be resized to"):
        resize_pictures(np.zeros((3, 4, 4)), (0, 4))


@pytest.mark.parametrize(
    ("size", "expected"), [((10, 10), (20, 20)), ((1, 2), (15, 30)), ((4, 1), (20, 5))]
)
def test_cropping_keeps_the_centre(size: tuple[int, int], expected: tuple[int, int]) -> None:
    pictures = noise(3, 20, 30)
    cropped = crop_to_aspect(pictures, size)
    assert cropped.shape[1:] == expected
    top, left = (20 - expected[0]) // 2, (30 - expected[1]) // 2
    np.testing.assert_array_equal(
        cropped, pictures[:, top : top + expected[0], left : left + expected[1]]
    )


def test_normalising() -> None:
    frames = noise(2, 3, 4, 5)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    normalised = normalise_frames(frames, mean, std)
    assert normalised.dtype == np.float32
    for channel in range(3):
        expected = (frames[:, channel] / 255 - mean[channel]) / std[channel]
        np.testing.assert_allclose(normalised[:, channel], expected, atol=1e-5)
    assert normalise_frames(np.array([[[[0, 255]]] * 3], np.uint8)).ravel().tolist() == [-1, 1] * 3


def test_normalising_checks_its_channels() -> None:
    with pytest.raises(ShapeError, match="mean has 3 along axis C"):
        normalise_frames(noise(2, 1, 4, 5))
    with pytest.raises(DataError, match="cannot be divided by"):
        normalise_frames(noise(2, 1, 4, 5), (0.5,), (0.0,))
