"""Spans of sound against slices of the whole, and films that are only glanced at."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.stimulus import film as film_module
from brainreel.stimulus.audio import read_sound
from brainreel.stimulus.film import glance_film, probe_film

Maker = Callable[..., Path]
SPANS = ((0, 1), ("0.5", "1.25"), ("3.333", "4.1"), ("4.0625", "4.07"), ("4.7", "6.5"))


@pytest.fixture
def noise() -> np.ndarray:
    """Five seconds of slow noise, mono."""
    steps = np.random.default_rng(0).normal(size=(1, 5 * 16000))
    smooth = np.apply_along_axis(lambda x: np.convolve(x, np.ones(40) / 40, "same"), 1, steps)
    return smooth.astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 44100, 6000])
@pytest.mark.parametrize(
    ("name", "codec", "start"),
    [
        ("film.mp4", "aac", 0),
        ("film.mp4", "aac", 4000),
        ("film.mkv", "libopus", 0),
        ("film.wav", "pcm_s16le", 0),
    ],
)
def test_a_span_is_a_slice_of_the_whole(
    name: str, codec: str, start: int, rate: int, coded_film: Maker, noise: np.ndarray
) -> None:
    pictures = 0 if name.endswith("wav") else 120
    film = coded_film(name, n_frames=pictures, sound=noise, sound_codec=codec, sound_start=start)
    whole = read_sound(film, rate)
    for first, last in SPANS:
        begin, end = (math.ceil(Fraction(second) * rate) for second in (first, last))
        span = read_sound(film, rate, first, last)
        assert len(span) == end - begin
        expected = np.pad(whole, (0, max(0, end - len(whole))))[begin:end]
        np.testing.assert_array_equal(span, expected)
    np.testing.assert_array_equal(read_sound(film, rate, "4.2"), whole[math.ceil(4.2 * rate) :])


def test_an_empty_or_early_span_is_refused(coded_film: Maker, noise: np.ndarray) -> None:
    film = coded_film(sound=noise)
    with pytest.raises(DataError, match=r"no sound from 2 s to 1 s"):
        read_sound(film, 16000, 2, 1)
    with pytest.raises(DataError, match=r"no sound from -1 s to 1 s"):
        read_sound(film, 16000, -1, 1)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_glance_at_a_long_film_tells_what_probing_does(
    name: str, coded_film: Maker, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = coded_film(name, n_frames=120, sound=noise)
    probed = probe_film(film)
    assert glance_film(film) is probed, "a short film is probed"
    monkeypatch.setattr(film_module, "_SHORT_BYTES", 0)
    monkeypatch.setattr(film_module, "_scan", lambda *_: pytest.fail("the film was read"))
    assert glance_film(film) == probed


def test_a_film_whose_header_says_too_little_is_probed(
    coded_film: Maker, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_module, "_SHORT_BYTES", 0)
    stream = coded_film("film.ts", sound=noise, sound_codec="mp2")
    assert glance_film(stream) == probe_film(stream)
    sound = coded_film("sound.wav", n_frames=0, sound=noise, sound_codec="pcm_s16le")
    assert glance_film(sound) == probe_film(sound)
