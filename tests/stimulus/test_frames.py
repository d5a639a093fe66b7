"""Frames by film time: each carries its number, so that being exact is proven."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from brainreel.errors import DataError, OutputError
from brainreel.stimulus import frames as module
from brainreel.stimulus.film import probe_film
from brainreel.stimulus.frames import iter_frames, read_frames, store_frames

Maker = Callable[..., Path]
Numbers = Callable[[np.ndarray], list[int]]

KINDS = {
    "constant": ("film.mp4", {}),
    "ntsc": ("film.mp4", {"rate": Fraction(30000, 1001)}),
    "milliseconds": ("film.mkv", {"rate": Fraction(30000, 1001)}),
    "late start": ("film.ts", {}),
    "program stream": ("film.mpg", {"codec": "mpeg2video"}),
    "variable": ("film.mp4", {"stamps_ms": "random"}),
    "variable mkv": ("film.mkv", {"stamps_ms": "random"}),
}


@pytest.fixture(params=KINDS)
def any_film(request: pytest.FixtureRequest, coded_film: Maker) -> Path:
    name, options = KINDS[request.param]
    chosen: dict[str, Any] = dict(options)
    if "stamps_ms" in chosen:
        steps = np.random.default_rng(1).integers(15, 120, 59)
        chosen["stamps_ms"] = [0, *np.cumsum(steps).tolist()]
    return coded_film(name, n_frames=60, **chosen)


def plain_pyav(film: Path) -> tuple[list[Fraction], np.ndarray]:
    """Decode all frames with PyAV alone: stamps from the first frame's, and pictures."""
    with av.open(str(film)) as container:
        found = list(container.decode(container.streams.video[0]))
        stamps = [(frame.pts - found[0].pts) * frame.time_base for frame in found]
        pictures = [frame.to_ndarray(format="rgb24").transpose(2, 0, 1) for frame in found]
    return stamps, np.stack(pictures)


def some_times(end: Fraction, seed: int = 0) -> list[Fraction]:
    draws = np.random.default_rng(seed).integers(0, int(end * 10**6), 40)
    return [Fraction(int(draw), 10**6) for draw in draws]


def test_equal_to_pyav_by_stamp(any_film: Path, numbers_of: Numbers) -> None:
    stamps, pictures = plain_pyav(any_film)
    times = [*stamps, *some_times(stamps[-1])]
    shown = [bisect_right(stamps, time) - 1 for time in times]
    frames = read_frames(any_film, times)
    assert numbers_of(frames) == shown
    np.testing.assert_array_equal(frames, pictures[shown])


