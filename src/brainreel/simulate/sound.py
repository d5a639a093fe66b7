"""The film's sound: gliding tones, melodies, noise bursts and speech-like syllables.

Sections of sound have their own cuts, apart from the scenes', so that what is heard does not
follow what is seen. Each section has a pitch and a level, spread evenly over the film.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainreel.simulate.levels import cuts_between, spread

Float = NDArray[np.floating]
Float32 = NDArray[np.float32]

TRACK_RATE_HZ = 100
"""Samples per second of the sound tracks, the usual hop of speech features."""

FLOOR_DB = -50.0
"""Level of the room tone under everything, in dB of full scale: silence is never digital."""

_LOUDEST_DB = -10.0
_QUIETEST_DB = -36.0
_LOWEST_HZ = 140.0
_HIGHEST_HZ = 2600.0
_VOICE_HZ = (110.0, 300.0)
_KINDS = ("glide", "melody", "bursts", "speech")
# First and second formants of five vowels, in hertz (rounded averages of adult speakers).
_VOWELS_HZ = ((730, 1090), (530, 1840), (300, 2200), (570, 840), (320, 870))


@dataclass(frozen=True, eq=False)
class Soundtrack:
    """A sound and what it is made of.

    Attributes
    ----------
    samples
        (S,) float32 in [-1, 1].
    pitch_hz
        (N,) fundamental or centre frequency, `TRACK_RATE_HZ` values a second.
    loudness_db
        (N,) root mean square level of 100 ms around each instant, in dB of full scale.
    """

    samples: Float32
    pitch_hz: Float32
    loudness_db: Float32


def make_soundtrack(duration_s: float, rate_hz: int, rng: np.random.Generator) -> Soundtrack:
    """Make a soundtrack of `duration_s` seconds at `rate_hz` samples a second."""
    n_samples = round(duration_s * rate_hz)
    samples = np.zeros(n_samples)
    pitch = np.zeros(n_samples)
    cuts = cuts_between(duration_s, 2.5, 8.0, rng)
    n_sections = len(cuts) - 1
    octaves = spread(n_sections, 0.0, np.log2(_HIGHEST_HZ / _LOWEST_HZ), rng)
    levels = spread(n_sections, _QUIETEST_DB, _LOUDEST_DB, rng)
    for section, (start_s, stop_s) in enumerate(itertools.pairwise(cuts)):
        start, stop = round(start_s * rate_hz), min(round(stop_s * rate_hz), n_samples)
        centre = _LOWEST_HZ * 2.0 ** octaves[section]
        # High sections cannot be voices; low ones mostly are.
        voiced = centre < _VOICE_HZ[1] and rng.random() < 0.7
        kind = "speech" if voiced else _KINDS[int(rng.integers(3))]
        heard, hertz = _section(kind, centre, stop - start, rate_hz, rng)
        rms = float(np.sqrt(np.mean(heard**2))) or 1.0
        samples[start:stop] = heard * 10 ** (levels[section] / 20) / rms
        pitch[start:stop] = hertz
    samples += 10 ** (FLOOR_DB / 20) * rng.standard_normal(n_samples)
    samples = np.clip(samples, -1, 1)
    return Soundtrack(
        samples.astype(np.float32),
        _every(pitch, duration_s, rate_hz).astype(np.float32),
        loudness_db(samples, duration_s, rate_hz).astype(np.float32),
    )


def loudness_db(samples: Float, duration_s: float, rate_hz: int) -> Float:
    """Level of 100 ms around each instant: 10 log10(mean of squares), never below `FLOOR_DB`."""
    half = rate_hz // 20
    summed = np.concatenate([[0.0], np.cumsum(np.asarray(samples, dtype=np.float64) ** 2)])
    middle = _instants(duration_s, rate_hz)
    first = np.clip(middle - half, 0, len(samples) - 1)
    last = np.clip(middle + half, 1, len(samples))
    power = (summed[last] - summed[first]) / (last - first)
    decibel: Float = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
    return decibel


def _instants(duration_s: float, rate_hz: int) -> NDArray[np.int64]:
    times = (np.arange(round(duration_s * TRACK_RATE_HZ)) + 0.5) / TRACK_RATE_HZ
    return (times * rate_hz).astype(np.int64)


def _every(values: Float, duration_s: float, rate_hz: int) -> Float:
    return values[np.minimum(_instants(duration_s, rate_hz), len(values) - 1)]


def _section(
    kind: str, centre_hz: float, n: int, rate_hz: int, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Return the samples of one section (any level) and its pitch in hertz at each sample."""
    time_s = np.arange(n) / rate_hz
    hertz: Float
    heard: Float
    if kind == "glide":
        turn = 2 * np.pi * rng.uniform(0.15, 0.5) * time_s + rng.uniform(0, 2 * np.pi)
        hertz = centre_hz * 2.0 ** (0.35 * np.sin(turn) + 0.02 * np.sin(2 * np.pi * 5 * time_s))
        heard = _harmonics(hertz, rate_hz, (1.0, 0.4, 0.2, 0.1))
    elif kind == "melody":
        note = (time_s * rng.uniform(2.0, 4.0)).astype(int)
        steps = rng.choice([-5, -3, 0, 2, 4, 7], size=note.max() + 1)
        hertz = centre_hz * 2.0 ** (steps[note] / 12)
        heard = _harmonics(hertz, rate_hz, (1.0, 0.3, 0.25)) * _beats(note, n)
    elif kind == "bursts":
        hertz = np.full(n, centre_hz)
        beat = (time_s * rng.uniform(2.0, 5.0)).astype(int)
        heard = _band_noise(n, centre_hz, rate_hz, rng) * _beats(beat, n)
    else:
        heard, hertz = _syllables(time_s, centre_hz, rate_hz, rng)
    return heard * _fades(n, rate_hz), hertz


