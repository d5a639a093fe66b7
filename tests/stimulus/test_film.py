"""What a film holds, and every film that is none."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.stimulus.film import probe_film
from brainreel.timebase import TrGrid

Maker = Callable[..., Path]


def cut_in_half(film: Path) -> Path:
    cut = film.with_name(f"cut{film.suffix}")
    cut.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    return cut


def test_constant_rate(coded_film: Maker) -> None:
    info = probe_film(coded_film(n_frames=60, rate=25))
    assert (info.duration_s, info.frame_rate_hz) == (Fraction(60, 25), 25)
    assert (info.n_frames, info.height, info.width) == (60, 64, 64)
    assert info.constant_rate
    assert info.has_pictures
    assert not info.has_sound
    assert info.codec == "h264"


def test_ntsc_rate_is_exact(coded_film: Maker) -> None:
    info = probe_film(coded_film(n_frames=90, rate=Fraction(30000, 1001)))
    assert info.frame_rate_hz == Fraction(30000, 1001)
    assert info.duration_s == Fraction(90 * 1001, 30000)


def test_variable_rate_is_told(coded_film: Maker) -> None:
    stamps = np.cumsum(np.random.default_rng(0).integers(20, 90, 60)) - 20
    info = probe_film(coded_film("film.mkv", stamps_ms=stamps.tolist()))
    assert not info.constant_rate
    assert info.n_frames == 60
    last = Fraction(int(stamps[-1] - stamps[0]), 1000)
    assert last < info.duration_s <= last + Fraction(1, 10)


def test_sound_is_told(coded_film: Maker, tone: np.ndarray) -> None:
    info = probe_film(coded_film(n_frames=50, sound=tone))
    assert info.sample_rate_hz == 16000
    assert info.duration_s == 2


def test_sound_without_pictures(write_film: Maker, tone: np.ndarray) -> None:
    info = probe_film(write_film("tone.wav", sound=tone, sound_codec="pcm_s16le"))
    assert not info.has_pictures
    assert info.duration_s == 2
    assert info.frame_rate_hz == 0


def test_a_film_in_a_stream_that_starts_late(coded_film: Maker) -> None:
    info = probe_film(coded_film("film.ts", n_frames=50))
    assert info.start_s > 0
    assert info.duration_s == 2


def test_a_changed_file_is_read_again(coded_film: Maker) -> None:
    assert probe_film(coded_film(n_frames=50)).n_frames == 50
    assert probe_film(coded_film(n_frames=70)).n_frames == 70


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_truncated(name: str, coded_film: Maker) -> None:
    frames = 500
    film = coded_film(name, n_frames=frames, header={"movflags": "faststart"})
    with pytest.raises(DataError, match=r"truncated: it ends at .* s, its header says 20\.00 s"):
        probe_film(cut_in_half(film))


def test_truncated_inside_a_frame(write_film: Maker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
    film = write_film("film.avi", noise, codec="mpeg4")
    with pytest.raises(DataError, match="truncated: its last frame is cut off"):
        probe_film(cut_in_half(film))


def test_truncated_before_its_index(coded_film: Maker) -> None:
    with pytest.raises(DataError, match="cannot be read as a film .* cut off"):
        probe_film(cut_in_half(coded_film()))


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    with pytest.raises(DataError, match="empty .0 bytes."):
        probe_film(tmp_path / "film.mp4")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such film"):
        probe_film(tmp_path / "film.mp4")


def test_not_a_film(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("onset\tduration\n" * 100)
    with pytest.raises(DataError, match="cannot be read as a film"):
        probe_film(tmp_path / "film.mp4")


def test_zero_length(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
    with pytest.raises(DataError, match="zero length"):
        probe_film(path)


def test_unknown_codec(coded_film: Maker) -> None:
    film = coded_film("film.avi", codec="mpeg4")
    film.write_bytes(film.read_bytes().replace(b"FMP4", b"ZZZZ"))
    with pytest.raises(DataError, match="codec is not known"):
        probe_film(film)


def test_still_picture(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
    with pytest.raises(DataError, match="still picture"):
        probe_film(path)


def test_a_run_outside_the_film(coded_film: Maker) -> None:
    info = probe_film(coded_film(n_frames=50))
    info.check_overlaps(TrGrid(Fraction(1), 3, Fraction(-1)))
    with pytest.raises(DataError, match=r"film lasts 2\.0 s, but the TRs cover 2\.0 to 5\.0 s"):
        info.check_overlaps(TrGrid(Fraction(1), 3, Fraction(2)))
