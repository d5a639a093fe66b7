"""Feature spaces of a film without a network: a few smooth columns each, in TRs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError, did_you_mean
from brainreel.files import digest_file, digest_json, write_aside
from brainreel.stimulus.audio import read_sound
from brainreel.stimulus.film import FilmInfo, probe_film
from brainreel.stimulus.frames import iter_frames
from brainreel.stimulus.sights import (
    CONTRAST_COLUMNS,
    LUMINANCE_COLUMNS,
    MOTION_COLUMNS,
    contrast,
    luminance,
    motion,
)
from brainreel.stimulus.sounds import (
    HOP_S,
    LOUDNESS_COLUMNS,
    ONSET_COLUMNS,
    PITCH_COLUMNS,
    PITCH_HOP_S,
    SPECTRUM_COLUMNS,
    loudness,
    onsets,
    pitch,
    spectrum,
)
from brainreel.stimulus.windows import tr_mean
from brainreel.timebase import TrGrid, samples_between

Float32 = NDArray[np.float32]

PICTURE_RATE_HZ = Fraction(25, 2)
"""Looks at the film per second: above twice the highest temporal frequency of motion energy."""

PICTURE_HEIGHT = 32
"""Height in pixels of the pictures that features are measured on; 4 cycles are 8 pixels each."""

SOUND_RATE_HZ = 16000
"""Sampling rate of the sound that features are measured on."""

# Part of every cache file's digest: raise it whenever a feature's values change.
_VERSION = 1


@dataclass(frozen=True)
class FeatureSpace:
    """A named feature space; call it with a film and a grid for its (T, D) columns.

    Attributes
    ----------
    name
        What recipes call it.
    sense
        Whether it is measured on the pictures or on the sound.
    measure
        Samples, rate in Hz -> (F, D) values.
    rate_hz
        Values per second; value i stands for [i, i + 1) / rate_hz.
    columns
        Names of the D columns.
    unit
        Units of the columns.
    """

    name: str
    sense: Literal["pictures", "sound"]
    measure: Callable[..., Float32]
    rate_hz: Fraction
    columns: tuple[str, ...]
    unit: str

    def __call__(self, film: Path, grid: TrGrid) -> Float32:
        """Return the (T, D) float32 columns of a film, averaged into the TRs of `grid`."""
        return film_features(film, grid, (self.name,))[self.name]

    def of(self, samples: Float32) -> Float32:
        """Return the (F, D) values of luma (F, H, W) or of a sound (S,) at the standard rates."""
        rate = float(PICTURE_RATE_HZ) if self.sense == "pictures" else SOUND_RATE_HZ
        return self.measure(samples, rate)

    def in_trs(self, values: Float32, grid: TrGrid) -> Float32:
        """Average (F, D) values into TRs; TRs outside the film see black and hear silence."""
        dark = np.zeros((2, PICTURE_HEIGHT, PICTURE_HEIGHT), np.float32)
        silent = np.zeros(SOUND_RATE_HZ // 10, np.float32)
        outside = self.of(dark if self.sense == "pictures" else silent)[0]
        times = [(i + Fraction(1, 2)) / self.rate_hz for i in range(len(values))]
        return tr_mean(values, times, grid, empty=outside)


_HOP, _PITCH_HOP = Fraction(str(HOP_S)), Fraction(str(PITCH_HOP_S))
_SPACES = (
    FeatureSpace(
        "luminance",
        "pictures",
        luminance,
        PICTURE_RATE_HZ,
        LUMINANCE_COLUMNS,
        "luma in [0, 1]",
    ),
    FeatureSpace(
        "contrast",
        "pictures",
        contrast,
        PICTURE_RATE_HZ,
        CONTRAST_COLUMNS,
        "standard deviation of luma",
    ),
    FeatureSpace(
        "motion_energy",
        "pictures",
        motion,
        PICTURE_RATE_HZ,
        MOTION_COLUMNS,
        "luma; change in luma per second",
    ),
    FeatureSpace(
        "spectrum",
        "sound",
        spectrum,
        1 / _HOP,
        SPECTRUM_COLUMNS,
        "dB of full scale",
    ),
    FeatureSpace(
        "loudness",
        "sound",
        loudness,
        1 / _HOP,
        LOUDNESS_COLUMNS,
        "dB of full scale; rms of full scale",
    ),
    FeatureSpace(
        "onsets",
        "sound",
        onsets,
        1 / _HOP,
        ONSET_COLUMNS,
        "dB per second; rms of full scale",
    ),
    FeatureSpace(
        "pitch",
        "sound",
        pitch,
        1 / _PITCH_HOP,
        PITCH_COLUMNS,
        "octaves from 440 Hz; share; octaves from 440 Hz",
    ),
)

FEATURE_SPACES: dict[str, FeatureSpace] = {space.name: space for space in _SPACES}
"""All feature spaces by name."""


def film_features(
    film: Path,
    grid: TrGrid,
    names: Sequence[str] | None = None,
    *,
    cache: Path | None = None,
) -> dict[str, Float32]:
    """Return a film's feature spaces in TRs; pictures and sound are each decoded once.

    y[i] = mean over the samples f inside TR i of measure(film)[f]

    Pictures are looked at 12.5 times a second, 32 pixels high; sound at 16 kHz. TRs before and
    after the film get the values of a black screen and of silence.

    Parameters
    ----------
    film
        The film, or a sound file for the spaces of sound.
    grid
        The T TRs of the run, in film time.
    names
        Keys of `FEATURE_SPACES`; None for all that the film has (a silent film has no sound).
    cache
        Folder in which the values are kept, before averaging, so that every grid can use them;
        None keeps nothing. A changed film never meets its old values.

    Returns
    -------
    name -> (T, D) float32, in the order asked.

    Raises
    ------
    DataError
        If a name is not known, the film lacks the pictures or the sound that a name needs, or no
        TR falls inside the film.
    """
    info = probe_film(film)
    info.check_overlaps(grid)
    spaces = _chosen(info, names)
    values = _measured(info, spaces, cache)
    return {space.name: space.in_trs(values[space.name], grid) for space in spaces}


def _chosen(info: FilmInfo, names: Sequence[str] | None) -> list[FeatureSpace]:
    has = {"pictures": info.has_pictures, "sound": info.has_sound}
    if names is None:
        return [space for space in _SPACES if has[space.sense]]
    for name in names:
        if name not in FEATURE_SPACES:
            told = did_you_mean(name, FEATURE_SPACES)
            raise DataError(f"'{name}' is no feature space.{told}")
    spaces = [FEATURE_SPACES[name] for name in dict.fromkeys(names)]
    for space in spaces:
        if not has[space.sense]:
            others = ", ".join(other.name for other in _SPACES if has[other.sense])
            raise DataError(
                f"{info.path}: the film has no {space.sense}, which '{space.name}' needs. "
                f"Choose among: {others}."
            )
    return spaces


def _measured(
    info: FilmInfo, spaces: Iterable[FeatureSpace], cache: Path | None
) -> dict[str, Float32]:
    """Return the (F, D) values of each space, from the cache where it has them."""
    values: dict[str, Float32] = {}
    samples: dict[str, Float32] = {}
    digest = digest_file(info.path) if cache is not None else ""
    for space in spaces:
        kept = None if cache is None else _cache_file(cache, info, digest, space)
        if kept is not None and kept.is_file():
            values[space.name] = np.load(kept, allow_pickle=False)
            continue
        if space.sense not in samples:
            samples[space.sense] = _samples(info, space.sense)
        values[space.name] = space.of(samples[space.sense])
        if kept is not None:
            with write_aside(kept) as aside:
                np.save(aside, values[space.name])
    return values


def _cache_file(cache: Path, info: FilmInfo, digest: str, space: FeatureSpace) -> Path:
    made_from = {"film": digest, "space": space.name, "version": _VERSION}
    return Path(cache) / f"{info.path.stem}_{space.name}-{digest_json(made_from)[:8]}.npy"


def _samples(info: FilmInfo, sense: str) -> Float32:
    """Decode the sound, or small grey pictures in [0, 1] at the standard rate."""
    if sense == "sound":
        return read_sound(info.path, SOUND_RATE_HZ)
    width = min(max(round(PICTURE_HEIGHT * info.width / info.height), 8), 4 * PICTURE_HEIGHT)
    looks = samples_between(0, info.duration_s, PICTURE_RATE_HZ)
    middles = [min((i + Fraction(1, 2)) / PICTURE_RATE_HZ, info.duration_s) for i in looks]
    frames = iter_frames(info.path, middles, (PICTURE_HEIGHT, width), colour="grey")
    luma = np.empty((len(middles), PICTURE_HEIGHT, width), np.float32)
    for index, frame in enumerate(frames):
        luma[index] = frame[0] * np.float32(1 / 255)
    return luma