def _harmonics(hertz: Float, rate_hz: int, amplitudes: tuple[float, ...]) -> Float:
    turn = 2 * np.pi * np.cumsum(hertz) / rate_hz
    parts = [
        amplitude * np.sin((order + 1) * turn)
        for order, amplitude in enumerate(amplitudes)
        if (order + 1) * hertz.max() < rate_hz / 2
    ]
    summed: Float = np.sum(parts, axis=0)
    return summed


def _band_noise(n: int, centre_hz: float, rate_hz: int, rng: np.random.Generator) -> Float:
    """White noise through a Gaussian band of a third of an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(n, 1 / rate_hz), 1.0) / centre_hz)
    noise: Float = np.fft.irfft(spectrum * np.exp(-0.5 * (octaves / 0.33) ** 2), n)
    return noise


def _syllables(
    time_s: Float, centre_hz: float, rate_hz: int, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Voiced syllables, about four and a half a second, each a vowel on a falling pitch."""
    syllable = (time_s * 4.5).astype(int)
    within = time_s * 4.5 - syllable
    lift = rng.uniform(-0.12, 0.12, syllable.max() + 1)
    hertz = centre_hz * 2.0 ** (lift[syllable] - 0.15 * within)
    vowel = np.array(_VOWELS_HZ)[rng.integers(len(_VOWELS_HZ), size=syllable.max() + 1)]
    turn = 2 * np.pi * np.cumsum(hertz) / rate_hz
    heard = np.zeros(len(time_s))
    for order in range(1, 13):
        gap = order * centre_hz - vowel
        gain = np.exp(-0.5 * (gap / (120.0, 200.0)) ** 2) @ [0.5, 0.25] + (order == 1)
        heard += gain[syllable] * np.sin(order * turn)
    return heard * np.sin(np.pi * within) ** 1.5, hertz


def _beats(beat: NDArray[np.int64], n: int) -> Float:
    """A pluck for each beat: 1 at its onset, falling to a third."""
    onset = np.searchsorted(beat, beat)
    length = np.bincount(beat)[beat]
    plucked: Float = np.exp(-1.1 * (np.arange(n) - onset) / length)
    return plucked


def _fades(n: int, rate_hz: int) -> Float:
    """Rise and fall of 20 ms, so that cuts do not click."""
    edge = np.minimum(np.arange(n), np.arange(n)[::-1])
    faded: Float = np.clip(edge / (0.02 * rate_hz), 0, 1)
    return faded
