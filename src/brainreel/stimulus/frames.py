"""Film frames by film time, exact to PyAV's time stamps; films decoded once into an array."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import digest_json, fingerprint, read_json, write_aside, write_json
from brainreel.stimulus.film import (
    CUT_TOLERANCE_S,
    FilmInfo,
    open_film,
    picture_stream,
    probe_film,
)
from brainreel.timebase import Seconds, exact, samples_between

UInt8 = NDArray[np.uint8]
Size = tuple[int, int]
Colour = Literal["rgb", "grey"]

# Times further apart than this are reached by a jump to a key frame, nearer ones by decoding on.
JUMP_S = 4
FIRST_JUMP_S = Fraction(1, 2)
# Only these containers index every frame; in others a frame found by a jump may bear a wrong stamp.
_INDEXED = ("mp4", "matroska")
_FORMATS = {"rgb": "rgb24", "grey": "gray"}
_STORE_LAYOUT = 1


def read_frames(
    path: Path,
    times_s: Sequence[Seconds],
    size: Size | None = None,
    *,
    colour: Colour = "rgb",
    info: FilmInfo | None = None,
    n_threads: int | None = None,
) -> UInt8:
    """Read the frames on screen at given film times.

    frame(t) = the last frame whose time stamp, counted from the first frame's, is <= t

    Exact also for variable frame rates and for 30000/1001 Hz: stamps are compared as fractions,
    no frame is found by counting.

    Parameters
    ----------
    path
        The film.
    times_s
        F film times in seconds, 0 at the first frame, in any order; each from 0 to the film's end.
    size
        (H, W) of the result, shrunk by area averaging; None for the film's own.
    colour
        `"rgb"` for three channels, `"grey"` for one (luma).
    info
        What is known of the film, where it was asked before; None to probe it.
    n_threads
        Threads that decode; None for as many as FFmpeg takes. 1 where several processes read.

    Returns
    -------
    (F, C, H, W) uint8.

    Raises
    ------
    DataError
        If the film has no pictures, is damaged, or a time lies outside it.
    """
    times = [exact(time) for time in times_s]
    info = info or probe_film(path)
    height, width = _size_of(info, size)
    frames = np.empty((len(times), 3 if colour == "rgb" else 1, height, width), np.uint8)
    order = sorted(range(len(times)), key=times.__getitem__)
    sorted_times = [times[i] for i in order]
    found = iter_frames(path, sorted_times, size, colour=colour, info=info, n_threads=n_threads)
    for index, frame in zip(order, found, strict=True):
        frames[index] = frame
    return frames


def iter_frames(
    path: Path,
    times_s: Sequence[Seconds],
    size: Size | None = None,
    *,
    colour: Colour = "rgb",
    info: FilmInfo | None = None,
    n_threads: int | None = None,
) -> Iterator[UInt8]:
    """Yield the (C, H, W) uint8 frames of `read_frames` one by one, for times that never fall."""
    info = info or probe_film(path)
    times = [exact(time) for time in times_s]
    _check_times(info, times)
    convert = _Converter(_size_of(info, size), colour)
    last_frame, last_picture = None, np.empty(0, np.uint8)
    with _Decoder(info, n_threads) as decoder:
        for time in times:
            frame = decoder.shown_at(time)
            if frame is not last_frame:
                last_frame, last_picture = frame, convert(frame)
            yield last_picture


def _size_of(info: FilmInfo, size: Size | None) -> Size:
    if not info.has_pictures:
        raise DataError(f"{info.path}: the film has no pictures. Give a film that has.")
    if size is None:
        return info.height, info.width
    if min(size) < 1:
        raise DataError(f"{info.path}: frames of {size[0]} x {size[1]} pixels cannot be made.")
    return size


def _check_times(info: FilmInfo, times: Sequence[Fraction]) -> None:
    for time in times:
        if not 0 <= time <= info.duration_s:
            raise DataError(
                f"{info.path}: no frame at {float(time):.3f} s, the film lasts from 0 to "
                f"{float(info.duration_s):.3f} s. Trim the run to the film, or give film_start_s."
            )
    if any(later < earlier for earlier, later in pairwise(times)):
        raise DataError(f"{info.path}: times must not fall. Sort them, or use read_frames.")


class _Converter:
    """Turns decoded frames into (C, H, W) arrays, keeping the scaler between frames."""

    def __init__(self, size: Size, colour: Colour) -> None:
        self.height, self.width = size
        self.format = _FORMATS[colour]
        self.scaler = VideoReformatter()

    def __call__(self, frame: Any) -> UInt8:
        same = (frame.height, frame.width) == (self.height, self.width)
        # Without scaling PyAV's own default is used, so that pictures equal plain PyAV's.
        how = None if same else Interpolation.AREA
        scaled = self.scaler.reformat(frame, self.width, self.height, self.format, None, None, how)
        picture = np.asarray(scaled.to_ndarray(), np.uint8)
        channels_last = picture if picture.ndim == 3 else picture[..., None]
        return np.ascontiguousarray(channels_last.transpose(2, 0, 1))


class _Decoder:
    """Walks through a film's frames forwards, by decoding on or by jumping to key frames."""

    def __init__(self, info: FilmInfo, n_threads: int | None) -> None:
        self.info, self.n_threads = info, n_threads
        self.files = ExitStack()
        self.shown: Any = None
        self.following: Any = None

    def __enter__(self) -> _Decoder:
        self._open()
        return self

    def __exit__(self, *problem: Any) -> bool | None:
        return self.files.__exit__(*problem)

    def _open(self) -> None:
        self.container = self.files.enter_context(open_film(self.info.path))
        self.stream = picture_stream(self.container, self.info.path)
        # Frame threads pay off on large pictures; on small ones they only add hand-overs.
        large = self.info.height * self.info.width > 256 * 256
        self.stream.thread_type = "AUTO" if large else "SLICE"
        if self.n_threads:
            self.stream.codec_context.thread_count = self.n_threads
        self.frames = self.container.decode(self.stream)
        self.following = self._next()

    def _next(self) -> Any:
        """Return the next frame of the film, None at its end; refuse stamps that do not rise."""
        frame = next(self.frames, None)
        before = self.following or self.shown
        if frame is None:
            self._check_end(before)
        elif frame.pts is None or (before is not None and frame.pts <= before.pts):
            raise DataError(
                f"{self.info.path}: its time stamps are missing or run backwards, so no frame "
                "can be placed. Convert the film to MP4 or MKV with H.264."
            )
        return frame

    def _check_end(self, last: Any) -> None:
        """Refuse a film whose decoding ended well before its last packet's stamp."""
        end = 0 if last is None else last.pts * self.stream.time_base - self.info.start_s
        if last is None or end + CUT_TOLERANCE_S < self.info.last_frame_s:
            raise DataError(
                f"{self.info.path}: pictures can be decoded up to {float(end):.2f} s only, its "
                f"last frame is at {float(self.info.last_frame_s):.2f} s. The film is damaged; "
                "copy it again."
            )

    def shown_at(self, time: Fraction) -> Any:
        """Return the last frame stamped at or before a film time; times must not fall."""
        ticks = self.stream.time_base
        stamp = math.floor((time + self.info.start_s) / ticks)
        # Before anything was asked for, a jump loses nothing that was decoded.
        least = JUMP_S if self.shown else FIRST_JUMP_S
        far = self.following is not None and (stamp - self.following.pts) * ticks > least
        if far and any(name in self.container.format.name for name in _INDEXED):
            self._jump(stamp)
        while self.following is not None and self.following.pts <= stamp:
            self.shown = self.following
            self.following = self._next()
        # Where a packet is stamped a tick before its frame, the first frame is meant.
        return self.shown or self.following

    def _jump(self, stamp: int) -> None:
        """Go to the key frame before a stamp; start anew where the file allows no exact jump."""
        self.shown = self.following = None
        try:
            self.container.seek(stamp, stream=self.stream, backward=True)
            self.frames = self.container.decode(self.stream)
            # Pictures before the key frame may lean on ones that the jump left out.
            self.following = next((frame for frame in self.frames if frame.key_frame), None)
        except av.error.FFmpegError:
            self.following = None
        if self.following is None or self.following.pts > stamp:
            self.following = None
            self.files.close()
            self._open()


