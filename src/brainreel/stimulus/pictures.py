"""Still pictures: read, crop, resize, normalise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.stimulus.film import open_film, picture_stream

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]


def read_picture(path: Path, size: tuple[int, int] | None = None) -> UInt8:
    """Read a still picture (PNG, JPEG, ...) as (3, H, W) uint8 RGB.

    Parameters
    ----------
    path
        The picture file.
    size
        (H, W) to resize to, see `resize_pictures`; None for its own.

    Raises
    ------
    DataError
        If the file is missing or holds no picture.
    """
    with open_film(path, "picture") as container:
        stream = picture_stream(container, path)
        frame = next(container.decode(stream), None)
        if frame is None:
            raise DataError(f"{path}: holds no picture. Give a PNG or JPEG file.")
        picture: UInt8 = np.ascontiguousarray(frame.to_ndarray(format="rgb24").transpose(2, 0, 1))
    return picture if size is None else resize_pictures(picture, size)


def resize_weights(n_in: int, n_out: int) -> NDArray[np.float64]:
    """Return the (n_out, n_in) weights that resize one axis, each row summing to 1.

    w[o, i] = tri(((i + 1/2) - (o + 1/2) s) / max(s, 1)),  s = n_in / n_out,  tri(x) = max(0, 1-|x|)

    Linear interpolation where the axis grows; where it shrinks the triangle is widened to cover
    all pixels that fall into the new one, so that nothing is aliased.
    """
    scale = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * scale
    distance = np.abs(np.arange(n_in) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1.0 - distance, 0.0, None)
    normed: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normed


def resize_pictures(pictures: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize pictures without aliasing.

    y = A_H x A_W', with the weights of `resize_weights` along height and width

    Parameters
    ----------
    pictures
        (..., H, W), any number type.
    size
        (H, W) of the result.

    Returns
    -------
    (..., H, W) of the same type; whole-number types are rounded.
    """
    if pictures.ndim < 2 or min(pictures.shape[-2:]) < 1 or min(size) < 1:
        raise DataError(f"pictures of shape {pictures.shape} cannot be resized to {size}.")
    if pictures.shape[-2:] == tuple(size):
        return pictures
    down = resize_weights(pictures.shape[-2], size[0]).astype(np.float32)
    across = resize_weights(pictures.shape[-1], size[1]).astype(np.float32)
    resized = down @ pictures.astype(np.float32) @ across.T
    if np.issubdtype(pictures.dtype, np.integer):
        resized = np.rint(resized)
    return resized.astype(pictures.dtype)


def crop_to_aspect(pictures: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return the largest central part of (..., H, W) pictures that has the aspect of `size`."""
    height, width = pictures.shape[-2:]
    wanted = size[1] / size[0]
    new_height = min(height, max(1, round(width / wanted)))
    new_width = min(width, max(1, round(height * wanted)))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    return pictures[..., top : top + new_height, left : left + new_width]


def normalise_frames(
    frames: UInt8,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
) -> Float32:
    """Scale frames as a network expects them.

    y = (x / 255 - mean) / std, channel by channel

    Parameters
    ----------
    frames
        (F, C, H, W) uint8.
    mean, std
        C numbers each, for values in [0, 1]; the default maps to [-1, 1].

    Returns
    -------
    (F, C, H, W) float32.
    """
    n_channels = check_shape(frames, "F C H W", name="frames")["C"]
    centre, spread = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    check_shape(centre, "C", name="mean", C=n_channels)
    check_shape(spread, "C", name="std", C=n_channels)
    if not (spread > 0).all():
        raise DataError(f"std of {tuple(std)} cannot be divided by; all must be above 0.")
    scaled = frames.astype(np.float32) / np.float32(255)
    return (scaled - centre[:, None, None]) / spread[:, None, None]
