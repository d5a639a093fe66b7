"""Sounds whose level, spectrum and pitch are known."""

from __future__ import annotations

import numpy as np
import pytest

from brainreel.stimulus.audio import hertz_to_mel
from brainreel.stimulus.sounds import FLOOR_DB, loudness, onsets, pitch, spectrum

RATE = 16000
TIMES = np.arange(2 * RATE) / RATE
SILENCE = np.zeros(RATE, np.float32)


def sine(hertz: float, scale: float = 1.0) -> np.ndarray:
    return (scale * np.sin(2 * np.pi * hertz * TIMES)).astype(np.float32)


def test_a_full_scale_sine_is_near_0_db_in_its_band() -> None:
    low, high = hertz_to_mel(np.array([50.0, RATE / 2]))
    levels = spectrum(sine(1000), RATE)
    assert levels.shape == (200, 16)
    band = int(np.median(levels, axis=0).argmax())
    centre = low + (high - low) / 17 * (band + 1)
    assert abs(centre - hertz_to_mel(np.array(1000.0))) < (high - low) / 17
    assert -6 < np.median(levels[:, band]) < 3
    np.testing.assert_allclose(spectrum(SILENCE, RATE), FLOOR_DB, atol=1e-3)


def test_half_the_amplitude_is_6_db_less_in_every_band() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    difference = spectrum(noise, RATE) - spectrum(noise / 2, RATE)
    np.testing.assert_allclose(difference, 20 * np.log10(2), atol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
def test_level_of_a_sine(scale: float) -> None:
    level, rms = loudness(sine(200, scale), RATE)[20:-20].T
    np.testing.assert_allclose(rms, scale / np.sqrt(2), rtol=1e-3)
    np.testing.assert_allclose(level, 20 * np.log10(scale / np.sqrt(2)), atol=0.01)


def test_level_equals_a_slow_loop() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, 1600 * 3).astype(np.float32)
    rms = loudness(sound, RATE)[:, 1]
    for index in range(5, 25):
        window = sound[(index - 5) * 160 : (index + 5) * 160].astype(float)
        np.testing.assert_allclose(rms[index], np.sqrt((window**2).mean()), rtol=1e-5)


def test_silence_is_at_the_floor() -> None:
    np.testing.assert_allclose(loudness(SILENCE, RATE)[:, 0], FLOOR_DB)


def test_flux_tells_beginnings_not_ends() -> None:
    burst = np.zeros(2 * RATE, np.float32)
    burst[RATE // 2 : RATE] = np.random.default_rng(0).uniform(-0.5, 0.5, RATE // 2)
    flux = onsets(burst, RATE)[:, 0]
    assert 48 <= flux.argmax() <= 51
    assert flux[45:55].sum() > 5 * flux[95:105].sum()
    assert flux[:45].max() == 0


def test_syllabic_beat_has_its_own_rate() -> None:
    carrier = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE)
    strength = {}
    for hertz in (1.0, 4.0, 20.0):
        beat = 0.5 * (1 - np.cos(2 * np.pi * hertz * TIMES))
        strength[hertz] = onsets((carrier * beat).astype(np.float32), RATE)[50:-50, 1].mean()
    assert strength[4.0] > 4 * strength[1.0]
    assert strength[4.0] > 4 * strength[20.0]


@pytest.mark.parametrize("hertz", [90, 220, 440, 1000, 2600])
def test_pitch_of_a_sine(hertz: float) -> None:
    octaves, periodicity, centroid = pitch(sine(hertz, 0.3), RATE)[5:-5].T
    np.testing.assert_allclose(octaves, np.log2(hertz / 440), atol=0.02)
    assert periodicity.min() > 0.95
    if hertz > 200:
        np.testing.assert_allclose(centroid, np.log2(hertz / 440), atol=0.05)


def test_pitch_of_a_complex_is_its_fundamental() -> None:
    voice = sum(sine(150 * k, 0.2 / k) for k in (2, 3, 4, 5))
    np.testing.assert_allclose(pitch(voice, RATE)[5:-5, 0], np.log2(150 / 440), atol=0.02)


def test_noise_is_not_periodic_and_silence_is_drawn_through() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    assert np.median(pitch(noise, RATE)[:, 1]) < 0.5
    low, high = sine(220, 0.3)[: RATE // 2], sine(880, 0.3)[: RATE // 2]
    octaves = pitch(np.concatenate([low, SILENCE, high]), RATE)[:, 0]
    assert octaves[50] == pytest.approx(0.0, abs=0.1)
    assert np.all(np.diff(octaves[30:70]) > 0)
    assert not pitch(SILENCE, RATE).any()
