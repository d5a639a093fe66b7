"""Simple pictures of a few kinds, and voxels with receptive fields that see them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from brainreel.files import write_aside

Float = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

_RING = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 17)]

# Strokes of each kind: corners (x right, y down) joined in order, in a square from -1 to 1.
_STROKES: dict[str, tuple[list[tuple[float, float]], ...]] = {
    "ring": (_RING,),
    "cross": ([(-1, 0), (1, 0)], [(0, -1), (0, 1)]),
    "triangle": ([(0, -1), (0.95, 0.8), (-0.95, 0.8), (0, -1)],),
    "square": ([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85), (-0.85, -0.85)],),
    "bars": ([(-0.6, -1), (-0.6, 1)], [(0.6, -1), (0.6, 1)]),
    "zigzag": ([(-0.9, -0.9), (0.9, -0.9), (-0.9, 0.9), (0.9, 0.9)],),
}

KINDS = tuple(_STROKES)
"""Names of the kinds; a picture's label is its place here."""


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


def draw_pictures(
    n_train: int, n_test: int, size: int, rng: np.random.Generator
) -> tuple[UInt8, NDArray[np.int64]]:
    """Draw pictures of strokes, bright on dark: training pictures first, then test pictures.

    Every kind is shown as often as the numbers allow. A picture differs from others of its kind
    in place, size, tilt and thickness alone: a family of six dimensions.

    Returns
    -------
    pictures
        (B, size, size) uint8.
    labels
        (B,) place of each picture's kind in `KINDS`.
    """
    labels = np.concatenate([rng.permutation(np.arange(n) % len(KINDS)) for n in (n_train, n_test)])
    pictures = np.stack([_draw(KINDS[label], size, rng) for label in labels])
    return pictures, labels.astype(np.int64)


def _draw(kind: str, size: int, rng: np.random.Generator) -> UInt8:
    shift, tilt = rng.uniform(-0.14, 0.14, 2), float(rng.uniform(-0.3, 0.3))
    scale, thick = rng.uniform(0.5, 0.72, 2), float(rng.uniform(0.11, 0.17))
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    across = (np.arange(size) + 0.5) / size * 2 - 1
    pixels = np.stack(np.meshgrid(across, across), axis=-1)
    distance = np.full((size, size), np.inf)
    for stroke in _STROKES[kind]:
        corners = (np.array(stroke) * scale) @ turn.T + shift
        for start, stop in itertools.pairwise(corners):
            distance = np.minimum(distance, _to_segment(pixels, start, stop))
    # The edge is as soft as a pixel is wide.
    bright = np.clip((thick - distance) * size / 2 + 0.5, 0, 1)
    return np.rint(255 * bright).astype(np.uint8)


def _to_segment(pixels: Float, start: Float, stop: Float) -> Float:
    """Distance of (H, W, 2) points from a segment: (H, W)."""
    along = stop - start
    part = np.clip((pixels - start) @ along / (along @ along), 0, 1)
    distance: Float = np.linalg.norm(pixels - start - part[..., None] * along, axis=-1)
    return distance


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


def answer_pictures(
    pictures: UInt8, fields: Float, ceiling: tuple[float, float], rng: np.random.Generator
) -> PictureTrials:
    """Return the answers of voxels with receptive fields.

    voxels = z(pictures . fields) + noise_std * w, with noise_std = sqrt(1 / c^2 - 1), c uniform
    in `ceiling` for each voxel, and w independent normal.

    Parameters
    ----------
    pictures
        (B, H, W) uint8.
    fields
        (V, H * W) receptive fields.
    ceiling
        Lowest and highest correlation of the noise-free with the noisy response.
    rng
        Draws the noise.
    """
    seen = pictures.reshape(len(pictures), -1) / 255.0 @ fields.T
    signal = (seen - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-12)
    noise_std = np.sqrt(1 / rng.uniform(*ceiling, len(fields)) ** 2 - 1)
    voxels = signal + noise_std * rng.standard_normal(signal.shape)
    return PictureTrials(signal, voxels, noise_std)


def write_png(path: Path, picture: UInt8) -> None:
    """Write an (H, W) grey picture as PNG."""
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = picture.shape
    encoder.pix_fmt, encoder.time_base = "gray", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    with write_aside(path) as aside:
        aside.write_bytes(b"".join(bytes(packet) for packet in packets))
