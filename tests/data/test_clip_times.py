"""Moments of clips against loops over the film's clock."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from brainreel.data.clip_times import (
    Place,
    drawn_place,
    frame_numbers,
    plan_times,
    view_places,
)
from brainreel.data.clips import ClipsConfig
from brainreel.errors import ConfigError

HALF = Fraction(1, 2)
MIDDLE = Place(HALF, HALF, None)
NTSC = Fraction(30000, 1001)


def seconds(*values: str | int) -> tuple[Fraction, ...]:
    return tuple(Fraction(value) for value in values)


def test_uniform_frames_lie_in_the_middle_of_equal_shares() -> None:
    clips = ClipsConfig(n_frames=4)
    times = plan_times(clips, seconds(2, 10), Fraction(25), MIDDLE)
    assert times.frames == seconds(3, 5, 7, 9)
    first = plan_times(clips, seconds(2, 10), Fraction(25), Place(HALF, Fraction(0), None))
    assert first.frames == seconds(2, 4, 6, 8)


def test_a_dense_window_is_placed_in_its_room() -> None:
    clips = ClipsConfig(n_frames=4, sampling="dense", span_s=2)
    for window, begin in ((0, 10), (1, 18), (HALF, 14)):
        place = Place(Fraction(window), Fraction(0), None)
        times = plan_times(clips, seconds(10, 20), Fraction(25), place).frames
        assert times == tuple(begin + Fraction(2 * i + 1, 4) for i in range(4))


def test_a_frame_rate_steps_through_the_film_exactly() -> None:
    clips = ClipsConfig(n_frames=32, sampling="dense", frame_rate_hz=float(NTSC / 2))
    assert clips.window == 32 / Fraction("14.98501")
    exact = ClipsConfig(n_frames=8, sampling="dense", frame_rate_hz=12.5)
    times = plan_times(exact, seconds(0, 10), Fraction(25), MIDDLE).frames
    numbers = frame_numbers(times, Fraction(25))
    assert np.diff(numbers).tolist() == [2] * 7
    assert numbers[0] == 118


def test_a_window_longer_than_the_item_stays_at_its_last_frame() -> None:
    clips = ClipsConfig(n_frames=5, sampling="dense", span_s=5)
    times = plan_times(clips, seconds(1, 3), Fraction(10), MIDDLE).frames
    assert frame_numbers(times, Fraction(10)) == [15, 25, 29, 29, 29]
    tiny = plan_times(clips, (Fraction(101, 100), Fraction(102, 100)), Fraction(10), MIDDLE)
    assert set(frame_numbers(tiny.frames, Fraction(10))) == {10}


def test_no_frame_lies_outside_of_its_item() -> None:
    rng = np.random.default_rng(0)
    for clips in (
        ClipsConfig(n_frames=7),
        ClipsConfig(n_frames=7, sampling="dense", span_s=0.7),
        ClipsConfig(n_frames=7, sampling="dense", span_s=9),
    ):
        for _ in range(50):
            start = Fraction(int(rng.integers(0, 1000)), 97)
            span = (start, start + Fraction(int(rng.integers(20, 500)), 101))
            times = plan_times(clips, span, NTSC, drawn_place(clips, rng)).frames
            for time, number in zip(times, frame_numbers(times, NTSC), strict=True):
                assert span[0] <= time < span[1]
                assert number / NTSC <= time < (number + 1) / NTSC


def test_draws_fill_the_room() -> None:
    clips = ClipsConfig(media="both", sampling="dense", span_s=1, sync=False)
    rng = np.random.default_rng(0)
    places = [drawn_place(clips, rng) for _ in range(300)]
    for values in zip(*((p.window, p.phase, p.sound) for p in places), strict=True):
        numbers = np.array(values, float)
        assert 0 <= numbers.min() < 0.05
        assert 0.95 < numbers.max() < 1
    assert drawn_place(ClipsConfig(), np.random.default_rng(0)).sound is None


def test_sync_sound_has_the_middle_of_the_frames() -> None:
    clips = ClipsConfig(media="both", sampling="dense", span_s=2, sound_s=1)
    for window in (Fraction(0), Fraction(1, 3), Fraction(1)):
        times = plan_times(clips, seconds(10, 20), Fraction(25), Place(window, HALF, None))
        assert sum(times.sound) / 2 == sum(times.frames) / len(times.frames)
        assert times.sound[1] - times.sound[0] == 1
    longer = ClipsConfig(media="both", sampling="dense", span_s=2, sound_s=6)
    times = plan_times(longer, seconds(10, 20), Fraction(25), Place(Fraction(0), HALF, None))
    assert times.sound == seconds(10, 16), "moved into the item"


def test_async_sound_has_its_own_place() -> None:
    clips = ClipsConfig(media="both", sampling="dense", span_s=2, sound_s=4, sync=False)
    place = Place(Fraction(0), HALF, Fraction(1))
    times = plan_times(clips, seconds(10, 20), Fraction(25), place)
    assert times.frames[0] < 11
    assert times.sound == seconds(16, 20)


def test_sound_of_a_short_item_ends_with_it() -> None:
    clips = ClipsConfig(media="sound", sound_s=4)
    times = plan_times(clips, seconds(1, 3), Fraction(0), MIDDLE)
    assert times.sound == seconds(1, 3)
    assert times.frames == ()


def test_views_go_from_start_to_end() -> None:
    dense = ClipsConfig(sampling="dense", span_s=1, temporal_views=4, n_frames=1)
    views = [
        plan_times(dense, seconds(0, 10), Fraction(100), place).frames[0]
        for place in view_places(dense)
    ]
    assert views == [HALF, 3 + HALF, 6 + HALF, 9 + HALF]
    uniform = ClipsConfig(temporal_views=2, n_frames=2)
    views = [
        plan_times(uniform, seconds(0, 8), Fraction(100), place).frames
        for place in view_places(uniform)
    ]
    assert views == [seconds(1, 5), seconds(3, 7)], "the views of one item interleave"
    assert view_places(ClipsConfig()) == (MIDDLE,)


def test_shapes_of_clips() -> None:
    clips = ClipsConfig(media="both", n_frames=8, sound_s=8)
    assert (clips.frame_shape, clips.clip_frames) == ((3, 224, 224), 8)
    assert clips.sound_shape == (1, 800, 128)
    assert ClipsConfig(media="frames").sound_shape == ()
    sound = ClipsConfig(media="sound", sound_s=0.255, n_mels=16)
    assert (sound.frame_shape, sound.clip_frames, sound.sound_shape) == ((), 0, (1, 26, 16))
    dense = ClipsConfig(media="both", sampling="dense", frame_rate_hz=4, n_frames=8)
    assert dense.sound_shape == (1, 200, 128)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sampling": "dense"}, "dense sampling needs span_s or frame_rate_hz, one of them"),
        ({"sampling": "dense", "span_s": 1, "frame_rate_hz": 3}, "one of them"),
        ({"frame_rate_hz": 3}, "frame_rate_hz is for dense sampling"),
        ({"media": "both"}, "sound needs its length: give sound_s"),
        ({"media": "sound", "sampling": "dense", "frame_rate_hz": 2}, "frame_rate_hz is for"),
        ({"crops": 2}, "crops"),
        ({"n_frames": 0}, "n_frames"),
    ],
)
def test_spans_must_be_told_once(given: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ClipsConfig.parse(given)
