"""Clips read from films, sounds and pictures, decoded or from a cache, against what was written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from brainreel.data.clip_cache import CachedMedia
from brainreel.data.clip_reading import (
    Decoder,
    MediaReader,
    RawClip,
    read_clips,
    reading_size,
)
from brainreel.data.clip_times import Place, view_places
from brainreel.data.clips import ClipsConfig
from brainreel.data.labelled_samples import Item
from brainreel.errors import BrainreelError, DataError
from brainreel.stimulus.audio import log_mel, read_sound

from .media import RATE, touch, write_film, write_picture, write_sound

HALF = Fraction(1, 2)
MIDDLE = Place(HALF, HALF, None)
DENSE = {"sampling": "dense", "n_frames": 4, "height": 32, "width": 48}


def noise(seconds: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.3 * rng.normal(size=round(seconds * RATE))).clip(-0.9, 0.9).astype(np.float32)


@pytest.fixture(params=["decoded", "cached"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> MediaReader:
    return Decoder() if request.param == "decoded" else CachedMedia(tmp_path / "cache")


def read_one(item: Item, clips: ClipsConfig, reader: MediaReader) -> RawClip:
    (clip,) = read_clips(item, clips, [MIDDLE], reader)
    return clip


def test_frames_are_those_of_their_numbers(tmp_path: Path, reader: MediaReader) -> None:
    film = write_film(tmp_path / "a.mp4", n_frames=20, rate=10)
    item = Item(film, {}, Fraction(1, 2), Fraction(3, 2))
    clip = read_one(item, ClipsConfig(n_frames=5, height=32, width=48), reader)
    assert clip.numbers == (6, 8, 10, 12, 14)
    assert clip.frames is not None
    assert clip.frames.shape == (5, 3, 32, 48)
    levels = clip.frames.float().mean(dim=(1, 2, 3))
    np.testing.assert_allclose(levels, [60, 80, 100, 120, 140], atol=3)
    assert clip.sound is None


def test_all_views_are_read_as_each_alone(tmp_path: Path, reader: MediaReader) -> None:
    film = write_film(tmp_path / "a.mp4", sound=noise())
    clips = ClipsConfig(**DENSE, media="both", span_s=0.5, temporal_views=3)
    places = view_places(clips)
    together = read_clips(Item(film, {}), clips, places, reader)
    for place, clip in zip(places, together, strict=True):
        (alone,) = read_clips(Item(film, {}), clips, [place], reader)
        assert clip.numbers == alone.numbers
        assert clip.frames is not None
        assert torch.equal(clip.frames, alone.frames)
        np.testing.assert_array_equal(clip.sound, alone.sound)
    assert [clip.numbers[0] for clip in together] == [0, 8, 15]


def test_sound_is_that_of_its_span(tmp_path: Path, reader: MediaReader) -> None:
    file = write_sound(tmp_path / "a.wav", noise())
    clips = ClipsConfig(media="sound", sound_s=0.5, n_mels=32)
    item = Item(file, {}, Fraction(1), Fraction(2))
    clip = read_one(item, clips, reader)
    expected = log_mel(read_sound(file)[20000:28000], RATE, 32)
    np.testing.assert_allclose(clip.sound, expected, atol=1e-4)
    assert clip.sound is not None
    assert clip.sound.shape == clips.sound_shape[1:]
    assert clip.frames is None


def test_a_short_sound_ends_in_silence(tmp_path: Path, reader: MediaReader) -> None:
    file = write_sound(tmp_path / "a.wav", noise(0.3))
    clip = read_one(Item(file, {}), ClipsConfig(media="sound", sound_s=1.0), reader)
    assert clip.sound is not None
    assert clip.sound.shape == (100, 128)
    silent = clip.sound == clip.sound.min()
    assert silent[33:].all()
    assert not silent[:29].all(axis=1).any()


def test_a_silent_film_beside_others(tmp_path: Path, reader: MediaReader) -> None:
    film = write_film(tmp_path / "a.mp4")
    clip = read_one(Item(film, {}), ClipsConfig(**DENSE, media="both", span_s=1), reader)
    assert clip.sound is None
    assert clip.frames is not None
    with pytest.raises(DataError, match=r"a.mp4: has no sound"):
        read_one(Item(film, {}), ClipsConfig(media="sound", sound_s=1), reader)
    heard = write_sound(tmp_path / "b.mp4.wav", noise()).rename(tmp_path / "b.mkv")
    with pytest.raises(DataError, match=r"b.mkv: has no pictures"):
        read_one(Item(heard, {}), ClipsConfig(), reader)


def test_a_picture_is_one_frame(tmp_path: Path, reader: MediaReader) -> None:
    picture = write_picture(tmp_path / "a.png", 90)
    clip = read_one(Item(picture, {}), ClipsConfig(n_frames=8, height=16, width=16), reader)
    assert clip.frames is not None
    assert clip.frames.shape == (1, 3, 16, 24)
    assert (clip.frames == 90).all()
    assert clip.numbers == (0,)


def test_spans_end_with_the_film(tmp_path: Path, reader: MediaReader) -> None:
    film = write_film(tmp_path / "a.mp4", n_frames=20, rate=10)
    clips = ClipsConfig(n_frames=2, height=32, width=48)
    late = read_one(Item(film, {}, Fraction(1), Fraction(60)), clips, reader)
    assert late.numbers == (12, 17)
    with pytest.raises(DataError, match="its span starts at 2 s, the file lasts 2 s"):
        read_one(Item(film, {}, Fraction(2), Fraction(3)), clips, reader)


@pytest.mark.parametrize("kind", ["missing", "junk", "cut"])
def test_files_that_cannot_be_read(tmp_path: Path, reader: MediaReader, kind: str) -> None:
    path = tmp_path / "a.mp4"
    if kind == "junk":
        touch(path)
    if kind == "cut":
        whole = write_film(tmp_path / "b.mp4").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrainreelError, match=r"a.mp4"):
        read_one(Item(path, {}), ClipsConfig(), reader)


def test_the_size_of_reading() -> None:
    clips = ClipsConfig(height=224, width=224)
    assert reading_size(clips, (240, 320)) == (224, 299)
    assert reading_size(clips, (1080, 1920)) == (224, 398)
    assert reading_size(clips, (100, 300)) == (100, 300), "never grown"
    shorter = ClipsConfig(height=224, width=224, short_side=256)
    assert reading_size(shorter, (1080, 1920)) == (256, 455)
    assert reading_size(shorter, (1920, 1080)) == (455, 256)
    assert reading_size(shorter, (240, 320)) == (240, 320)
    small = ClipsConfig(height=224, width=224, short_side=64)
    assert reading_size(small, (240, 320)) == (224, 299), "never below the crop"


def test_a_cache_decodes_once_and_finds_its_files_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "a.mp4", sound=noise())
    clips = ClipsConfig(**DENSE, media="both", span_s=0.5)
    expected = read_one(Item(film, {}), clips, Decoder())
    first = read_one(Item(film, {}), clips, CachedMedia(tmp_path / "cache"))
    stored = {path.name for path in (tmp_path / "cache").glob("*.npy")}
    assert len(stored) == 2
    monkeypatch.setattr(
        "brainreel.stimulus.frames.iter_frames", lambda *_, **__: pytest.fail("decoded again")
    )
    monkeypatch.setattr(
        "brainreel.data.clip_cache.read_sound", lambda *_, **__: pytest.fail("decoded again")
    )
    for clip in (first, read_one(Item(film, {}), clips, CachedMedia(tmp_path / "cache"))):
        assert expected.frames is not None
        assert torch.equal(clip.frames, expected.frames)
        np.testing.assert_array_equal(clip.sound, expected.sound)
    assert {path.name for path in (tmp_path / "cache").glob("*.npy")} == stored
    monkeypatch.undo()
    write_film(film, sound=noise(), shade=40)
    changed = read_one(Item(film, {}), clips, CachedMedia(tmp_path / "cache"))
    assert not torch.equal(changed.frames, expected.frames)


def test_a_cache_without_room_in_memory_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "a.mp4", sound=noise())
    clips = ClipsConfig(**DENSE, media="both", span_s=0.5)
    kept = CachedMedia(tmp_path / "cache")
    monkeypatch.setattr("brainreel.data.clip_cache._MEMORY_BYTES", 70_000)
    narrow = CachedMedia(tmp_path / "cache")
    for _ in range(2):
        first, second = (read_one(Item(film, {}), clips, reader) for reader in (kept, narrow))
        assert first.frames is not None
        assert torch.equal(first.frames, second.frames)
        np.testing.assert_array_equal(first.sound, second.sound)
