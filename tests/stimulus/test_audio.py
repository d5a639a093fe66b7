"""Sound on the film's clock, and spectrograms against loops and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import ShortTimeFFT

from brainreel.errors import DataError
from brainreel.stimulus.audio import (
    hertz_to_mel,
    log_mel,
    mel_filters,
    mel_to_hertz,
    power_spectrogram,
    read_sound,
    spec_augment,
)

Maker = Callable[..., Path]
RATE = 16000


def clicks(seconds: int = 3) -> np.ndarray:
    """A click at every second but the first, in one channel."""
    sound = np.zeros((1, seconds * RATE), np.float32)
    sound[:, RATE::RATE] = 0.9
    return sound


def click_times(sound: np.ndarray, rate: int) -> list[float]:
    loud = np.flatnonzero(np.abs(sound) > 0.4 * np.abs(sound).max())
    return sorted({round(index / rate, 3) for index in loud})


def test_wav_is_read_as_it_is(write_film: Maker) -> None:
    written = np.random.default_rng(0).uniform(-0.9, 0.9, (1, 5000)).astype(np.float32)
    film = write_film("noise.wav", sound=written, sound_codec="pcm_s16le")
    sound = read_sound(film)
    assert sound.dtype == np.float32
    np.testing.assert_allclose(sound, written[0], atol=2.5 / 32768)


def test_channels_are_averaged(write_film: Maker) -> None:
    left = np.random.default_rng(0).uniform(-0.9, 0.9, 5000)
    both = np.stack([left, -left / 2]).astype(np.float32)
    film = write_film("noise.wav", sound=both, sound_codec="pcm_s16le")
    np.testing.assert_allclose(read_sound(film), left / 4, atol=2.5 / 32768)


@pytest.mark.parametrize(
    ("name", "codec"), [("film.mp4", "aac"), ("film.mkv", "aac"), ("film.mkv", "pcm_s16le")]
)
def test_clicks_keep_their_film_time(name: str, codec: str, coded_film: Maker) -> None:
    film = coded_film(name, n_frames=75, sound=clicks(), sound_codec=codec)
    times = click_times(read_sound(film), RATE)
    np.testing.assert_allclose([times[0], times[-1]], [1, 2], atol=0.002)


def test_film_time_begins_at_the_first_frame(coded_film: Maker) -> None:
    film = coded_film("film.ts", n_frames=75, sound=clicks(), sound_codec="mp2")
    times = click_times(read_sound(film), RATE)
    with av.open(str(film)) as container:
        first = next(container.decode(container.streams.video[0]))
        origin = first.pts * first.time_base
        pieces = list(container.decode(container.streams.audio[0]))
    # The witness: the click's sample, counted from its piece's own stamp.
    loud = max(pieces, key=lambda piece: np.abs(piece.to_ndarray()).max())
    within = int(np.abs(loud.to_ndarray()[0]).argmax()) / RATE
    expected = float(loud.pts * loud.time_base - origin) + within
    assert min(abs(expected - time) for time in times) < 0.002


def test_a_late_start_becomes_silence(coded_film: Maker) -> None:
    film = coded_film(
        "film.mkv", n_frames=100, sound=clicks(), sound_codec="pcm_s16le", sound_start=RATE // 2
    )
    sound = read_sound(film)
    assert len(sound) == 3.5 * RATE
    assert click_times(sound, RATE) == [1.5, 2.5]


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_resampling_keeps_a_tone(rate: int, write_film: Maker, tone: np.ndarray) -> None:
    film = write_film("tone.wav", sound=tone, sound_codec="pcm_s16le")
    sound = read_sound(film, rate)
    assert len(sound) == 2 * rate
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(sound[inner], expected[inner], atol=2e-3)


def test_resampling_does_not_alias(write_film: Maker) -> None:
    times = np.arange(RATE) / RATE
    high = (0.5 * np.sin(2 * np.pi * 6000 * times)).astype(np.float32)
    film = write_film("high.wav", sound=high[None], sound_codec="pcm_s16le")
    assert np.abs(read_sound(film, 8000)[400:-400]).max() < 0.002


def test_resampling_is_near_pyavs(write_film: Maker) -> None:
    low = np.cumsum(np.random.default_rng(0).standard_normal((1, RATE)), axis=1)
    low = (0.5 * (low - low.mean()) / np.abs(low - low.mean()).max()).astype(np.float32)
    film = write_film("low.wav", sound=low, sound_codec="pcm_s16le")
    resampler = av.AudioResampler(format="flt", layout="mono", rate=8000)
    with av.open(str(film)) as container:
        frames = [*container.decode(audio=0), None]
        parts = [part.to_ndarray()[0] for f in frames for part in resampler.resample(f)]
    expected, found = np.concatenate(parts), read_sound(film, 8000)
    inner = slice(200, 7500)
    assert np.corrcoef(expected[inner], found[inner])[0, 1] > 0.9999
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.01)


def test_a_film_without_sound(coded_film: Maker) -> None:
    with pytest.raises(DataError, match="the film has no sound"):
        read_sound(coded_film())


def test_an_impossible_rate(coded_film: Maker) -> None:
    with pytest.raises(DataError, match="sampling rate of 0 Hz"):
        read_sound(coded_film(), 0)


def slow_log_mel(sound: np.ndarray, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """The definition, one window, one bin and one band at a time."""
    length, hop, n_fft = 400, 160, 512
    mel = [2595 * math.log10(1 + f / 700) for f in (f_min, f_max)]
    step = (mel[1] - mel[0]) / (n_mels + 1)
    samples = np.arange(length)
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * samples / length)
    rows = []
    for frame in range(math.ceil(len(sound) / hop)):
        places = frame * hop + (hop - length) // 2 + samples
        inside = (places >= 0) & (places < len(sound))
        part = np.where(inside, sound[np.clip(places, 0, len(sound) - 1)], 0) * hamming
        power = [
            abs((part * np.exp(-2j * np.pi * k * samples / n_fft)).sum()) ** 2
            for k in range(n_fft // 2 + 1)
        ]
        row = []
        for band in range(1, n_mels + 1):
            centre = mel[0] + band * step
            total = 0.0
            for k, value in enumerate(power):
                place = 2595 * math.log10(1 + k * RATE / n_fft / 700)
                total += max(0.0, 1 - abs(place - centre) / step) * value
            row.append(math.log(max(total, 1e-10)))
        rows.append(row)
    return np.array(rows)


def test_log_mel_equals_the_slow_loop() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, 1700).astype(np.float32)
    fast = log_mel(sound, RATE, 20, f_min=60, f_max=7000)
    np.testing.assert_allclose(fast, slow_log_mel(sound, 20, 60, 7000), atol=2e-4)


def test_power_equals_scipys() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    power = power_spectrogram(sound, RATE, window_s=0.025, hop_s=0.010)
    hamming = np.hamming(401)[:-1]
    stft = ShortTimeFFT(hamming, hop=160, fs=RATE, mfft=512)
    # scipy's slice p is centred on sample 160 p; ours on the middle of the hop, 160 i + 80.
    shifted = np.pad(sound, (0, 400))[80:]
    expected = np.abs(stft.stft(shifted, p0=5, p1=90).T) ** 2
    np.testing.assert_allclose(power[5:90], expected, rtol=2e-3, atol=1e-3)


def test_log_mel_has_100_frames_a_second() -> None:
    assert log_mel(np.zeros(8 * RATE, np.float32), RATE).shape == (800, 128)
    assert log_mel(np.zeros(8 * RATE + 1, np.float32), RATE).shape == (801, 128)


def test_silence_stays_at_the_floor() -> None:
    silent = log_mel(np.zeros(RATE, np.float32), RATE, floor=1e-6)
    np.testing.assert_allclose(silent, math.log(1e-6), rtol=1e-6)


def test_a_tone_lights_its_band(tone: np.ndarray) -> None:
    bands = log_mel(tone[0], RATE, 40)
    low, high = hertz_to_mel(np.array([20.0, 8000.0]))
    centres = mel_to_hertz(low + (high - low) / 41 * np.arange(1, 41))
    assert abs(centres[int(bands.mean(axis=0).argmax())] - 440) < 50


def test_a_long_sound_is_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    whole = log_mel(sound, RATE)
    monkeypatch.setattr("brainreel.stimulus.audio._FRAMES_AT_ONCE", 7)
    np.testing.assert_allclose(log_mel(sound, RATE), whole, atol=1e-5)


def test_mel_scale() -> None:
    assert hertz_to_mel(np.array(1000.0)) == pytest.approx(999.99, abs=0.01)
    hertz = np.array([20.0, 440.0, 8000.0])
    np.testing.assert_allclose(mel_to_hertz(hertz_to_mel(hertz)), hertz)


def test_neighbouring_filters_sum_to_one() -> None:
    filters = mel_filters(RATE, 4096, 30, 100, 7000)
    bins = np.arange(2049) * RATE / 4096
    low, high = hertz_to_mel(np.array([100.0, 7000.0]))
    step = (high - low) / 31
    inner = (bins >= mel_to_hertz(low + step)) & (bins <= mel_to_hertz(high - step))
    np.testing.assert_allclose(filters[:, inner].sum(axis=0), 1)
    outside = (bins < 100) | (bins > 7000)
    assert not filters[:, outside].any()


def test_impossible_spectrograms() -> None:
    sound = np.zeros(1000, np.float32)
    with pytest.raises(DataError, match="f_min < f_max <= 8000 Hz"):
        log_mel(sound, RATE, f_max=9000)
    with pytest.raises(DataError, match="at least the window of 400 samples"):
        log_mel(sound, RATE, n_fft=256)
    with pytest.raises(DataError, match=r"a window of 0\.025 s needs a hop"):
        log_mel(sound, RATE, hop_s=0.05)


def test_spec_augment_hides_one_band_and_one_stretch() -> None:
    rng = np.random.default_rng(0)
    ones = np.ones((300, 128), np.float32)
    times, bands = [], []
    for _ in range(200):
        hidden = spec_augment(ones, rng, max_time=100, max_frequency=20)
        dark_times = np.flatnonzero((hidden == 0).all(axis=1))
        dark_bands = np.flatnonzero((hidden == 0).all(axis=0))
        assert (hidden == 0).sum() == (
            len(dark_times) * 128 + len(dark_bands) * (300 - len(dark_times))
        )
        for dark in (dark_times, dark_bands):
            assert len(dark) == 0 or np.ptp(dark) == len(dark) - 1
        times.append(len(dark_times))
        bands.append(len(dark_bands))
    assert 95 <= max(times) <= 100
    assert max(bands) == 20
    assert abs(np.mean(times) - 50) < 7
    assert abs(np.mean(bands) - 10) < 1.5
    assert (ones == 1).all()


def test_spec_augment_repeats_with_its_generator() -> None:
    noise = np.random.default_rng(0).standard_normal((50, 20)).astype(np.float32)
    first, second = (spec_augment(noise, np.random.default_rng(3), fill=-1.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    changed = first != noise
    assert (first[changed] == -1).all()