def test_jumps_land_on_the_same_frames(
    any_film: Path, numbers_of: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps, _ = plain_pyav(any_film)
    monkeypatch.setattr(module, "JUMP_S", Fraction(1, 10))
    for seed in range(5):
        times = some_times(stamps[-1], seed)[:4]
        shown = [bisect_right(stamps, time) - 1 for time in times]
        assert numbers_of(read_frames(any_film, times)) == shown


def test_a_jump_skips_decoding(
    coded_film: Maker, numbers_of: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = coded_film(n_frames=500, gop=250)
    decoded = []
    original = module._Decoder._next

    def counted(self: Any) -> Any:
        decoded.append(1)
        return original(self)

    monkeypatch.setattr(module._Decoder, "_next", counted)
    # The second jump lands before where it set out, since key frames stand 10 s apart.
    assert numbers_of(read_frames(film, ["10.5", 18])) == [262, 450]
    assert len(decoded) < 250


def test_just_before_a_stamp_the_old_frame_stands(coded_film: Maker, numbers_of: Numbers) -> None:
    film = coded_film(rate=Fraction(30000, 1001))
    onset = Fraction(20 * 1001, 30000)
    tiny = Fraction(1, 10**9)
    assert numbers_of(read_frames(film, [onset - tiny, onset, onset + tiny])) == [19, 20, 20]


def test_the_last_frame_stands_to_the_end(coded_film: Maker, numbers_of: Numbers) -> None:
    film = coded_film(n_frames=50)
    assert numbers_of(read_frames(film, [0, "1.999", 2])) == [0, 49, 49]


def test_smaller_and_grey(coded_film: Maker, numbers_of: Numbers) -> None:
    film = coded_film()
    small = read_frames(film, ["0.5", 1], (32, 48))
    assert small.shape == (2, 3, 32, 48)
    assert numbers_of(small) == [12, 25]
    grey = read_frames(film, ["0.5", 1], colour="grey")
    assert grey.shape == (2, 1, 64, 64)
    assert numbers_of(grey) == [12, 25]


def test_grey_levels_survive(write_film: Maker) -> None:
    levels = [0, 1, 60, 128, 200, 255]
    flat = [np.full((32, 32, 3), level, np.uint8) for level in levels]
    film = write_film("grey.mp4", flat, rate=5)
    times = [(i + 0.5) / 5 for i in range(len(levels))]
    for colour in ("rgb", "grey"):
        found = read_frames(film, times, (8, 8), colour=colour).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(found, levels, atol=2.5)


def test_times_outside_the_film(coded_film: Maker) -> None:
    film = coded_film(n_frames=50)
    with pytest.raises(DataError, match=r"no frame at 2\.100 s, the film lasts from 0 to 2\.000 s"):
        read_frames(film, [1, "2.1"])
    with pytest.raises(DataError, match=r"no frame at -0\.100 s"):
        read_frames(film, ["-0.1"])


def test_streaming_wants_rising_times(coded_film: Maker) -> None:
    film = coded_film()
    with pytest.raises(DataError, match="times must not fall"):
        next(iter_frames(film, [1, 0]))


def test_no_pictures(write_film: Maker, tone: np.ndarray) -> None:
    film = write_film("tone.wav", sound=tone, sound_codec="pcm_s16le")
    with pytest.raises(DataError, match="the film has no pictures"):
        read_frames(film, [0])


def test_an_impossible_size(coded_film: Maker) -> None:
    with pytest.raises(DataError, match="frames of 0 x 8 pixels cannot be made"):
        read_frames(coded_film(), [0], (0, 8))


def damaged(film: Path) -> Path:
    content = bytearray(film.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    film.write_bytes(bytes(content))
    return film


def test_damaged_inside(write_film: Maker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
    film = damaged(write_film("film.mp4", noise))
    with pytest.raises(DataError, match="cannot be decoded to its end"):
        store_frames(film, film.parent / "store")
    assert list((film.parent / "store").glob("*")) == []


def test_frames_missing_at_the_end(coded_film: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    film = coded_film()
    told = replace(probe_film(film), last_frame_s=Fraction(4), duration_s=Fraction(5))
    monkeypatch.setattr(module, "probe_film", lambda _: told)
    with pytest.raises(DataError, match=r"up to 2\.36 s only, its last frame is at 4\.00 s"):
        read_frames(film, [3])


def test_stamps_that_run_backwards(coded_film: Maker) -> None:
    film = coded_film("film.avi", codec="libx264")
    with pytest.raises(DataError, match="missing or run backwards"):
        read_frames(film, [0, 1, 2])


@pytest.mark.parametrize("kind", ["constant", "ntsc", "program stream"])
def test_a_store_at_the_own_rate_holds_every_frame_once(
    kind: str, coded_film: Maker, numbers_of: Numbers, tmp_path: Path
) -> None:
    name, options = KINDS[kind]
    film = coded_film(name, **options)
    store = store_frames(film, tmp_path / "store")
    _, pictures = plain_pyav(film)
    np.testing.assert_array_equal(store.frames, pictures)
    assert isinstance(store.frames, np.memmap)
    assert not store.frames.flags.writeable
    assert numbers_of(store.at(["-1", 0, "0.5", 99])) == [0, 0, int(store.rate_hz / 2), 59]


def test_a_store_at_another_rate_and_size(
    coded_film: Maker, numbers_of: Numbers, tmp_path: Path
) -> None:
    store = store_frames(coded_film(), tmp_path, "12.5", (16, 16))
    assert store.frames.shape == (30, 3, 16, 16)
    assert numbers_of(store.frames) == list(range(1, 60, 2))


def test_a_store_is_made_once(
    coded_film: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = coded_film()
    made = store_frames(film, tmp_path / "store", size=(16, 16))

    def refuse(*_: Any, **__: Any) -> Iterator[np.ndarray]:
        raise AssertionError("decoded again")

    monkeypatch.setattr(module, "iter_frames", refuse)
    again = store_frames(film, tmp_path / "store", size=(16, 16))
    assert again.path == made.path
    np.testing.assert_array_equal(again.frames, made.frames)


def test_a_store_without_its_manifest_is_made_again(coded_film: Maker, tmp_path: Path) -> None:
    film = coded_film()
    made = store_frames(film, tmp_path / "store", size=(16, 16))
    whole = made.path.read_bytes()
    made.path.with_suffix(".json").unlink()
    made.path.write_bytes(b"half a file")
    store_frames(film, tmp_path / "store", size=(16, 16))
    assert made.path.read_bytes() == whole


def test_other_options_or_another_film_make_another_store(
    coded_film: Maker, tmp_path: Path
) -> None:
    film = coded_film()
    out = tmp_path / "store"
    paths = {
        store_frames(film, out).path,
        store_frames(film, out, size=(16, 16)).path,
        store_frames(film, out, rate_hz=5).path,
        store_frames(film, out, colour="grey").path,
        store_frames(coded_film(n_frames=50), out).path,
    }
    assert len(paths) == 5


def test_a_full_disk_leaves_nothing(
    coded_film: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Iterator[np.ndarray]:
        yield np.zeros((3, 64, 64), np.uint8)
        raise OSError(errno.ENOSPC, "No space left on device")

    film = coded_film()
    monkeypatch.setattr(module, "iter_frames", full)
    with pytest.raises(OutputError, match="cannot be written .No space left on device."):
        store_frames(film, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []
