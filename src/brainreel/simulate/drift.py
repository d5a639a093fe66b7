"""Textures that drift: pictures in which only the change from frame to frame tells anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from brainreel.timebase import Seconds, exact

UInt8 = NDArray[np.uint8]

DRIFTS: Mapping[str, int] = {
    "right-slowly": 1,
    "right-quickly": 3,
    "left-slowly": -1,
    "left-quickly": -3,
}
"""Temporal frequency of each motion in cycles per second, positive to the right."""

FRAME_RATE_HZ = 8
"""Frames per second that show them all: more than twice the highest frequency."""

_N_WAVES = 3
_WAVELENGTH_PX = (8.0, 14.0)
_TILT_PER_PX = 1 / 12


def draw_drift(
    frequency_hz: Seconds,
    n_frames: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    frame_rate_hz: Seconds = FRAME_RATE_HZ,
    noise: float = 0.0,
) -> UInt8:
    r"""Draw a texture that drifts sideways.

    .. math:: l(x, y, t) = m + c \sum_k a_k \cos(2 \pi (x / \lambda + b_k y - f t) + \phi_k) + e

    The phases are uniform, so a single frame is distributed alike whatever f is, and so are frames
    that lie as far apart as `told_apart` says: the drift is in the change between frames alone.

    Parameters
    ----------
    frequency_hz
        Cycles f that pass a point in a second; below 0 to the left.
    n_frames
        Number of frames F.
    size
        (H, W) in pixels.
    rng
        Draws wave length, tilts, phases, colours, contrast and noise.
    frame_rate_hz
        Frames per second.
    noise
        Standard deviation of e, independent from pixel to pixel and frame to frame, in [0, 1].

    Returns
    -------
    (F, H, W, 3) uint8.
    """
    y, x = np.mgrid[: size[0], : size[1]]
    tilt = rng.uniform(-_TILT_PER_PX, _TILT_PER_PX, (_N_WAVES, 1, 1, 1))
    start = rng.uniform(0, 1, (_N_WAVES, 1, 1, 1))
    weight = rng.uniform(0.6, 1.4, (_N_WAVES, 1, 1, 1))
    passed = float(exact(frequency_hz) / exact(frame_rate_hz)) * np.arange(n_frames)
    cycles = x / rng.uniform(*_WAVELENGTH_PX) + tilt * y + start - passed[:, None, None]
    waves = (weight * np.cos(2 * np.pi * cycles)).sum(axis=0)
    middle = rng.uniform(0.35, 0.65, 3)
    # The deviation expected over all phases: that of these frames would tell of the drift.
    contrast = rng.uniform(0.1, 0.2, 3) / np.sqrt((weight**2).sum() / 2)
    shown = middle + contrast * waves[..., None] + noise * rng.standard_normal((*waves.shape, 3))
    pixels: UInt8 = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    return pixels


def told_apart(frequencies_hz: Iterable[Seconds], every_s: Seconds) -> Fraction:
    """Return the best accuracy of telling drifts apart from frames that lie `every_s` apart.

    Two drifts look alike if (f - f') every_s is a whole number: each frame then shows the same
    phase. Of K drifts, equally likely, that fall into G such groups, G / K are told right at best.

    Examples
    --------
    >>> [str(told_apart([1, 3, -1, -3], Fraction(n, 8))) for n in (1, 2, 4)]
    ['1', '1/2', '1/4']
    """
    phases = [exact(frequency) * exact(every_s) % 1 for frequency in frequencies_hz]
    return Fraction(len(set(phases)), len(phases))
