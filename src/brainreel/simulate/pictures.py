"""Pictures of several kinds, and voxels that see them: light, colour, edges, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from brainreel.files import write_aside
from brainreel.simulate.views import KINDS, paint_view

Float = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

# Red, green and blue in what a channel sees; both colour channels are blind to grey.
_OPPONENT = {
    "luminance": (0.299, 0.587, 0.114),
    "red_green": (1.0, -1.0, 0.0),
    "blue_yellow": (-0.5, -0.5, 1.0),
}

CHANNELS = (*_OPPONENT, "edges", "kind")
"""What a voxel can answer to: a map of the picture, or what kind of picture it is."""

# Shares of the channels among voxels of no particular region.
_SHARES = (0.3, 0.12, 0.12, 0.22, 0.24)

# What the regions that see answer to in pictures: that of motion lies where objects are known.
_REGIONS = {
    "luminance": ("luminance", "luminance", "red_green", "blue_yellow"),
    "contrast": ("edges",),
    "motion": ("kind",),
}


@dataclass(frozen=True, eq=False)
class PictureTrials:
    """One person's answers to pictures, one vector a trial, as a model of each trial would give.

    Attributes
    ----------
    signal
        (B, V) noise-free response, mean 0 and deviation 1 over the pictures.
    voxels
        (B, V) the response with noise.
    noise_std
        (V,) standard deviation of the noise.
    """

    signal: Float
    voxels: Float
    noise_std: Float


@dataclass(frozen=True, eq=False)
class PictureTuning:
    """What each of V voxels answers to in a picture.

    Attributes
    ----------
    channels
        (V,) names out of `CHANNELS`.
    fields
        (V, H * W) receptive fields, for all channels but `kind`.
    kinds
        (V, K) answer to each kind of picture, for the channel `kind`.
    """

    channels: NDArray[np.str_]
    fields: Float
    kinds: Float


def draw_pictures(
    n_train: int, n_test: int, size: int, rng: np.random.Generator
) -> tuple[UInt8, NDArray[np.int64]]:
    """Draw natural-looking colour pictures: training pictures first, then test pictures.

    Every kind is shown as often as the numbers allow. Pictures of a kind differ in place, size,
    shape, colours, texture and light.

    Returns
    -------
    pictures
        (B, 3, size, size) uint8.
    labels
        (B,) place of each picture's kind in `KINDS`.
    """
    labels = np.concatenate([rng.permutation(np.arange(n) % len(KINDS)) for n in (n_train, n_test)])
    pictures = np.stack([paint_view(KINDS[label], size, rng) for label in labels])
    return pictures, labels.astype(np.int64)


def draw_tuning(
    n_voxels: int,
    size: int,
    rng: np.random.Generator,
    channels: NDArray[np.str_] | None = None,
) -> PictureTuning:
    """Draw what voxels answer to.

    Parameters
    ----------
    n_voxels
        Voxels V.
    size
        Pixels along a side of the pictures.
    rng
        Draws fields, signs and answers to kinds.
    channels
        (V,) names out of `CHANNELS`; None for a mixture of all.
    """
    if channels is None:
        channels = rng.choice(CHANNELS, size=n_voxels, p=_SHARES)
    fields = draw_fields(n_voxels, size, rng)
    return PictureTuning(channels, fields, rng.standard_normal((n_voxels, len(KINDS))))


def draw_channels(regions: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.str_]:
    """Draw the channel of each of (V,) voxels from what its region answers to."""
    return np.array([rng.choice(_REGIONS[region]) for region in regions], dtype=np.str_)


def draw_fields(n_voxels: int, size: int, rng: np.random.Generator) -> Float:
    """Draw population receptive fields: (V, size * size) Gaussians that sum to 1 or -1.

    exp(-((x - x_0)^2 + (y - y_0)^2) / (2 s^2)), with the middle anywhere in the picture and s of
    a twentieth to a sixth of its width; one voxel in five answers with the opposite sign.
    """
    middle = rng.uniform(0.1, 0.9, (n_voxels, 2))
    spread = rng.uniform(0.05, 0.16, (n_voxels, 1))
    across = (np.arange(size) + 0.5) / size
    x, y = (np.exp(-0.5 * ((across - middle[:, axis : axis + 1]) / spread) ** 2) for axis in (0, 1))
    fields = y[:, :, None] * x[:, None, :]
    fields /= fields.sum(axis=(1, 2), keepdims=True)
    sign = np.where(rng.random(n_voxels) < 0.2, -1.0, 1.0)
    signed: Float = (sign[:, None, None] * fields).reshape(n_voxels, -1)
    return signed


def channel_maps(pictures: UInt8) -> dict[str, Float]:
    """Return what each channel but `kind` sees of (B, 3, H, W) pictures: (B, H * W) each.

    Luminance and two opponent colours are weighted sums of red, green and blue; edges are
    sqrt(gx^2 + gy^2) of luminance, by central differences.
    """
    seen = pictures / 255.0
    maps = {name: np.tensordot(weights, seen, (0, 1)) for name, weights in _OPPONENT.items()}
    maps["edges"] = np.hypot(*np.gradient(maps["luminance"], axis=(1, 2)))
    return {name: values.reshape(len(pictures), -1) for name, values in maps.items()}


def answer_pictures(
    pictures: UInt8,
    labels: NDArray[np.int64],
    tuning: PictureTuning,
    ceiling: tuple[float, float],
    rng: np.random.Generator,
) -> PictureTrials:
    """Return the answers of voxels to pictures.

    voxels = z(map of its channel . field) + noise_std * w, or z(answer to the kind) in its place,
    with noise_std = sqrt(1 / c^2 - 1), c uniform in `ceiling` for each voxel, and w independent
    normal.

    Parameters
    ----------
    pictures
        (B, 3, H, W) uint8.
    labels
        (B,) places of their kinds in `KINDS`.
    tuning
        What V voxels answer to.
    ceiling
        Lowest and highest correlation of the noise-free with the noisy response.
    rng
        Draws the noise.
    """
    seen = tuning.kinds.T[labels]
    for name, values in channel_maps(pictures).items():
        own = tuning.channels == name
        seen[:, own] = values @ tuning.fields[own].T
    signal = (seen - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-12)
    noise_std = np.sqrt(1 / rng.uniform(*ceiling, len(tuning.fields)) ** 2 - 1)
    voxels = signal + noise_std * rng.standard_normal(signal.shape)
    return PictureTrials(signal, voxels, noise_std)


def write_png(path: Path, picture: UInt8) -> None:
    """Write an (H, W) grey or (3, H, W) colour picture as PNG."""
    grey = picture.ndim == 2
    rows = np.ascontiguousarray(picture if grey else picture.transpose(1, 2, 0))
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = rows.shape[:2]
    encoder.pix_fmt, encoder.time_base = "gray" if grey else "rgb24", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(rows, format=encoder.pix_fmt)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    with write_aside(path) as aside:
        aside.write_bytes(b"".join(bytes(packet) for packet in packets))
