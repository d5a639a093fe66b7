"""Opening films and sound files, and what they hold: lengths, rates and the origin of film time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from brainreel.errors import DataError
from brainreel.files import require_file
from brainreel.timebase import TrGrid

# Containers whose header states the length exactly, so that a shorter content is a cut file.
_EXACT_HEADERS = ("mp4", "matroska", "avi")
CUT_TOLERANCE_S = Fraction(1, 2)
# Below it a film is read whole in less time than a clip of it takes to decode.
_SHORT_BYTES = 32 << 20


@dataclass(frozen=True)
class FilmInfo:
    """What a film file holds.

    Attributes
    ----------
    path
        The file.
    duration_s
        Seconds from the first frame to the end of the last one; of the sound, if it has no
        pictures.
    last_frame_s
        Film time of the last frame, in seconds.
    frame_rate_hz
        Mean frame rate, exact; 0 without pictures.
    n_frames
        Number of frames; 0 without pictures.
    constant_rate
        Whether all frames stand equally long, to one tick of the file's clock.
    height, width
        Size of a frame in pixels; 0 without pictures.
    codec
        Codec of the pictures; empty without.
    sample_rate_hz
        Sampling rate of the sound; 0 without sound.
    start_s
        Time stamp, in the file's own clock, of film time 0: that of the first frame.
    """

    path: Path
    duration_s: Fraction
    last_frame_s: Fraction
    frame_rate_hz: Fraction
    n_frames: int
    constant_rate: bool
    height: int
    width: int
    codec: str
    sample_rate_hz: int
    start_s: Fraction

    @property
    def has_pictures(self) -> bool:
        """Whether there is a film to see."""
        return self.n_frames > 0

    @property
    def has_sound(self) -> bool:
        """Whether there is something to hear."""
        return self.sample_rate_hz > 0

    def check_overlaps(self, grid: TrGrid) -> None:
        """Refuse a run that shows nothing of the film; `TrGrid.check_covered` is the strict twin.

        Raises
        ------
        DataError
            If no TR of `grid` falls inside the film.
        """
        if grid.stop_s <= 0 or grid.first_s >= self.duration_s:
            raise DataError(
                f"{self.path}: film lasts {float(self.duration_s):.1f} s, but the TRs cover "
                f"{float(grid.first_s):.1f} to {float(grid.stop_s):.1f} s of film time, outside "
                "it. Give the right film_start_s."
            )


@dataclass
class _Track:
    """Times of one stream's packets, in ticks."""

    starts: list[int]
    end: int = 0
    end_of_all: int = 0
    is_cut: bool = False


def probe_film(path: Path) -> FilmInfo:
    """Read what a film holds from its packets' time stamps, without decoding it.

    duration = max over frames (stamp + length) - stamp of the first frame

    The whole file is read once (and remembered until it changes), since headers of many formats
    only estimate these numbers.

    Parameters
    ----------
    path
        A film, or a sound file.

    Raises
    ------
    DataError
        If the file is missing, empty, not a film, a still picture, of zero length, of an unknown
        codec, or cut off before the end that its header states.
    """
    path = require_file(path, "film")
    status = path.stat()
    return _probe(path, status.st_mtime_ns, status.st_size)


def glance_film(path: Path) -> FilmInfo:
    """Tell what a film holds by its header, without reading it, where it is long and says so.

    Reading a film of an hour to take two seconds of it would take longer than the two seconds.
    Films below 32 MB, and those whose header does not state start, length and rate, are probed
    (`probe_film`). `constant_rate` is taken for granted, and `n_frames` is length times rate.
    """
    path = require_file(path, "film")
    status = path.stat()
    if status.st_size < _SHORT_BYTES:
        return probe_film(path)
    return _glance(path, status.st_mtime_ns, status.st_size) or probe_film(path)


@contextmanager
def open_film(path: Path, what: str = "film") -> Iterator[Any]:
    """Open a film (or a `what`) as a PyAV container; FFmpeg's faults become `DataError`s."""
    path = require_file(path, what)
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes). Copy the {what} again.")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as problem:
        raise DataError(
            f"{path}: cannot be read as a {what} ({problem.strerror}). It is none, or it is cut "
            "off; copy it again, or convert it to a usual format."
        ) from problem
    with container:
        try:
            yield container
        except av.error.DecoderNotFoundError as problem:
            raise _unknown_codec(path) from problem
        except av.error.FFmpegError as problem:
            raise DataError(
                f"{path}: the {what} cannot be decoded to its end ({problem.strerror}). It is "
                "truncated or damaged; copy it again."
            ) from problem


def picture_stream(container: Any, path: Path) -> Any:
    """Return the film's picture stream (cover art is none), or say that it has no pictures."""
    streams = _streams(container, "video")
    if not streams:
        raise DataError(f"{path}: the film has no pictures. Give a film, or use its sound only.")
    return _known(streams[0], path)


def sound_stream(container: Any, path: Path) -> Any:
    """Return the film's first sound stream, or say that it is silent."""
    streams = _streams(container, "audio")
    if not streams:
        raise DataError(
            f"{path}: the film has no sound. Give a film with sound, or use its pictures only."
        )
    return _known(streams[0], path)


def _streams(container: Any, kind: str) -> list[Any]:
    cover = av.stream.Disposition.attached_pic
    return [s for s in container.streams if s.type == kind and not s.disposition & cover]


