"""What each TR of a film shows and sounds like: against a loop over film time."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from brainreel.data.module import FilmModule, film_spec
from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.strips import FilmStrip, WindowsConfig, open_strip
from brainreel.data.windows import collate_windows
from brainreel.fmri.bold import Bold
from brainreel.shapes import Sense
from brainreel.simulate.film import render_film
from brainreel.stimulus.audio import log_mel, read_sound
from brainreel.stimulus.frames import read_frames
from brainreel.stimulus.spectrograms import SILENCE
from brainreel.timebase import TrGrid

CONFIG = WindowsConfig(
    frames_per_tr=2, height=8, width=8, window_trs=3, batch_windows=2, mel_bands=6
)
BOTH: tuple[Sense, ...] = ("pictures", "sound")
# Begins before the film, ends after it, and a TR is 60.8 steps of 10 ms.
GRID = TrGrid(Fraction("0.608"), 14, Fraction("-1.5"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    render_film(path, 6, seed=3, size=(16, 16))
    return path


@pytest.fixture(scope="module")
def strip(film: Path) -> FilmStrip:
    return open_strip(film, GRID, CONFIG, film.parent / "cache", BOTH)


def test_frames_and_sound_stand_where_film_time_says(film: Path, strip: FilmStrip) -> None:
    found = strip.part(slice(0, 14))
    steps = log_mel(read_sound(film), 16000, 6)
    assert found["sound"].shape == (14, 1, 61, 6)
    for tr in range(14):
        for k in range(2):
            time = GRID.onset_s(tr) + (k + Fraction(1, 2)) * GRID.tr_s / 2
            inside = 0 <= time < 6
            expected = read_frames(film, [time], (8, 8))[0] if inside else np.zeros((3, 8, 8))
            np.testing.assert_array_equal(found["frames"][tr, k], expected)
            assert found["frame_numbers"][tr, k] == max(math.floor(time * Fraction(25, 2)), 0)
        for k in range(61):
            time = GRID.onset_s(tr) + (k + Fraction(1, 2)) * GRID.tr_s / 61
            number = math.floor(time * 100)
            heard = steps[number] if 0 <= number < len(steps) else np.full(6, SILENCE)
            np.testing.assert_array_equal(found["sound"][tr, 0, k], heard)


def test_only_what_is_asked_for_is_decoded(film: Path, tmp_path: Path) -> None:
    for sense, wanted in (("pictures", {"frames", "frame_numbers"}), ("sound", {"sound"})):
        cache = tmp_path / sense
        part = open_strip(film, GRID, CONFIG, cache, (sense,)).part(slice(2, 5))
        assert part.keys() == wanted
        kinds = {path.stem.split("_")[1].split("-")[0] for path in cache.glob("*.npy")}
        assert kinds == {"frames" if sense == "pictures" else "mel"}


def test_a_window_carries_both_senses_and_silence_before_the_run(
    film: Path, tmp_path: Path
) -> None:
    bold = Bold(np.random.default_rng(0).standard_normal((14, 2), dtype=np.float32), GRID)
    series = Series(
        (Recording("sub-01", "run", "film", bold, film),),
        (Fold("f", "f", train=(Segment(0, 0, 14),)),),
    )
    data = FilmModule(
        series, series.folds[0], CONFIG, cache=tmp_path, seed=0, context_trs=2, senses=BOTH
    )
    data.setup()
    items = data.dataset(series.folds[0].train, own_context=True)
    first = items[0]
    assert first.shown[0].tolist() == [False] * 2 + [True] * 3
    assert (first.sound[0, :2] == float(SILENCE)).all()
    batch = collate_windows([first, items[1]])
    assert batch.sound.shape == (2, 5, 1, 61, 6)
    assert batch.frame_numbers.shape == (2, 5, 2)
    assert torch.equal(batch.sound[1], items[1].sound[0])
    heard = FilmModule(series, series.folds[0], CONFIG, cache=tmp_path, seed=0, senses=("sound",))
    heard.setup()
    assert heard.dataset(series.folds[0].train, own_context=True)[0].to("meta").frames is None


def test_the_spec_tells_of_the_senses_that_are_asked_for() -> None:
    bold = Bold(np.zeros((14, 2), np.float32), GRID)
    series = Series((Recording("sub-01", "run", "film", bold, Path("film.mp4")),), ())
    both = film_spec(series, CONFIG, BOTH)
    assert (both.frame_shape, both.frames_per_tr) == ((3, 8, 8), 2)
    assert both.sound_shape == (1, 61, 6)
    heard = film_spec(series, CONFIG, ("sound",))
    assert (heard.frame_shape, heard.frames_per_tr) == ((), 0)
    assert film_spec(series, CONFIG).sound_shape == ()
