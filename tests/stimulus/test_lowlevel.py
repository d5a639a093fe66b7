"""Feature spaces of whole films: decoded once, kept, and in the right TR."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.stimulus import lowlevel as module
from brainreel.stimulus.audio import read_sound
from brainreel.stimulus.frames import read_frames
from brainreel.stimulus.lowlevel import FEATURE_SPACES, film_features
from brainreel.stimulus.sights import luminance
from brainreel.stimulus.sounds import loudness
from brainreel.timebase import TrGrid

Maker = Callable[..., Path]
GRID = TrGrid(Fraction("0.4"), 8, Fraction("-0.6"))
SIGHTS = ["luminance", "contrast", "motion_energy"]
SOUNDS = ["spectrum", "loudness", "onsets", "pitch"]


@pytest.fixture
def film(write_film: Maker, tone: np.ndarray) -> Path:
    """2 s: dark for 1 s, then bright; a tone that is soft for 1 s, then loud."""
    bright = [np.full((48, 64, 3), 40 if i < 25 else 220, np.uint8) for i in range(50)]
    loud = tone * np.where(np.arange(tone.shape[1]) < 16000, 0.02, 1).astype(np.float32)
    return write_film("film.mp4", bright, sound=loud)


def test_all_spaces(film: Path) -> None:
    features = film_features(film, GRID)
    assert list(features) == SIGHTS + SOUNDS == list(FEATURE_SPACES)
    for name, values in features.items():
        assert values.shape == (8, len(FEATURE_SPACES[name].columns))
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(FEATURE_SPACES[name](film, GRID), values)


def test_luminance_equals_the_frames(film: Path) -> None:
    values = film_features(film, GRID, ["luminance"])["luminance"]
    looks = [Fraction(2 * i + 1, 25) for i in range(25)]
    luma = read_frames(film, looks, (32, 43), colour="grey")[:, 0] / np.float32(255)
    each = luminance(luma, 12.5)
    for tr in range(8):
        start, stop = GRID.window_s(tr)
        inside = [i for i, look in enumerate(looks) if start <= look < stop]
        expected = each[inside].mean(axis=0) if inside else np.zeros(10)
        np.testing.assert_allclose(values[tr], expected, atol=1e-6)
    np.testing.assert_allclose(values[[0, 3, 5], 0], [0, 40 / 255, 220 / 255], atol=0.01)


def test_loudness_equals_the_sound(film: Path) -> None:
    values = film_features(film, GRID, ["loudness"])["loudness"]
    each = loudness(read_sound(film), 16000)
    middles = (np.arange(len(each)) + 0.5) / 100
    for tr in range(2, 6):
        start, stop = (float(edge) for edge in GRID.window_s(tr))
        inside = (middles >= start) & (middles < stop)
        np.testing.assert_allclose(values[tr], each[inside].mean(axis=0), rtol=1e-4)
    assert values[0, 0] == pytest.approx(-80)
    assert values[5, 0] - values[2, 0] == pytest.approx(20 * np.log10(50), abs=0.5)


def test_a_silent_film_has_only_sights(coded_film: Maker) -> None:
    silent = coded_film(n_frames=50)
    assert list(film_features(silent, GRID)) == SIGHTS
    with pytest.raises(DataError, match="no sound, which 'loudness' needs.* luminance, contrast"):
        film_features(silent, GRID, ["luminance", "loudness"])


def test_a_sound_file_has_only_sounds(write_film: Maker, tone: np.ndarray) -> None:
    sound = write_film("tone.wav", sound=tone, sound_codec="pcm_s16le")
    assert list(film_features(sound, GRID)) == SOUNDS
    with pytest.raises(DataError, match="no pictures, which 'contrast' needs"):
        film_features(sound, GRID, ["contrast"])


def test_an_unknown_space_suggests_the_near_one(film: Path) -> None:
    with pytest.raises(DataError, match="'loudnes' is no feature space. Did you mean 'loudness'"):
        film_features(film, GRID, ["loudnes"])


def test_a_run_outside_the_film(film: Path) -> None:
    with pytest.raises(DataError, match="outside it. Give the right film_start_s"):
        film_features(film, TrGrid(Fraction(1), 3, Fraction(10)))


def test_pictures_and_sound_are_decoded_once(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    senses = []
    original = module._samples

    def counted(info: Any, sense: str) -> Any:
        senses.append(sense)
        return original(info, sense)

    monkeypatch.setattr(module, "_samples", counted)
    film_features(film, GRID)
    assert senses == ["pictures", "sound"]


def test_the_cache_serves_every_grid(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TrGrid(Fraction(1, 2), 4)
    expected = film_features(film, other)
    film_features(film, GRID, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("film_*.npy"))) == 7

    def refuse(*_: Any) -> Any:
        raise AssertionError("decoded again")

    monkeypatch.setattr(module, "_samples", refuse)
    cached = film_features(film, other, cache=tmp_path / "cache")
    for name, values in expected.items():
        np.testing.assert_array_equal(cached[name], values)


def test_a_changed_film_does_not_meet_its_old_cache(
    film: Path, tmp_path: Path, coded_film: Maker
) -> None:
    before = film_features(film, GRID, ["luminance"], cache=tmp_path / "cache")["luminance"]
    film.write_bytes(coded_film("other.mp4").read_bytes())
    after = film_features(film, GRID, ["luminance"], cache=tmp_path / "cache")["luminance"]
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, film_features(film, GRID, ["luminance"])["luminance"])
