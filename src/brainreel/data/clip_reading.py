"""Items read as clips: frames and spectrograms at planned moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from brainreel.data.augment import resized
from brainreel.data.clip_times import Place, Span, frame_numbers, plan_times
from brainreel.data.clips import ClipsConfig
from brainreel.data.labelled_check import begins_after_end
from brainreel.data.labelled_samples import Item
from brainreel.errors import DataError
from brainreel.stimulus.audio import log_mel, read_sound
from brainreel.stimulus.film import FilmInfo, glance_film
from brainreel.stimulus.frames import read_frames
from brainreel.stimulus.pictures import read_picture
from brainreel.timebase import samples_between

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class RawClip:
    """A clip as it was read, before crops and random changes.

    Attributes
    ----------
    frames
        (F, 3, H, W) uint8 at the size of reading, or None where the file has no pictures.
    numbers
        Numbers of the frames in their film.
    sound
        (S, M) log-mel spectrogram, or None where the file has no sound.
    """

    frames: Tensor | None
    numbers: tuple[int, ...]
    sound: Float32 | None


class MediaReader(Protocol):
    """What reads files: decoding each time, or a cache of what was decoded."""

    def info(self, item: Item) -> FilmInfo:
        """Return what a film or sound file holds."""

    def frames(self, item: Item, info: FilmInfo, times: Sequence[Fraction], size: Size) -> UInt8:
        """Return the (F, 3, H, W) frames at film times."""

    def mel(self, item: Item, info: FilmInfo, span: Span, clips: ClipsConfig) -> Float32:
        """Return the (S, M) spectrogram of a clip whose sound is a span."""


class Decoder:
    """Decodes what is asked for, each time."""

    def info(self, item: Item) -> FilmInfo:
        """Return what a film or sound file holds."""
        return glance_film(item.path)

    def frames(self, item: Item, info: FilmInfo, times: Sequence[Fraction], size: Size) -> UInt8:
        """Return the (F, 3, H, W) frames at film times."""
        # Beside other processes that read, more threads would only get in each other's way.
        n_threads = 1 if get_worker_info() else None
        return read_frames(item.path, times, size, info=info, n_threads=n_threads)

    def mel(self, item: Item, info: FilmInfo, span: Span, clips: ClipsConfig) -> Float32:
        """Return the (S, M) spectrogram of a clip whose sound is a span."""
        return spectrogram(read_sound(item.path, clips.sample_rate_hz, *span, info=info), clips)


def read_clips(
    item: Item, clips: ClipsConfig, places: Sequence[Place], reader: MediaReader
) -> list[RawClip]:
    """Read the clips of an item, all in one walk through its file.

    Parameters
    ----------
    item
        A film, a sound or a picture; a picture is one clip of one frame, wherever it lies.
    clips
        How clips are cut.
    places
        Where in the item each clip lies.
    reader
        Reads the file.

    Raises
    ------
    DataError
        If the file is missing or damaged, has nothing that the clips should hold, or its span
        begins after its end.
    """
    if item.kind == "picture":
        return [RawClip(_picture(item, clips), (0,), None)]
    info = reader.info(item)
    rate = info.frame_rate_hz
    plans = [plan_times(clips, span_of(item, info), rate, place) for place in places]
    frames: list[Tensor | None] = [None] * len(plans)
    if clips.sees and info.has_pictures:
        size = reading_size(clips, (info.height, info.width))
        times = [time for plan in plans for time in plan.frames]
        read = torch.from_numpy(reader.frames(item, info, times, size))
        frames = list(torch.split(read, clips.n_frames))
    heard = clips.hears and info.has_sound
    if not heard and (clips.media == "sound" or not info.has_pictures):
        raise DataError(f"{item.path}: has no {'sound' if clips.hears else 'pictures'}.")
    spans = {plan.sound for plan in plans} if heard else set()
    sounds = {span: reader.mel(item, info, span, clips) for span in spans}
    return [
        RawClip(shown, tuple(frame_numbers(plan.frames, rate)), sounds.get(plan.sound))
        for shown, plan in zip(frames, plans, strict=True)
    ]


def span_of(item: Item, info: FilmInfo) -> Span:
    """Return [start, stop) of an item in its file, cut off at the file's end.

    Raises
    ------
    DataError
        If it begins after the end.
    """
    start = item.start_s or Fraction(0)
    if start >= info.duration_s:
        raise DataError(f"{item.path}: {begins_after_end(item, info.duration_s)}.")
    stop = info.duration_s if item.stop_s is None else min(item.stop_s, info.duration_s)
    return start, stop


def reading_size(clips: ClipsConfig, own: Size) -> Size:
    """Return (H, W) at which a film of (H, W) is read: shrunk, never grown, never below the crop.

    The short side becomes `short_side`; without it, frames are as small as still covers the crop
    of a test.
    """
    cover = max(Fraction(clips.height, own[0]), Fraction(clips.width, own[1]))
    wanted = Fraction(clips.short_side, min(own)) if clips.short_side else cover
    scale = min(max(wanted, cover), Fraction(1))
    return max(1, round(own[0] * scale)), max(1, round(own[1] * scale))


def _picture(item: Item, clips: ClipsConfig) -> Tensor:
    picture = torch.from_numpy(read_picture(item.path))[None]
    size = int(picture.shape[-2]), int(picture.shape[-1])
    return resized(picture, reading_size(clips, size))


def spectrogram(sound: Float32, clips: ClipsConfig) -> Float32:
    """Return the (S, M) spectrogram of a clip's sound; what samples do not fill of it is silent."""
    n_samples = len(samples_between(0, clips.sound_window, clips.sample_rate_hz))
    whole = np.zeros(n_samples, np.float32)
    whole[: len(sound)] = sound[:n_samples]
    return log_mel(whole, clips.sample_rate_hz, clips.n_mels, clips.window_s, clips.hop_s)
