"""A procedural film with sound, and the tracks that the simulated brains respond to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.simulate.levels import cuts_between, spread
from brainreel.simulate.scenes import LUMA, Scene, draw_scene, render_scene
from brainreel.simulate.sound import Soundtrack, make_soundtrack
from brainreel.timebase import Seconds, exact, samples_between

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FilmTracks:
    """What a film shows and sounds like, moment by moment, measured before compression.

    Attributes
    ----------
    frame_rate_hz
        Frames per second; frame i is shown from i / frame_rate_hz.
    luminance
        (F,) mean luma of each frame, in [0, 1].
    contrast
        (F,) standard deviation of luma over the frame.
    motion
        (F,) mean absolute change of luma since the frame before, times the frame rate (per s).
    sound_rate_hz
        Sound values per second.
    pitch_hz, loudness_db
        (N,) fundamental or centre frequency, and level in dB of full scale.
    cuts_s
        Film time of each scene's first frame, in seconds.
    """

    frame_rate_hz: Fraction
    luminance: Float32
    contrast: Float32
    motion: Float32
    sound_rate_hz: int
    pitch_hz: Float32
    loudness_db: Float32
    cuts_s: NDArray[np.float64]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.luminance)


def render_film(
    path: Path,
    duration_s: Seconds,
    seed: int,
    *,
    frame_rate_hz: Seconds = 12.5,
    size: tuple[int, int] = (96, 128),
    sample_rate_hz: int = 16000,
) -> FilmTracks:
    """Render a film of moving textured objects with sound, and return its tracks.

    Scenes last 3 to 9 s and sections of sound 2.5 to 8 s, each with its own levels, so that
    luminance, contrast, motion, pitch and loudness change at the pace that fMRI can follow.

    Parameters
    ----------
    path
        The MP4 file to write (H.264 and AAC; MPEG-4 where the encoder lacks H.264).
    duration_s
        Length in seconds; a whole number of frames.
    seed
        Draws the film; the same seed gives the same film.
    frame_rate_hz
        Frames per second, such as 12.5 or "30000/1001".
    size
        (H, W) of a frame in pixels, both even.
    sample_rate_hz
        Audio samples per second.

    Raises
    ------
    DataError
        If the size is odd, or the film would hold no frame.
    """
    rate = exact(frame_rate_hz)
    n_frames = len(samples_between(0, duration_s, rate))
    if n_frames < 1:
        raise DataError(f"{path}: a film of {float(exact(duration_s)):g} s has no frame.")
    seconds = float(n_frames / rate)
    picture_rng, sound_rng = np.random.default_rng(seed).spawn(2)
    sound = make_soundtrack(seconds, sample_rate_hz, sound_rng)
    scenes = _draw_scenes(seconds, picture_rng)
    measures = np.empty((n_frames, 3), dtype=np.float32)
    write_film(
        path,
        _measured(_frames(scenes, n_frames, rate, size), rate, measures),
        sound.samples,
        frame_rate_hz=rate,
        size=size,
        sample_rate_hz=sample_rate_hz,
    )
    return _tracks(rate, measures, sound, np.array([start for start, _ in scenes]))


def write_film(
    path: Path,
    frames: Iterable[UInt8],
    samples: Float32 | None,
    *,
    frame_rate_hz: Seconds,
    size: tuple[int, int],
    sample_rate_hz: int = 16000,
) -> None:
    """Encode frames and sound into an MP4 file; the same input gives the same bytes.

    Parameters
    ----------
    path
        The file to write (H.264 and AAC; MPEG-4 where the encoder lacks H.264).
    frames
        (H, W, 3) uint8 each, taken one at a time.
    samples
        (S,) mono sound in [-1, 1]; None for a silent film.
    frame_rate_hz
        Frames per second.
    size
        (H, W), both even.
    sample_rate_hz
        Audio samples per second.

    Raises
    ------
    DataError
        If the size is odd or below 16.
    """
    if size[0] % 2 or size[1] % 2 or min(size) < 16:
        raise DataError(f"{path}: frames of {size[0]} x {size[1]}; give even sizes from 16 up.")
    rate = exact(frame_rate_hz)
    with write_aside(Path(path)) as aside, av.open(str(aside), "w", format="mp4") as container:
        video = _open_video(container, rate, size)
        audio = None if samples is None else _open_audio(container, sample_rate_hz)
        for index, frame in enumerate(frames):
            _encode_frame(container, video, frame, index, rate)
        container.mux(video.encode(None))
        if samples is not None and audio is not None:
            _encode_sound(container, audio, samples, sample_rate_hz)


def _measured(frames: Iterable[UInt8], rate: Fraction, measures: Float32) -> Iterator[UInt8]:
    """Yield the frames, and note (F, 3) luminance, contrast and motion of each."""
    before: Float32 | None = None
    for index, frame in enumerate(frames):
        luma = frame @ LUMA * np.float32(1 / 255)
        change = 0.0 if before is None else float(np.abs(luma - before).mean())
        measures[index] = luma.mean(), luma.std(), change * float(rate)
        before = luma
        yield frame


def _tracks(
    rate: Fraction, measures: Float32, sound: Soundtrack, cuts_s: NDArray[np.float64]
) -> FilmTracks:
    luminance, contrast, motion = measures.T.copy()
    hertz = round(len(sound.pitch_hz) / float(len(luminance) / rate))
    return FilmTracks(
        rate, luminance, contrast, motion, hertz, sound.pitch_hz, sound.loudness_db, cuts_s
    )


def _draw_scenes(seconds: float, rng: np.random.Generator) -> list[tuple[float, Scene]]:
    starts = cuts_between(seconds, 3.0, 9.0, rng)[:-1]
    luminance = spread(len(starts), 0.2, 0.75, rng)
    contrast = spread(len(starts), 0.05, 0.26, rng)
    motion = spread(len(starts), 0.03, 1.1, rng)
    return [
        (float(start), draw_scene(light, depth, speed, rng))
        for start, light, depth, speed in zip(starts, luminance, contrast, motion, strict=True)
    ]


def _frames(
    scenes: list[tuple[float, Scene]], n_frames: int, rate: Fraction, size: tuple[int, int]
) -> Iterator[UInt8]:
    """Yield (H, W, 3) frames in order, one scene in memory at a time."""
    stop_s = float(n_frames / rate)
    stops = [start for start, _ in scenes[1:]] + [stop_s]
    for (start, scene), stop in zip(scenes, stops, strict=True):
        indices = np.array(samples_between(start, stop, rate))
        if len(indices):
            shown = render_scene(scene, indices / float(rate) - start, size)
            yield from np.rint(shown * 255).astype(np.uint8)


def _open_video(container: OutputContainer, rate: Fraction, size: tuple[int, int]) -> VideoStream:
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    video = container.add_stream(codec, rate=rate)
    if not isinstance(video, VideoStream):
        raise DataError(f"The codec {codec} makes no pictures. Install av from its wheel.")
    video.height, video.width, video.pix_fmt = *size, "yuv420p"
    video.codec_context.time_base = 1 / rate
    # One thread, so that the same film has the same bytes on every machine.
    video.codec_context.thread_count = 1
    video.codec_context.gop_size = 25
    if codec == "libx264":
        video.options = {"preset": "veryfast", "crf": "20"}
        # Over other widths than multiples of eight macroblocks x264 looks ahead at memory that was
        # never written, and the bytes come out by chance.
        if -(-size[1] // 16) % 8:
            video.options = {**video.options, "x264-params": "rc-lookahead=0"}
    else:
        video.bit_rate = 1_000_000
    return video


def _open_audio(container: OutputContainer, sample_rate_hz: int) -> AudioStream:
    audio = container.add_stream("aac", rate=sample_rate_hz, layout="mono")
    if not isinstance(audio, AudioStream):
        raise DataError("The codec aac makes no sound. Install av from its wheel.")
    audio.bit_rate = 64_000
    return audio


def _encode_frame(
    container: OutputContainer, video: VideoStream, frame: UInt8, index: int, rate: Fraction
) -> None:
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
    picture.pts, picture.time_base = index, 1 / rate
    container.mux(video.encode(picture))


def _encode_sound(
    container: OutputContainer, audio: AudioStream, samples: Float32, sample_rate_hz: int
) -> None:
    for start in range(0, len(samples), 1024):
        block = np.ascontiguousarray(samples[None, start : start + 1024])
        heard = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        heard.sample_rate = sample_rate_hz
        heard.pts, heard.time_base = start, Fraction(1, sample_rate_hz)
        container.mux(audio.encode(heard))
    container.mux(audio.encode(None))
