"""How clips are cut from films and sounds: which frames, which span of sound, which size."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from brainreel.config import Config
from brainreel.data.augment import AugmentConfig
from brainreel.timebase import exact, samples_between


class ClipsConfig(Config):
    """What a clip holds, and how many views of an item are tested."""

    media: Literal["frames", "sound", "both"] = "frames"
    """What is taken from each file: its frames, its sound, or both."""
    n_frames: int = Field(8, ge=1)
    """Frames F of a clip of film; a picture is one frame."""
    sampling: Literal["uniform", "dense"] = "uniform"
    """uniform: frames evenly over the whole item. dense: over a window of it, placed at random in
    training."""
    span_s: float | None = Field(None, gt=0)
    """Seconds of the dense window; its frames stand in the middle of n_frames equal steps."""
    frame_rate_hz: float | None = Field(None, gt=0)
    """Instead of span_s: frames a second in the dense window, n_frames / span_s."""
    sync: bool = True
    """Whether sound is taken from the middle of where the frames are; else training draws its
    window by itself."""
    height: int = Field(224, ge=1)
    """Height of a frame in pixels, as the network takes it."""
    width: int = Field(224, ge=1)
    """Width of a frame in pixels, as the network takes it."""
    short_side: int | None = Field(None, ge=1)
    """Pixels to which the short side of a film is shrunk when it is read, before crops; none: as
    few as the crop of a test needs."""
    sound_s: float | None = Field(None, gt=0)
    """Seconds of sound; none: as long as the dense window."""
    sample_rate_hz: int = Field(16000, ge=1)
    """Samples of sound a second; 16 kHz, as AST takes it."""
    n_mels: int = Field(128, ge=1)
    """Mel bands of the spectrogram; 128, as AST takes it."""
    window_s: float = Field(0.025, gt=0)
    """Seconds of the Hamming window of a spectrum; 25 ms, as AST takes it."""
    hop_s: float = Field(0.010, gt=0)
    """Seconds from one spectrum to the next; 10 ms, as AST takes it."""
    temporal_views: int = Field(1, ge=1)
    """Test: windows evenly over the item, whose logits are averaged."""
    crops: Literal[1, 3] = 1
    """Test: the centre, or left, centre and right of the longer side."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training clips."""
    batch: int = Field(8, ge=1)
    """Items per batch and device."""
    n_workers: int = Field(0, ge=0)
    """Processes that read and decode; 0 reads in the main process."""
    cache: Path | None = None
    """Folder of films decoded once, frame by frame at their reading size, and of their sound; for
    small sets of short films. None: decode each time."""

    @model_validator(mode="after")
    def _spans_told(self) -> Self:
        dense = self.sampling == "dense" and self.sees
        if dense and (self.span_s is None) == (self.frame_rate_hz is None):
            raise ValueError("dense sampling needs span_s or frame_rate_hz, one of them")
        if not dense and self.frame_rate_hz is not None:
            raise ValueError("frame_rate_hz is for dense sampling of frames")
        if self.hears and self.sound_s is None and self.window is None:
            raise ValueError("sound needs its length: give sound_s in seconds")
        return self

    @property
    def sees(self) -> bool:
        """Whether clips have frames."""
        return self.media != "sound"

    @property
    def hears(self) -> bool:
        """Whether clips have sound."""
        return self.media != "frames"

    @property
    def window(self) -> Fraction | None:
        """Seconds of film in a dense window, exact; None for the whole item."""
        if self.sampling != "dense":
            return None
        if self.frame_rate_hz is not None:
            return self.n_frames / exact(self.frame_rate_hz)
        return None if self.span_s is None else exact(self.span_s)

    @property
    def sound_window(self) -> Fraction:
        """Seconds of sound in a clip, exact; 0 without sound."""
        if not self.hears:
            return Fraction(0)
        if self.sound_s is not None:
            return exact(self.sound_s)
        return self.window or Fraction(0)

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(C, H, W) of a frame, empty without frames."""
        return (3, self.height, self.width) if self.sees else ()

    @property
    def clip_frames(self) -> int:
        """Frames of a clip of film, 0 without frames."""
        return self.n_frames if self.sees else 0

    @property
    def sound_shape(self) -> tuple[int, ...]:
        """(C, S, M) of a spectrogram, empty without sound."""
        if not self.hears:
            return ()
        n_samples = len(samples_between(0, self.sound_window, self.sample_rate_hz))
        hop = round(self.hop_s * self.sample_rate_hz)
        return (1, math.ceil(n_samples / hop), self.n_mels)
