"""Windows of film cut into TRs, and the clips that end with each TR."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from brainreel.errors import DataError
from brainreel.layers.clip import Clip
from brainreel.shapes import check_shape

SILENCE = math.log(1e-10)
"""Log-mel energy of silence: of what was not shown."""


@dataclass
class FilmWindows:
    """U windows of film, each of T TRs; a sense that the network lacks is None.

    Attributes
    ----------
    frames
        (U, T, F, C, H, W) uint8, or float in [0, 1]: the frames of each TR.
    sound
        (U, T, C, S, M) log-mel energies: the S steps of each TR.
    frame_numbers
        (U, T, F) int64 numbers of the frames in their film, or None.
    shown
        (U, T) False at TRs in which nothing was shown, or None where all were.
    """

    frames: Tensor | None = None
    sound: Tensor | None = None
    frame_numbers: Tensor | None = None
    shown: Tensor | None = None

    def __post_init__(self) -> None:
        if self.frames is None and self.sound is None:
            raise DataError("a window of film has neither frames nor sound. Give one of them.")
        sizes: dict[str, int] = {}
        for axes, name in (
            ("U T F C H W", "frames"),
            ("U T C S M", "sound"),
            ("U T F", "frame_numbers"),
            ("U T", "shown"),
        ):
            value = getattr(self, name)
            if value is not None:
                found = check_shape(value, axes, name=name, **sizes)
                sizes |= {axis: found[axis] for axis in ("U", "T", "F") if axis in found}

    def to(self, *args: Any, **kwargs: Any) -> FilmWindows:
        """Return the windows on another device, by the arguments of `Tensor.to`."""
        held = {item.name: getattr(self, item.name) for item in fields(self)}
        return FilmWindows(
            **{k: v if v is None else v.to(*args, **kwargs) for k, v in held.items()}
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(U, T)."""
        given = self.frames if self.sound is None else self.sound
        assert given is not None
        return given.shape[0], given.shape[1]

    def clips(self, clip_trs: int) -> Clip:
        """Return the clips of the last `clip_trs` TRs up to and including each TR.

        clip[u (T - n + 1) + i] = TRs i .. i + n - 1 of window u, side by side in time

        TRs in which nothing was shown are black and silent, whatever they hold. Windows are cut
        by strides alone; memory is taken once, where a network needs the clips in one batch.
        """
        n_trs = self.shape[1]
        if n_trs < clip_trs:
            raise DataError(
                f"a window of {n_trs} TRs is shorter than the {clip_trs} TRs of a clip. Use longer "
                "windows, or a smaller clip_trs."
            )
        frames, sound, numbers = self.frames, self.sound, self.frame_numbers
        if self.shown is not None and clip_trs > 1:
            frames = None if frames is None else _blanked(frames, self.shown, 0)
            sound = None if sound is None else _blanked(sound, self.shown, SILENCE)
        return Clip(
            frames=None if frames is None else joined_clips(frames, clip_trs),
            sound=None if sound is None else joined_clips(sound, clip_trs, time=3),
            frame_numbers=None if numbers is None else joined_clips(numbers, clip_trs),
        )


def _blanked(values: Tensor, shown: Tensor, blank: float) -> Tensor:
    """Return (U, T, ...) values with `blank` where nothing was shown."""
    hidden = ~shown.reshape(*shown.shape, *[1] * (values.ndim - 2))
    return values.masked_fill(hidden, blank)


def joined_clips(values: Tensor, n: int, *, time: int = 2) -> Tensor:
    """Join each run of `n` TRs: (U, T, ..., S, ...) to (U (T - n + 1), ..., n S, ...).

    S, at axis `time`, is the time within a TR.
    """
    # The TRs of a clip come last, and are moved before the time within a TR.
    unfolded = values.unfold(1, n, 1).movedim(-1, time)
    return unfolded.flatten(time, time + 1).flatten(0, 1)
