"""Sound on the film's clock: decoding, log-mel spectrograms and their augmentation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.stimulus.film import FilmInfo, open_film, probe_film, sound_stream
from brainreel.stimulus.sound_tracks import TrackSpan, decode_mono, decoded_pieces, jump
from brainreel.timebase import Seconds, exact, samples_between

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MEL_FLOOR = 1e-10
"""Least power of a mel band, which silence gets."""

_FRAMES_AT_ONCE = 4096


def read_sound(
    path: Path,
    sample_rate_hz: int = 16000,
    start_s: Seconds = 0,
    stop_s: Seconds | None = None,
    *,
    info: FilmInfo | None = None,
) -> Float32:
    """Decode the first sound track of a film or sound file to mono.

    y = resample(mean over channels of x), y[s] at film time s / sample_rate_hz

    Sample 0 stands at film time 0, the first frame: sound before it is dropped, a later start and
    gaps become silence. In a file without pictures time 0 is the first sample. Resampled by a
    polyphase filter (scipy.signal.resample_poly), zero phase.

    Parameters
    ----------
    path
        A film with sound, or a sound file.
    sample_rate_hz
        Sampling rate of the result.
    start_s, stop_s
        Span [start, stop) of film time in seconds; the same samples as those of the whole sound,
        without decoding what is far from them. After the sound's end the span is silent. `stop_s`
        None: to the end.
    info
        What is known of the film, where it was asked before; None to probe it.

    Returns
    -------
    (S,) float32, full scale is [-1, 1]; `samples_between(start_s, stop_s, sample_rate_hz)`.

    Raises
    ------
    DataError
        If there is no sound, the codec is not known, the span is empty, or the file is damaged.
    """
    if sample_rate_hz < 1:
        raise DataError(f"A sampling rate of {sample_rate_hz} Hz cannot be used.")
    wanted = None if stop_s is None else samples_between(start_s, stop_s, sample_rate_hz)
    first = samples_between(0, start_s, sample_rate_hz).stop
    if exact(start_s) < 0 or (wanted is not None and not wanted):
        told = "its end" if stop_s is None else f"{float(exact(stop_s)):g} s"
        raise DataError(f"{path}: no sound from {float(exact(start_s)):g} s to {told}.")
    info = info or probe_film(path)
    with open_film(info.path) as container:
        stream = sound_stream(container, info.path)
        rate = int(stream.codec_context.sample_rate)
        around = TrackSpan(rate, sample_rate_hz, first, None if wanted is None else wanted.stop)
        jumped = jump(container, stream, around.start, rate, info.start_s)
        sound = decode_mono(container, stream, rate, info.start_s, around, jumped=jumped)
    if not sound.size and wanted is None:
        raise DataError(f"{path}: its sound has zero length. Export the film again.")
    resampled = around.resampled(sound)
    if wanted is None:
        return resampled
    return np.pad(resampled, (0, len(wanted) - len(resampled)))


def iter_sound(
    info: FilmInfo, sample_rate_hz: int, spans: Iterable[tuple[int, int]]
) -> Iterator[Float32]:
    """Yield samples [first, last) of `read_sound`, span after span, decoding the sound once.

    Only what a span needs is held.

    Parameters
    ----------
    info
        The film.
    sample_rate_hz
        Sampling rate of the result.
    spans
        In order: neither first nor last falls. After the sound's end a span is silent.

    Raises
    ------
    DataError
        If there is no sound, or the file is damaged.
    """
    with open_film(info.path) as container:
        stream = sound_stream(container, info.path)
        rate = int(stream.codec_context.sample_rate)
        pieces = decoded_pieces(container, stream, rate, info.start_s, jumped=False)
        held, begun = np.empty(0, np.float32), 0
        for first, last in spans:
            around = TrackSpan(rate, sample_rate_hz, first, last)
            assert around.stop is not None
            coming = [held]
            missing = around.stop - begun - len(held)
            while missing > 0 and (found := next(pieces, None)) is not None:
                coming.append(found[1])
                missing -= len(found[1])
            held = np.concatenate(coming)
            passed = min(around.start - begun, len(held))
            held, begun = held[passed:], begun + passed
            part = around.resampled(held[: around.stop - begun])
            yield np.pad(part, (0, last - first - len(part)))


def hertz_to_mel(hertz: Float64) -> Float64:
    """Return mel = 2595 log10(1 + f / 700), the scale of HTK."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)


