"""Clip: what networks see and hear, in batches; and the scale on which they take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from brainreel.errors import DataError
from brainreel.shapes import check_shape


@dataclass
class Clip:
    """B clips of film; a sense that none of them has is None. Not frozen: Lightning rebuilds it.

    Attributes
    ----------
    frames
        (B, F, C, H, W) uint8, or float in [0, 1]; F = 1 is a picture.
    sound
        (B, C, S, M) log-mel spectrogram: S steps in time, M mel bands.
    frame_numbers
        (B, F) int64 numbers of the frames in their film; None for 0 .. F - 1.
    seen, heard
        (B,) bool: rows that have pictures, that have sound; what the others hold is not looked
        at. None where all have.
    """

    frames: Tensor | None = None
    sound: Tensor | None = None
    frame_numbers: Tensor | None = None
    seen: Tensor | None = None
    heard: Tensor | None = None

    def __post_init__(self) -> None:
        if self.frames is None and self.sound is None:
            raise DataError("a clip has neither frames nor sound. Give one of them.")

    def __len__(self) -> int:
        """Return the number B of clips."""
        given = self.frames if self.sound is None else self.sound
        assert given is not None
        return len(given)

    def __getitem__(self, rows: Tensor | slice) -> Clip:
        """Return some of the clips."""
        return Clip(**{k: None if v is None else v[rows] for k, v in self._tensors().items()})

    def to(self, *args: Any, **kwargs: Any) -> Clip:
        """Return the clips on another device."""
        return Clip(
            **{k: None if v is None else v.to(*args, **kwargs) for k, v in self._tensors().items()}
        )

    def need_frames(self, shape: Sequence[int], *, who: str) -> Tensor:
        """Return the (B, F, C, H, W) frames, checked to be of `shape` (C, H, W)."""
        if self.frames is None:
            raise DataError(f"the clip has no frames. '{who}' looks at pictures.")
        c, h, w = shape
        check_shape(self.frames, "B F C H W", name="frames", C=c, H=h, W=w)
        return self.frames

    def need_sound(self, shape: Sequence[int], *, who: str) -> Tensor:
        """Return the (B, C, S, M) sound, checked to be of `shape` (C, S, M)."""
        if self.sound is None:
            raise DataError(f"the clip has no sound. '{who}' listens.")
        c, s, m = shape
        check_shape(self.sound, "B C S M", name="sound", C=c, S=s, M=m)
        return self.sound

    def _tensors(self) -> dict[str, Tensor | None]:
        return {item.name: getattr(self, item.name) for item in fields(self)}


class Standardise(nn.Module):
    """y = (x - mean) / std, the scale on which a network was trained.

    Parameters
    ----------
    mean, std
        One number, or one a channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(value).reshape(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C, H, W) to float; uint8 counts as x / 255."""
        scale = 255.0 if x.dtype == torch.uint8 else 1.0
        # One pass over the pixels: the division by 255 is folded into the deviation.
        return (x - self.mean * scale) / (self.std * scale)