@dataclass(frozen=True, eq=False)
class FrameStore:
    """A film decoded once: equally spaced frames in a memory-mapped array.

    Attributes
    ----------
    path
        The `.npy` file.
    frames
        (F, C, H, W) uint8, read-only memory map. Frame i is on screen in the middle of
        [i / rate_hz, (i + 1) / rate_hz).
    rate_hz
        Frames per second.
    duration_s
        Length of the film in seconds.
    film_sha256
        Digest of the film's bytes.
    """

    path: Path
    frames: UInt8
    rate_hz: Fraction
    duration_s: Fraction
    film_sha256: str

    def indices(self, times_s: Sequence[Seconds]) -> NDArray[np.int64]:
        """Return the index floor(t * rate_hz) of the frame for each film time, clipped into it."""
        found = [math.floor(exact(time) * self.rate_hz) for time in times_s]
        return np.clip(np.asarray(found, np.int64), 0, len(self.frames) - 1)

    def at(self, times_s: Sequence[Seconds]) -> UInt8:
        """Return the (F, C, H, W) frames at film times, held still before and after the film."""
        return np.asarray(self.frames[self.indices(times_s)])


def store_frames(
    path: Path,
    out: Path,
    rate_hz: Seconds | None = None,
    size: Size | None = None,
    *,
    colour: Colour = "rgb",
) -> FrameStore:
    """Decode a film once into a memory-mappable array, or open the array made before.

    frame i = read_frames(film, (i + 1/2) / rate_hz), i = 0 .. ceil(duration * rate_hz) - 1

    The middle of each interval is taken, so that at the film's own rate each frame is stored
    exactly once even where a format rounds its time stamps. A store is used again only if the
    digest of the film and of the options are the same; other options make another file.

    Parameters
    ----------
    path
        The film.
    out
        Folder of the store; `<film>_frames-<digest>.npy` and a `.json` manifest are written aside
        and renamed into place, the manifest last.
    rate_hz
        Frames per second; None for the film's mean frame rate.
    size
        (H, W) in pixels; None for the film's own.
    colour
        `"rgb"` or `"grey"`.

    Raises
    ------
    DataError
        If the film cannot be decoded to its end (nothing is kept).
    OutputError
        If the array cannot be written.
    """
    info = probe_film(path)
    height, width = _size_of(info, size)
    rate = info.frame_rate_hz if rate_hz is None else exact(rate_hz)
    middles = [(i + Fraction(1, 2)) / rate for i in samples_between(0, info.duration_s, rate)]
    shape = [len(middles), 3 if colour == "rgb" else 1, height, width]
    source = fingerprint(info.path)
    manifest = {
        "layout": _STORE_LAYOUT,
        "film": source,
        "rate_hz": str(rate),
        "duration_s": str(info.duration_s),
        "shape": shape,
        "colour": colour,
    }
    stem = f"{info.path.stem}_frames-{digest_json(manifest)[:8]}"
    array, told = Path(out) / f"{stem}.npy", Path(out) / f"{stem}.json"
    if not (array.is_file() and told.is_file() and read_json(told) == manifest):
        times = [min(middle, info.duration_s) for middle in middles]
        _write_frames(array, shape, iter_frames(path, times, size, colour=colour))
        write_json(told, manifest)
    frames = np.load(array, mmap_mode="r", allow_pickle=False)
    return FrameStore(array, frames, rate, info.duration_s, source["sha256"])


def _write_frames(array: Path, shape: Sequence[int], frames: Iterator[UInt8]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    # Bytes are streamed: a full disk is then an error, where a memory map would be a crash.
    with write_aside(array) as aside, aside.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for frame in frames:
            stream.write(frame.tobytes())
