"""Tiny films whose frames carry their number as a code of bright and dark blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

SIDE = 64
BITS = 16
BLOCK = SIDE // 4
SOUND_HZ = 16000


def coded_frame(number: int) -> NDArray[np.uint8]:
    """Draw a frame number as 4 x 4 blocks, one bit each, as (H, W, 3)."""
    bits = (number >> np.arange(BITS)) & 1
    blocks = (30 + 180 * bits).reshape(4, 4).astype(np.uint8)
    grey = blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return np.repeat(grey[..., None], 3, axis=2)


def number_of(frame: NDArray[np.uint8]) -> int:
    """Read the number of a (C, H, W) frame of any size."""
    height, width = frame.shape[1:]
    blocks = frame[0].reshape(4, height // 4, 4, width // 4).mean(axis=(1, 3))
    return int(((blocks.ravel() > 120) << np.arange(BITS)).sum())


def encode_film(
    path: Path,
    frames: Sequence[NDArray[np.uint8]] = (),
    *,
    rate: Fraction | int = 25,
    stamps_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    sound: NDArray[np.float32] | None = None,
    sound_codec: str = "aac",
    sound_start: int = 0,
    gop: int = 12,
    header: dict[str, str] | None = None,
) -> Path:
    """Encode (H, W, 3) frames and (channels, S) sound at 16 kHz with PyAV."""
    with av.open(str(path), "w", options=header or {}) as container:
        streams: list[Any] = []
        if len(frames):
            picture = container.add_stream(codec, rate=rate)
            picture.width, picture.height = frames[0].shape[1], frames[0].shape[0]
            picture.pix_fmt, picture.gop_size = "yuv420p", gop
            if stamps_ms is not None:
                picture.codec_context.time_base = Fraction(1, 1000)
            streams.append(picture)
        if sound is not None:
            layout = "stereo" if len(sound) == 2 else "mono"
            streams.append(container.add_stream(sound_codec, rate=SOUND_HZ))
            streams[-1].layout = layout
        for index, values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            if stamps_ms is not None:
                frame.pts, frame.time_base = stamps_ms[index], Fraction(1, 1000)
            container.mux(streams[0].encode(frame))
        if sound is not None:
            _encode_sound(container, streams[-1], sound, layout, sound_start)
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def _encode_sound(
    container: Any, stream: Any, sound: NDArray[np.float32], layout: str, first: int
) -> None:
    for start in range(0, sound.shape[1], 1024):
        part = np.ascontiguousarray(sound[:, start : start + 1024])
        kind = "fltp"
        if stream.codec_context.name == "pcm_s16le":
            kind, part = "s16", (part.T.reshape(1, -1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(part, format=kind, layout=layout)
        frame.sample_rate, frame.pts = SOUND_HZ, start + first
        frame.time_base = Fraction(1, SOUND_HZ)
        container.mux(stream.encode(frame))


@pytest.fixture
def numbers_of() -> Callable[[NDArray[np.uint8]], list[int]]:
    """Return the reader of the numbers that (F, C, H, W) frames carry."""
    return lambda frames: [number_of(frame) for frame in frames]


@pytest.fixture
def write_film(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of films: name, frames and options -> path."""
    return lambda name, frames=(), **options: encode_film(tmp_path / name, frames, **options)


@pytest.fixture
def coded_film(write_film: Callable[..., Path]) -> Callable[..., Path]:
    """Return a maker of films whose frames carry their number."""

    def make(name: str = "film.mp4", n_frames: int = 60, **options: Any) -> Path:
        return write_film(name, [coded_frame(i) for i in range(n_frames)], **options)

    return make


@pytest.fixture
def tone() -> NDArray[np.float32]:
    """Return 2 s of a 440 Hz tone at half scale, stereo."""
    times = np.arange(2 * SOUND_HZ) / SOUND_HZ
    wave = 0.5 * np.sin(2 * np.pi * 440 * times)
    return np.stack([wave, wave]).astype(np.float32)
