import numpy as np
import pytest

from brainreel.simulate import sound
from brainreel.simulate.sound import FLOOR_DB, TRACK_RATE_HZ, loudness_db, make_soundtrack

RATE_HZ = 16000


def test_loudness_equals_a_slow_loop() -> None:
    samples = np.random.default_rng(0).standard_normal(8000) * np.linspace(0, 0.3, 8000)
    found = loudness_db(samples, 0.5, RATE_HZ)
    for i in range(5, 45):
        middle = int((i + 0.5) / TRACK_RATE_HZ * RATE_HZ)
        power = np.mean(samples[middle - 800 : middle + 800] ** 2)
        assert found[i] == pytest.approx(10 * np.log10(power), abs=1e-6)


def test_loudness_of_a_sine_and_of_silence() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    assert loudness_db(np.sin(2 * np.pi * 400 * time_s), 1.0, RATE_HZ)[50] == pytest.approx(
        10 * np.log10(0.5), abs=0.01
    )
    np.testing.assert_array_equal(loudness_db(np.zeros(RATE_HZ), 1.0, RATE_HZ), FLOOR_DB)


def test_soundtrack_has_its_length_and_stays_in_range() -> None:
    track = make_soundtrack(12.3, RATE_HZ, np.random.default_rng(1))
    assert track.samples.shape == (round(12.3 * RATE_HZ),)
    assert track.samples.dtype == np.float32
    assert track.pitch_hz.shape == track.loudness_db.shape == (1230,)
    assert np.abs(track.samples).max() <= 1
    assert 80 < track.pitch_hz.min() < track.pitch_hz.max() < 4000
    assert track.loudness_db.max() - track.loudness_db.min() > 10


@pytest.mark.parametrize("kind", ["glide", "melody", "bursts", "speech"])
def test_the_strongest_frequency_is_the_pitch(kind: str) -> None:
    rng = np.random.default_rng(2)
    heard, hertz = sound._section(kind, 220.0, RATE_HZ * 2, RATE_HZ, rng)
    window = slice(RATE_HZ // 2, RATE_HZ // 2 + 8192)
    power = np.abs(np.fft.rfft(heard[window] * np.hanning(8192))) ** 2
    strongest = np.fft.rfftfreq(8192, 1 / RATE_HZ)[np.argmax(power)]
    assert abs(np.log2(strongest / np.median(hertz[window]))) < 0.5


def test_syllables_come_four_and_a_half_times_a_second() -> None:
    rng = np.random.default_rng(3)
    heard, _ = sound._section("speech", 180.0, RATE_HZ * 8, RATE_HZ, rng)
    envelope = np.abs(heard).reshape(-1, 160).mean(axis=1)
    power = np.abs(np.fft.rfft(envelope - envelope.mean())) ** 2
    hertz = np.fft.rfftfreq(len(envelope), 0.01)
    rhythm = (hertz > 1) & (hertz < 12)
    assert hertz[rhythm][np.argmax(power[rhythm])] == pytest.approx(4.5, abs=0.2)
