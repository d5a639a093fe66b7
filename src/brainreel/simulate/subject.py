"""Synthetic people: what each voxel answers to, how blood follows, and what noise covers it.

Every person differs in tuning weights, in the peak and width of the haemodynamic response, in
the noise level and in the noise's autocorrelation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter
from scipy.stats import gamma

from brainreel.fmri.columns import column_groups
from brainreel.simulate.film import FilmTracks
from brainreel.simulate.sound import FLOOR_DB

Float = NDArray[np.float64]

STEP_S = 0.1
"""Step of the neural time line: far finer than any haemodynamic response, and than a TR."""

PITCH_CHANNELS_HZ = (160.0, 320.0, 640.0, 1280.0, 2560.0)
"""Centres of the pitch channels, an octave apart."""

TRACK_NAMES = (
    "luminance",
    "contrast",
    "motion",
    "loudness",
    *(f"pitch-{hertz:g}" for hertz in PITCH_CHANNELS_HZ),
)
"""What the neural tracks stand for, in order."""

# From -36 dB (the quietest section) up, loudness runs from a quarter to 1.
_LOUD_RANGE_DB = -FLOOR_DB
_NEIGHBOUR_WEIGHT = 0.25
_HRF_SECONDS = 32.0


@dataclass(frozen=True, eq=False)
class Subject:
    """One synthetic person.

    Attributes
    ----------
    name
        Such as "sub-01".
    hrf_peak_s, hrf_width
        Peak delay of the haemodynamic response in seconds, and its dispersion (1 is usual).
    ar
        Correlation of the noise with itself one TR later.
    weights
        (K, V) weight of each neural track in each voxel; 0 throughout where nothing is heeded.
    amplitude
        (V,) standard deviation of the noise-free signal over the films, in scanner units.
    baseline
        (V,) mean signal, in scanner units.
    noise_std
        (V,) standard deviation of the noise, in scanner units.
    """

    name: str
    hrf_peak_s: float
    hrf_width: float
    ar: float
    weights: Float
    amplitude: Float
    baseline: Float
    noise_std: Float


def draw_subject(
    name: str,
    regions: NDArray[np.str_],
    ceiling: tuple[float, float],
    ar: float,
    rng: np.random.Generator,
) -> Subject:
    """Draw a person.

    noise_std = amplitude * sqrt(1 / c^2 - 1), with c uniform in `ceiling` for each voxel.

    Parameters
    ----------
    name
        Such as "sub-01".
    regions
        (V,) region of each voxel.
    ceiling
        Lowest and highest correlation of the noise-free with the measured signal.
    ar
        Mean autocorrelation of the noise at one TR; people lie within 0.08 of it.
    rng
        Draws everything.
    """
    n_voxels = len(regions)
    baseline = rng.uniform(8000, 12000, n_voxels)
    # A signal of about 1% of the mean, as films evoke.
    amplitude = baseline * rng.uniform(0.008, 0.013, n_voxels)
    reached = rng.uniform(*ceiling, n_voxels)
    level = float(rng.uniform(0.9, 1.1))
    return Subject(
        name=name,
        hrf_peak_s=float(rng.uniform(4.5, 6.2)),
        hrf_width=float(rng.uniform(0.85, 1.15)),
        ar=float(np.clip(ar + rng.uniform(-0.08, 0.08), 0, 0.95)) if ar else 0.0,
        weights=draw_weights(regions, rng),
        amplitude=np.where(regions == "none", 0.0, amplitude),
        baseline=baseline,
        noise_std=level * amplitude * np.sqrt(1 / reached**2 - 1),
    )


def draw_weights(regions: NDArray[np.str_], rng: np.random.Generator) -> Float:
    """Draw tuning: (K, V) weights of the neural tracks, smooth within a modality.

    A voxel heeds the track of its region with weight 1 and the others of its sense with small
    weights of either sign; a pitch voxel prefers one pitch, an octave wide. A voxel of both
    senses adds one visual and one auditory tuning.
    """
    n_visual, n_loud = 3, 1
    n_tracks, n_voxels = len(TRACK_NAMES), len(regions)
    visual, sound = np.zeros((2, n_tracks, n_voxels))
    visual[:n_visual] = _NEIGHBOUR_WEIGHT * rng.standard_normal((n_visual, n_voxels))
    main = np.array([_main_track(region, rng) for region in regions])
    for track in range(n_visual):
        visual[track, main == track] = 1.0
    prefers = rng.uniform(0, len(PITCH_CHANNELS_HZ) - 1, n_voxels)
    channels = np.arange(len(PITCH_CHANNELS_HZ))[:, None]
    tuned = np.exp(-0.5 * (channels - prefers) ** 2)
    by_pitch = np.where(regions == "loudness", _NEIGHBOUR_WEIGHT, 1.0)
    sound[n_visual + n_loud :] = by_pitch * tuned
    sound[n_visual] = np.where(regions == "pitch", _NEIGHBOUR_WEIGHT, 1.0)
    sees = np.isin(regions, ("luminance", "contrast", "motion", "both"))
    hears = np.isin(regions, ("pitch", "loudness", "both"))
    return visual * sees + sound * hears


def _main_track(region: str, rng: np.random.Generator) -> int:
    """Return the visual track that a voxel heeds most: any, where it heeds both senses."""
    if region == "both":
        return int(rng.integers(3))
    return TRACK_NAMES.index(region) if region in TRACK_NAMES else -1


def neural_tracks(film: FilmTracks) -> Float:
    """Return (N, K) neural tracks of a film, one row each `STEP_S`, columns as `TRACK_NAMES`.

    Pictures enter as they are, held from frame to frame. Loudness is linear in decibels from 0
    (room tone) to 1 (full scale). A pitch channel is loudness * exp(-d^2 / 2), with d the
    distance from its centre in octaves.
    """
    n_steps = round(film.n_frames / float(film.frame_rate_hz) / STEP_S)
    middle_s = (np.arange(n_steps) + 0.5) * STEP_S
    frame = np.minimum((middle_s * float(film.frame_rate_hz)).astype(int), film.n_frames - 1)
    seen = np.stack([film.luminance, film.contrast, film.motion], axis=1)[frame]
    loudness = 1 + film.loudness_db.astype(np.float64) / _LOUD_RANGE_DB
    octaves = np.log2(film.pitch_hz[:, None] / np.array(PITCH_CHANNELS_HZ))
    channels = loudness[:, None] * np.exp(-0.5 * octaves**2)
    heard = np.concatenate([loudness[:, None], channels], axis=1)
    per_step = round(STEP_S * film.sound_rate_hz)
    # A film may end within a step: its last sound is then held to the step's end.
    sample = np.minimum(np.arange(n_steps * per_step), len(heard) - 1)
    heard = heard[sample].reshape(n_steps, per_step, -1).mean(axis=1)
    return np.concatenate([seen, heard], axis=1)


def scaled(tracks: Sequence[Float]) -> list[Float]:
    """Return the films' tracks in units of their deviation over all films; 0 stays dark, silent."""
    std = np.concatenate(tracks).std(axis=0)
    return [track / np.where(std > 0, std, 1) for track in tracks]


