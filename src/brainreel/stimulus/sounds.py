"""What a sound is like, moment by moment: spectrum, loudness, onsets, pitch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from brainreel.shapes import check_shape
from brainreel.stimulus.audio import log_mel

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

HOP_S = 0.010
PITCH_HOP_S = 0.020

N_BANDS = 16
"""Bands of the spectrum: enough to tell a low voice from a high one, few enough for ridge."""

FLOOR_DB = -80.0
"""Level of silence, in dB of full scale, about that of 14 bits."""

SPECTRUM_COLUMNS = tuple(f"band{band + 1:02d}" for band in range(N_BANDS))
LOUDNESS_COLUMNS = ("level_db", "rms")
ONSET_COLUMNS = ("flux", "syllabic")
PITCH_COLUMNS = ("pitch", "periodicity", "centroid")

_LOUDNESS_S = 0.100
_SYLLABIC_HZ = (2.0, 8.0)
_PITCH_HZ = (80.0, 3000.0)
_PITCH_WINDOW_S = 0.050
_VOICED = 0.5
_REFERENCE_HZ = 440.0
_FRAMES_AT_ONCE = 2048


def spectrum(sound: Float32, sample_rate_hz: int) -> Float32:
    """Return the level of the sound in 16 mel bands from 50 Hz to half the sampling rate.

    y[i, m] = max(-80, 10 log10(sum_k w[m, k] P[i, k] / (sum h / 2)^2))

    P, w and h of `log_mel` (25 ms windows every 10 ms). 0 dB is about a sine of full scale.

    Parameters
    ----------
    sound
        (S,) mono, full scale [-1, 1].
    sample_rate_hz
        Its sampling rate.

    Returns
    -------
    (F, 16) float32 in dB, columns `SPECTRUM_COLUMNS`.
    """
    window_s = 0.025
    full_scale = (np.hamming(round(window_s * sample_rate_hz) + 1)[:-1].sum() / 2) ** 2
    bands = log_mel(
        sound,
        sample_rate_hz,
        N_BANDS,
        window_s,
        HOP_S,
        f_min=50.0,
        floor=full_scale * 10 ** (FLOOR_DB / 10),
    )
    decibels: Float32 = (bands - np.float32(math.log(full_scale))) * np.float32(10 / math.log(10))
    return decibels


def loudness(sound: Float32, sample_rate_hz: int) -> Float32:
    """Return the sound level and the root mean square, over 100 ms around each 10 ms.

    rms[i]   = sqrt(mean of x^2 over 100 ms)
    level[i] = max(-80, 20 log10(rms[i]))

    The window is about the time over which hearing sums up loudness (Moore 2012, chapter 4).

    Parameters
    ----------
    sound
        (S,) mono, full scale [-1, 1].
    sample_rate_hz
        Its sampling rate.

    Returns
    -------
    (F, 2) float32: level in dB of full scale, rms in [0, 1]; columns `LOUDNESS_COLUMNS`.
    """
    power = np.maximum(_mean_square(sound, sample_rate_hz), 10 ** (FLOOR_DB / 10))
    return np.stack([10 * np.log10(power), np.sqrt(power)], axis=1).astype(np.float32)


def onsets(sound: Float32, sample_rate_hz: int) -> Float32:
    """Return how much begins, and how strongly the sound beats at the rate of syllables.

    flux[i]     = mean over bands of max(0, L[i, m] - L[i - 1, m]) / 10 ms, L of `spectrum`
    syllabic[i] = |analytic signal of the rms envelope, 2 to 8 Hz|

    Parameters
    ----------
    sound
        (S,) mono, full scale [-1, 1].
    sample_rate_hz
        Its sampling rate.

    Returns
    -------
    (F, 2) float32: dB per second, and rms units; columns `ONSET_COLUMNS`.
    """
    levels = spectrum(sound, sample_rate_hz)
    rises = np.maximum(np.diff(levels, axis=0, prepend=levels[:1]), 0).mean(axis=1) / HOP_S
    envelope = np.sqrt(np.maximum(_mean_square(sound, sample_rate_hz, smooth_s=0.03), 0.0))
    transform = np.fft.fft(envelope)
    hertz = np.fft.fftfreq(len(envelope), HOP_S)
    low, high = _SYLLABIC_HZ
    # Keeping positive frequencies only, doubled, is the analytic signal of the band.
    transform[~((hertz >= low) & (hertz <= high))] = 0
    syllabic = 2 * np.abs(np.fft.ifft(transform))
    return np.stack([rises, syllabic], axis=1).astype(np.float32)


def pitch(sound: Float32, sample_rate_hz: int) -> Float32:
    """Return the pitch, how periodic the sound is, and the centre of its spectrum.

    r[l]        = autocorrelation of the windowed sound / that of the window, r[0] = 1
    pitch       = log2(rate / l* / 440 Hz), l* the shortest lag whose peak is 0.9 of the highest
    periodicity = r[l*], in [0, 1]
    centroid    = log2(sum_k f_k P_k / sum_k P_k / 440 Hz)

    Windows of 50 ms every 20 ms; pitch from 80 to 3000 Hz. Where the sound is not periodic
    (r < 0.5) the pitch, where it is silent both pitch and centroid, are drawn through between
    their neighbours. Boersma 1993.

    Parameters
    ----------
    sound
        (S,) mono, full scale [-1, 1].
    sample_rate_hz
        Its sampling rate.

    Returns
    -------
    (F, 3) float32: octaves from 440 Hz, a share, octaves; columns `PITCH_COLUMNS`. Silence gives 0.
    """
    check_shape(sound, "S", name="sound")
    length, hop = round(_PITCH_WINDOW_S * sample_rate_hz), round(PITCH_HOP_S * sample_rate_hz)
    n_frames = math.ceil(len(sound) / hop)
    padded = np.pad(sound, ((length - hop) // 2, n_frames * hop - len(sound) + length))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop][:n_frames]
    values = np.empty((n_frames, 3), np.float32)
    for start in range(0, n_frames, _FRAMES_AT_ONCE):
        part = windows[start : start + _FRAMES_AT_ONCE]
        values[start : start + len(part)] = _pitch_of(part, sample_rate_hz)
    silent = (windows**2).mean(axis=1) <= 10 ** (FLOOR_DB / 10)
    values[silent, 1] = 0
    _draw_through(values[:, 0], values[:, 1] < _VOICED)
    _draw_through(values[:, 2], silent)
    return values


def _mean_square(sound: Float32, sample_rate_hz: int, smooth_s: float = _LOUDNESS_S) -> Float64:
    """Return the mean power around each 10 ms, silence beyond the ends."""
    check_shape(sound, "S", name="sound")
    hop = round(HOP_S * sample_rate_hz)
    padded = np.pad(sound, (0, -len(sound) % hop)).reshape(-1, hop)
    blocks = (padded.astype(np.float64) ** 2).mean(axis=1)
    smooth: Float64 = uniform_filter1d(blocks, round(smooth_s / HOP_S), mode="constant")
    return smooth


def _pitch_of(windows: Float32, sample_rate_hz: int) -> Float32:
    """Return (F, 3) pitch, periodicity and centroid of (F, L) windows, silence not yet mended."""
    length = windows.shape[1]
    n_fft = 2 ** math.ceil(math.log2(2 * length))
    taper = np.hanning(length + 2)[1:-1].astype(np.float32)
    transform = np.fft.rfft(windows * taper, n_fft, axis=1)
    power = (transform.real**2 + transform.imag**2).astype(np.float32)
    hertz = np.fft.rfftfreq(n_fft, 1 / sample_rate_hz).astype(np.float32)
    centroid = power @ hertz / np.maximum(power.sum(axis=1), np.float32(1e-20))
    shortest = int(sample_rate_hz / _PITCH_HZ[1])
    longest = math.ceil(sample_rate_hz / _PITCH_HZ[0]) + 2
    of_taper = np.fft.irfft(np.abs(np.fft.rfft(taper, n_fft)) ** 2)[:longest]
    lagged = np.fft.irfft(power, axis=1)[:, :longest]
    r = lagged / np.maximum(lagged[:, :1], 1e-20) / (of_taper / of_taper[0])
    lag, height = _first_peak(r, shortest)
    octaves = np.log2(sample_rate_hz / lag / _REFERENCE_HZ)
    centre = np.log2(np.maximum(centroid, 1.0) / _REFERENCE_HZ)
    return np.stack([octaves, np.clip(height, 0, 1), centre], axis=1).astype(np.float32)


def _first_peak(r: Float64, shortest: int) -> tuple[Float64, Float64]:
    """Return lag and height of the first peak that reaches 0.9 of the highest, between samples."""
    inner = r[:, shortest:-1]
    before, after = r[:, shortest - 1 : -2], r[:, shortest + 1 :]
    peaks = np.where((inner > before) & (inner >= after), inner, -1.0)
    highest = peaks.max(axis=1, keepdims=True)
    index = np.argmax(peaks >= 0.9 * np.maximum(highest, 1e-6), axis=1)[:, None]
    left, top, right = (np.take_along_axis(x, index, axis=1)[:, 0] for x in (before, inner, after))
    bend = np.minimum(left - 2 * top + right, -1e-12)
    shift = np.clip((left - right) / (2 * bend), -0.5, 0.5)
    height = np.where(highest[:, 0] > 0, top - (left - right) * shift / 4, 0.0)
    return index[:, 0] + shortest + shift, height


def _draw_through(values: Float32, missing: NDArray[np.bool_]) -> None:
    """Draw lines through missing values, level at the ends; 0 where all are missing."""
    if missing.all():
        values[:] = 0
        return
    known = np.flatnonzero(~missing)
    values[:] = np.interp(np.arange(len(values)), known, values[known])