def _known(stream: Any, path: Path) -> Any:
    if stream.codec_context is None:
        raise _unknown_codec(path)
    return stream


def _unknown_codec(path: Path) -> DataError:
    return DataError(f"{path}: its codec is not known. Convert the film to H.264 with AAC sound.")


@lru_cache(maxsize=64)
def _probe(path: Path, _modified_ns: int, _n_bytes: int) -> FilmInfo:
    with open_film(path) as container:
        if container.format.name.endswith("_pipe") or container.format.name == "image2":
            raise DataError(f"{path}: a still picture, no film. Use read_picture for stills.")
        pictures = [_known(s, path) for s in _streams(container, "video")[:1]]
        sounds = [_known(s, path) for s in _streams(container, "audio")[:1]]
        if not pictures and not sounds:
            raise DataError(f"{path}: the file has neither pictures nor sound.")
        main = (pictures or sounds)[0]
        tracks = _scan(container, pictures + sounds)
        _check_whole(container, path, main, tracks[main.index])
        return _describe(path, main, tracks[main.index], bool(pictures), sounds)


@lru_cache(maxsize=4096)
def _glance(path: Path, _modified_ns: int, _n_bytes: int) -> FilmInfo | None:
    with open_film(path) as container:
        pictures = [_known(s, path) for s in _streams(container, "video")[:1]]
        sounds = [_known(s, path) for s in _streams(container, "audio")[:1]]
        if not pictures:
            return None
        main = pictures[0]
        duration, rate = _told_duration(container, main), main.average_rate
        if duration <= 0 or not rate or main.start_time is None:
            return None
        return FilmInfo(
            path=path,
            duration_s=duration,
            last_frame_s=duration - 1 / Fraction(rate),
            frame_rate_hz=Fraction(rate),
            n_frames=round(duration * rate),
            constant_rate=True,
            height=main.height,
            width=main.width,
            codec=main.codec_context.name,
            sample_rate_hz=int(sounds[0].codec_context.sample_rate) if sounds else 0,
            start_s=main.start_time * main.time_base,
        )


def _scan(container: Any, streams: list[Any]) -> dict[int, _Track]:
    """Collect the time stamps of all packets; those that an edit list hides count as bytes only."""
    tracks = {stream.index: _Track([]) for stream in streams}
    try:
        for packet in container.demux(*streams):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None or packet.size == 0:
                continue
            track, end = tracks[packet.stream.index], stamp + (packet.duration or 0)
            track.end_of_all = max(track.end_of_all, end)
            # FFmpeg marks a packet that the file's end cuts; a faulty one before it may play on.
            track.is_cut = packet.is_corrupt
            if not packet.is_discard:
                track.starts.append(stamp)
                track.end = max(track.end, end)
    except av.error.EOFError:
        pass
    return tracks


def _check_whole(container: Any, path: Path, main: Any, track: _Track) -> None:
    if not track.starts:
        raise DataError(f"{path}: the film has zero length (no frame in it). Export it again.")
    told = _told_duration(container, main)
    found = track.end_of_all * main.time_base
    if told > found + CUT_TOLERANCE_S:
        raise DataError(
            f"{path}: truncated: it ends at {float(found):.2f} s, its header says "
            f"{float(told):.2f} s. Copy the film again."
        )
    if track.is_cut:
        raise DataError(f"{path}: truncated: its last frame is cut off. Copy the film again.")


def _told_duration(container: Any, main: Any) -> Fraction:
    """Return the length that the header states, 0 where it states none or guesses."""
    if not any(name in container.format.name for name in _EXACT_HEADERS):
        return Fraction(0)
    if main.duration is not None:
        return Fraction(main.duration * main.time_base)
    if len(container.streams) == 1:
        return Fraction(container.duration or 0, 1_000_000)
    return _matroska_duration(main)


def _matroska_duration(stream: Any) -> Fraction:
    """Read the stream length that Matroska keeps as a tag, `HH:MM:SS.fraction`; 0 if absent."""
    parts = stream.metadata.get("DURATION", "").split(":")
    if len(parts) != 3:
        return Fraction(0)
    hours, minutes, seconds = (Fraction(part) for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _describe(
    path: Path, main: Any, track: _Track, has_pictures: bool, sounds: list[Any]
) -> FilmInfo:
    starts = sorted(track.starts)
    steps = [later - earlier for earlier, later in pairwise(starts)]
    # A last frame without a stated length stands as long as the one before it.
    end = track.end if track.end > starts[-1] else starts[-1] + (steps[-1] if steps else 1)
    duration = (end - starts[0]) * main.time_base
    rate = Fraction(0)
    if has_pictures:
        nominal = main.average_rate
        rate = Fraction(nominal) if nominal else len(starts) / duration
    return FilmInfo(
        path=path,
        duration_s=duration,
        last_frame_s=(starts[-1] - starts[0]) * main.time_base,
        frame_rate_hz=rate,
        n_frames=len(starts) if has_pictures else 0,
        constant_rate=not steps or max(steps) - min(steps) <= 1,
        height=main.height if has_pictures else 0,
        width=main.width if has_pictures else 0,
        codec=main.codec_context.name if has_pictures else "",
        sample_rate_hz=int(sounds[0].codec_context.sample_rate) if sounds else 0,
        start_s=starts[0] * main.time_base,
    )