def double_gamma(times_s: Float, peak_s: float, width: float) -> Float:
    """Haemodynamic response h(t) = g(t; p) - g(t; p + 10) / 6, scaled to a sum of 1.

    g(t; p) is the gamma density that peaks at p seconds with scale `width` (shape p / width + 1).
    """
    rise = gamma.pdf(times_s, peak_s / width + 1, scale=width)
    undershoot = gamma.pdf(times_s, (peak_s + 10) / width + 1, scale=width)
    response: Float = rise - undershoot / 6
    summed = float(response.sum())
    return response / summed


def blood_response(
    neural: Float, start_s: float, tr_s: float, n_trs: int, subject: Subject
) -> Float:
    """Convolve (N, K) neural tracks with the person's response; read them at each volume: (T, K).

    Parameters
    ----------
    neural
        One row each `STEP_S` from `start_s` on; before and after, the screen is dark and all is
        silent (0).
    start_s
        Scan time of the first row, in seconds.
    tr_s, n_trs
        Volume i is read at scan time i * tr_s.
    subject
        Whose response.
    """
    lags_s = np.arange(0, _HRF_SECONDS, STEP_S)
    kernel = double_gamma(lags_s, subject.hrf_peak_s, subject.hrf_width)
    full = fftconvolve(neural, kernel[:, None], axes=0)
    # A step acts over its whole length: its middle stands for it.
    at_s = start_s + (np.arange(len(full)) + 0.5) * STEP_S
    read_s = np.arange(n_trs) * tr_s
    columns = [np.interp(read_s, at_s, column, left=0.0, right=0.0) for column in full.T]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class FilmSignal:
    """The noise-free signal of a film, (responses @ weights - mean) * scale, in scanner units.

    Attributes
    ----------
    responses
        (T, K) blood responses.
    weights
        (K, V) weights of the tracks.
    mean, scale
        (V,) what makes the mean 0 and the deviation the voxel's amplitude.
    """

    responses: Float
    weights: Float
    mean: Float
    scale: Float

    def __call__(self, trs: slice) -> Float:
        """Return the (t, V) signal of some volumes."""
        return (self.responses[trs] @ self.weights - self.mean) * self.scale


def film_signals(subject: Subject, responses: Sequence[Float]) -> list[FilmSignal]:
    """Return the noise-free signal of each film from its (T, K) blood responses.

    Each voxel has mean 0 and its amplitude as deviation, over all films together.
    """
    joined = np.concatenate(responses)
    mean, std = np.zeros((2, len(subject.amplitude)))
    for columns in column_groups(len(joined), len(mean)):
        signal = joined @ subject.weights[:, columns]
        mean[columns], std[columns] = signal.mean(axis=0), signal.std(axis=0)
    scale = np.divide(subject.amplitude, std, out=np.zeros_like(std), where=std > 0)
    return [FilmSignal(response, subject.weights, mean, scale) for response in responses]


def ar1_noise(n_trs: int, noise_std: Float, ar: float, rng: np.random.Generator) -> Float:
    """Draw (T, V) stationary noise, e_t = ar * e_(t-1) + sqrt(1 - ar^2) * w_t, times noise_std.

    Voxels are independent of one another.
    """
    return next(ar1_blocks([n_trs], noise_std, ar, rng))


def ar1_blocks(
    sizes: Sequence[int], noise_std: Float, ar: float, rng: np.random.Generator
) -> Iterator[Float]:
    """Yield the volumes of `ar1_noise` in blocks of the given sizes: the same numbers."""
    carried = np.zeros((1, len(noise_std)))
    for number, size in enumerate(sizes):
        fresh = rng.standard_normal((size, len(noise_std)))
        fresh[0 if number else 1 :] *= np.sqrt(1 - ar**2)
        noise, carried = lfilter([1.0], [1.0, -ar], fresh, axis=0, zi=carried)
        yield noise * noise_std
