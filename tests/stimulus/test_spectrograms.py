"""Spectrograms of films, stored: against the spectrogram itself, and used again or not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.stimulus import spectrograms
from brainreel.stimulus.audio import log_mel, read_sound
from brainreel.stimulus.spectrograms import SILENCE, store_sound

RATE = 16000


def write_sound(path: Path, seconds: float = 2.0, hertz: float = 440.0) -> Path:
    """A tone in the second half of a wave file."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = np.where(time < seconds / 2, 0, np.sin(2 * np.pi * hertz * time))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        samples = (wave * 20000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_film(path: Path) -> Path:
    """Three seconds of black pictures with noise."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as film:
        pictures = film.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        sound = film.add_stream("aac", rate=44100, layout="mono")
        for _ in range(30):
            black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            film.mux(pictures.encode(black))
        film.mux(pictures.encode())
        noise = rng.normal(0, 0.2, (1, 3 * 44100)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate = 44100
        film.mux(sound.encode(frame))
        film.mux(sound.encode(None))
    return path


def test_it_is_the_spectrogram_on_the_clock_of_the_film(tmp_path: Path) -> None:
    film = write_sound(tmp_path / "a.wav")
    store = store_sound(film, tmp_path / "out", n_mels=8)
    assert store.hop_s == Fraction(1, 100)
    expected = log_mel(read_sound(film), RATE, 8)
    np.testing.assert_array_equal(store.steps, expected)
    np.testing.assert_allclose(store.steps[:90], SILENCE, rtol=1e-6)
    assert store.steps[110:].max() > 0


@pytest.mark.parametrize("end", ["wav", "mp4"])
@pytest.mark.parametrize("block_s", ["0.37", "0.5", "2.5"])
def test_a_long_film_is_heard_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, block_s: str
) -> None:
    film = write_sound(tmp_path / "a.wav", seconds=3.003, hertz=1234.5)
    if end == "mp4":
        film = write_film(tmp_path / "a.mp4")
    whole = store_sound(film, tmp_path / "whole", n_mels=8)
    monkeypatch.setattr(spectrograms, "_BLOCK_S", Fraction(block_s))
    pieces = store_sound(film, tmp_path / "pieces", n_mels=8)
    n = min(len(whole.steps), len(pieces.steps))
    assert abs(len(whole.steps) - len(pieces.steps)) <= (0 if end == "wav" else 30)
    np.testing.assert_allclose(pieces.steps[:n], whole.steps[:n], atol=2e-4)
    assert np.abs(np.diff(whole.steps[:n], axis=0)).max() > 0.1


def test_it_is_made_once_and_anew_for_another_film_or_option(tmp_path: Path) -> None:
    film, out = write_sound(tmp_path / "a.wav"), tmp_path / "out"
    path = store_sound(film, out, n_mels=8).path
    made = path.stat().st_mtime_ns
    assert store_sound(film, out, n_mels=8).path.stat().st_mtime_ns == made
    others = [
        store_sound(film, out, n_mels=9),
        store_sound(film, out, n_mels=8, hop_s=0.02, window_s=0.04),
        store_sound(write_sound(tmp_path / "a.wav", hertz=500), out, n_mels=8),
    ]
    assert len({path, *(other.path for other in others)}) == 4
    assert not list(out.glob(".*"))


def test_bad_films_and_steps_are_named(tmp_path: Path) -> None:
    film = write_sound(tmp_path / "a.wav")
    with pytest.raises(DataError, match=r"0.0101235 s is no whole number of samples at 16000 Hz"):
        store_sound(film, tmp_path, n_mels=8, hop_s=0.01012345)
    silent = tmp_path / "silent.mp4"
    with av.open(str(silent), "w") as file:
        stream = file.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            picture = np.zeros((16, 16, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    with pytest.raises(DataError, match="silent.mp4: the film has no sound, and the network list"):
        store_sound(silent, tmp_path / "out", n_mels=8)
    assert not (tmp_path / "out").exists()
