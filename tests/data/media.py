"""Tiny films whose frames and sound tell their time, pictures and sounds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16000


def write_film(
    path: Path,
    *,
    n_frames: int = 20,
    rate: int = 10,
    size: tuple[int, int] = (32, 48),
    sound: NDArray[np.float32] | None = None,
    shade: int = 0,
) -> Path:
    """Write a film whose frame i has the level 10 i + shade everywhere, with sound (S,) or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 5
        heard = None
        if sound is not None:
            heard = film.add_stream("aac", rate=RATE, layout="mono")
        for i in range(n_frames):
            picture = np.full((*size, 3), (10 * i + shade) % 256, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
        if heard is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                part = np.ascontiguousarray(sound[None, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = RATE, start
                frame.time_base = Fraction(1, RATE)
                film.mux(heard.encode(frame))
            film.mux(heard.encode())
    return path


def write_sound(path: Path, sound: NDArray[np.float32]) -> Path:
    """Write (S,) samples as a 16-bit WAV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        whole = (sound[None] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_picture(path: Path, level: int = 100, size: tuple[int, int] = (32, 48)) -> Path:
    """Write a PNG of one level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = av.VideoFrame.from_ndarray(np.full((*size, 3), level, np.uint8), format="rgb24")
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as file:
        stream = file.add_stream("png", rate=1)
        stream.height, stream.width = size
        stream.pix_fmt = "rgb24"
        file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path


def touch(path: Path, content: str = "") -> Path:
    """Write a file that only pretends to be a film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content or str(path))
    return path