def mel_to_hertz(mel: Float64) -> Float64:
    """Return f = 700 (10^(mel / 2595) - 1), the inverse of `hertz_to_mel`."""
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def mel_filters(
    sample_rate_hz: int, n_fft: int, n_mels: int, f_min: float, f_max: float
) -> Float64:
    """Return triangular filters of equal width on the mel scale.

    w[m, k] = tri((mel(f_k) - c_m) / d),  tri(x) = max(0, 1 - |x|)

    with M centres c_m spaced by d = (mel(f_max) - mel(f_min)) / (M + 1).

    Returns
    -------
    (n_mels, n_fft // 2 + 1) float64. Filters narrower than the spacing of the bins may hold none.
    """
    if not 0 <= f_min < f_max <= sample_rate_hz / 2:
        raise DataError(
            f"mel bands from {f_min:g} to {f_max:g} Hz: give 0 <= f_min < f_max <= "
            f"{sample_rate_hz / 2:g} Hz, half the sampling rate."
        )
    low, high = hertz_to_mel(np.array([f_min, f_max], np.float64))
    spacing = (high - low) / (n_mels + 1)
    centres = low + spacing * np.arange(1, n_mels + 1)
    bins = hertz_to_mel(np.linspace(0.0, sample_rate_hz / 2, n_fft // 2 + 1))
    weights: Float64 = np.clip(1.0 - np.abs(bins - centres[:, None]) / spacing, 0.0, None)
    return weights


def power_spectrogram(
    sound: Float32, sample_rate_hz: int, *, window_s: float, hop_s: float, n_fft: int | None = None
) -> Float32:
    """Return the short-time power spectrum of a sound, frames centred on their hop.

    P[i, k] = |sum_s h[s] x[i hop + (hop - L) // 2 + s] exp(-2 pi j k s / n_fft)|^2

    h is the Hamming window of L samples; the sound is taken as 0 beyond its ends. Frame i stands
    for the time [i hop_s, (i + 1) hop_s), so t seconds give t / hop_s frames.

    Returns
    -------
    (F, n_fft // 2 + 1) float32, F = ceil(S / hop); n_fft is the next power of two from L unless
    given.
    """
    check_shape(sound, "S", name="sound")
    length, hop = round(window_s * sample_rate_hz), round(hop_s * sample_rate_hz)
    if not 0 < hop <= length:
        raise DataError(f"a window of {window_s:g} s needs a hop of 0 to {window_s:g} s.")
    n_fft = n_fft or 2 ** math.ceil(math.log2(length))
    if n_fft < length:
        raise DataError(f"n_fft is {n_fft}; it must be at least the window of {length} samples.")
    n_frames = math.ceil(len(sound) / hop)
    before = (length - hop) // 2
    padded = np.pad(sound, (before, n_frames * hop - len(sound) + length))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop][:n_frames]
    hamming = np.hamming(length + 1)[:-1].astype(np.float32)
    power = np.empty((n_frames, n_fft // 2 + 1), np.float32)
    for start in range(0, n_frames, _FRAMES_AT_ONCE):
        part = windows[start : start + _FRAMES_AT_ONCE] * hamming
        spectrum = np.fft.rfft(part, n_fft, axis=1)
        power[start : start + len(part)] = spectrum.real**2 + spectrum.imag**2
    return power


def log_mel(
    sound: Float32,
    sample_rate_hz: int,
    n_mels: int = 128,
    window_s: float = 0.025,
    hop_s: float = 0.010,
    f_min: float = 20.0,
    f_max: float | None = None,
    *,
    n_fft: int | None = None,
    floor: float = MEL_FLOOR,
) -> Float32:
    """Return the log-mel spectrogram of a sound.

    y[i, m] = ln(max(floor, sum_k w[m, k] P[i, k]))

    with P of `power_spectrogram` (periodic Hamming window) and w of `mel_filters` (HTK scale). The
    defaults are those of the Audio Spectrogram Transformer (Gong, Chung & Glass 2021, section 2.1):
    t seconds at 16 kHz give (100 t, 128).

    Parameters
    ----------
    sound
        (S,) mono.
    sample_rate_hz
        Its sampling rate.
    n_mels
        Number of bands.
    window_s, hop_s
        Length of the window and step between frames, in seconds.
    f_min, f_max
        Edges of the lowest and highest band in Hz; f_max None for half the sampling rate.
    n_fft
        Points of the transform; None for the next power of two from the window's length. At
        n_fft = 512 and 128 bands a few of the lowest bands hold no bin and stay at the floor.
    floor
        Least power, which silence gets.

    Returns
    -------
    (F, n_mels) float32, natural logarithm of power.
    """
    power = power_spectrogram(sound, sample_rate_hz, window_s=window_s, hop_s=hop_s, n_fft=n_fft)
    high = sample_rate_hz / 2 if f_max is None else f_max
    bins = power.shape[1]
    filters = mel_filters(sample_rate_hz, 2 * (bins - 1), n_mels, f_min, high).astype(np.float32)
    bands: Float32 = np.log(np.maximum(power @ filters.T, np.float32(floor)))
    return bands


def spec_augment(
    spectrogram: Float32,
    rng: np.random.Generator,
    *,
    max_time: int = 192,
    max_frequency: int = 48,
    fill: float = 0.0,
) -> Float32:
    """Hide one random stretch of time and one random band of frequency.

    width ~ U{0 .. max}, start ~ U{0 .. size - width}, along each axis

    Park et al. 2019, SpecAugment, without warping; the defaults are those of AST and MBT.

    Parameters
    ----------
    spectrogram
        (F, M); it is not changed.
    rng
        Source of the draws.
    max_time, max_frequency
        Widest stretch, in frames and in bands.
    fill
        What the hidden part becomes: 0, the mean of a normalised spectrogram.

    Returns
    -------
    (F, M) float32 copy.
    """
    check_shape(spectrogram, "F M", name="spectrogram")
    hidden = spectrogram.copy()
    for axis, widest in ((0, max_time), (1, max_frequency)):
        size = hidden.shape[axis]
        width = int(rng.integers(0, min(widest, size) + 1))
        start = int(rng.integers(0, size - width + 1))
        np.moveaxis(hidden, axis, 0)[start : start + width] = fill
    return hidden
