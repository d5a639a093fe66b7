"""Tones that glide: sounds in which only the course of the spectrum tells anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from brainreel.simulate.sound import FLOOR_DB

Float32 = NDArray[np.float32]

GLIDES: Mapping[str, int] = {
    "rising-slowly": 2,
    "rising-quickly": 4,
    "falling-slowly": -2,
    "falling-quickly": -4,
}
"""Glides per second of each sound, positive upwards."""

_LOWEST_HZ = (200.0, 500.0)
_OCTAVES = (1.0, 1.6)
_LEVEL_DB = (-30.0, -15.0)


def draw_glide(
    glides_hz: int, duration_s: float, sample_rate_hz: int, rng: np.random.Generator
) -> Float32:
    r"""Draw a tone that glides through the same octaves again and again.

    .. math:: h(t) = h_0 2^{o \, ((g t + u) \bmod 1)}

    With u uniform, the pitch at any moment is distributed alike whatever the sign of g, and over
    whole periods whatever its size: how the tone moves is in the order of moments alone.

    Parameters
    ----------
    glides_hz
        Glides g per second; below 0 downwards.
    duration_s
        Length in seconds.
    sample_rate_hz
        Samples per second.
    rng
        Draws the lowest pitch h_0, the octaves o, the start u, overtones, level and room tone.

    Returns
    -------
    (S,) float32 in [-1, 1].
    """
    n_samples = round(duration_s * sample_rate_hz)
    place = (glides_hz * np.arange(n_samples) / sample_rate_hz + rng.uniform()) % 1
    hertz = rng.uniform(*_LOWEST_HZ) * 2.0 ** (rng.uniform(*_OCTAVES) * place)
    turn = 2 * np.pi * np.cumsum(hertz) / sample_rate_hz
    overtones = (1.0, rng.uniform(0.1, 0.7), rng.uniform(0.05, 0.5))
    tone = np.sum([a * np.sin((k + 1) * turn) for k, a in enumerate(overtones)], axis=0)
    loud = 10 ** (rng.uniform(*_LEVEL_DB) / 20) / tone.std()
    room = 10 ** (FLOOR_DB / 20) * rng.standard_normal(n_samples)
    samples: Float32 = np.clip(loud * tone + room, -1, 1).astype(np.float32)
    return samples
