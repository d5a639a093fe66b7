"""Sparse tubes: a clip's tokens from a few large and small boxes in space and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainreel.config import Config
from brainreel.errors import DataError
from brainreel.layers.tokens import grid_centres, sincos_positions
from brainreel.layers.tube_kernels import Size, TubeKernels
from brainreel.shapes import check_shape

Lengths = tuple[
    Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]
]
Starts = tuple[
    Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]
]
_DIMS = (1, 3, 4)  # where time, height and width stand in (B, F, C, H, W)


class Tube(Config):
    """A box of pixels and the grid on which it is laid, each as (time, height, width)."""

    kernel: Lengths
    """Frames, rows and columns of a box."""
    stride: Lengths
    """From one token to the next."""
    offset: Starts = (0, 0, 0)
    """Where the first box begins."""
    joined: Lengths = (1, 1, 1)
    """Space to depth: so many neighbouring boxes along each axis, 1, 2 or 4 in all, a fraction of
    the stride apart and of a fraction of the channels each, are joined into one token."""

    @model_validator(mode="after")
    def _can_be_joined(self) -> Tube:
        if self.n_joined not in (1, 2, 4):
            raise ValueError(f"joined makes {self.n_joined} boxes a token; it may be 1, 2 or 4")
        if any(j > s for j, s in zip(self.joined, self.stride, strict=True)):
            raise ValueError(
                "joined boxes need a stride of at least as many pixels along each axis"
            )
        return self

    @property
    def n_joined(self) -> int:
        """Boxes of one token."""
        return math.prod(self.joined)

    @property
    def step(self) -> Size:
        """From one of the boxes that are joined to the next."""
        t, h, w = (s // j for s, j in zip(self.stride, self.joined, strict=True))
        return t, h, w

    @property
    def reach(self) -> Size:
        """(t, h, w) that one token sees, from its first box to its last."""
        each = zip(self.kernel, self.joined, self.step, strict=True)
        t, h, w = (k + (j - 1) * d for k, j, d in each)
        return t, h, w

    @property
    def is_flat(self) -> bool:
        """Whether a token sees one frame, so that pictures have this tube too."""
        return self.reach[0] == 1

    def grid(self, size: Size) -> Size:
        """Return the tokens along (t, h, w) in a clip of `size` (F, H, W).

        n_a = floor((size_a - offset_a - kernel_a) / stride_a) + 1; joined boxes do not make it
        fewer. A picture (F = 1) has the tokens of one frame, wherever the tube begins in time.

        Raises
        ------
        DataError
            Where not one box fits, or a picture meets a tube through several frames.
        """
        f, h, w = size
        started = (0 if f == 1 and self.is_flat else self.offset[0], *self.offset[1:])
        needed = [o + k for o, k in zip(started, self.kernel, strict=True)]
        if f < needed[0]:
            raise DataError(
                f"a clip of {f} frames is too short for a tube of {self.kernel[0]} frames from "
                f"frame {self.offset[0]}. Give at least {needed[0]} frames, or shorter tubes."
            )
        if h < needed[1] or w < needed[2]:
            raise DataError(
                f"frames of {h} x {w} pixels are too small for a tube of {self.kernel[1]} x "
                f"{self.kernel[2]} from {self.offset[1]}, {self.offset[2]}. Give at least "
                f"{needed[1]} x {needed[2]} pixels, or smaller tubes."
            )
        each = zip(size, needed, self.stride, strict=True)
        n_t, n_h, n_w = ((n - end) // s + 1 for n, end, s in each)
        return n_t, n_h, n_w

    def centres(self, size: Size) -> Tensor:
        """Return the (N, 3) centres of the tokens in frames and pixels, in C order of the grid.

        centre_a = offset_a + stride_a i_a + floor(reach_a / 2), so that a flat tube stands at its
        own frame.
        """
        first = [o + r // 2 for o, r in zip(self.offset, self.reach, strict=True)]
        index = grid_centres(self.grid(size))
        return index * torch.tensor(self.stride) + torch.tensor(first)

    def cut(self, frames: Tensor) -> Tensor:
        """(B, F, C, H, W) frames to (B, N, J, t, C, h, w) boxes, J of them a token.

        Boxes that joining brings beyond the end see the last frame, row or column again.
        """
        size: Size = (frames.shape[1], *frames.shape[3:])
        counts = self.grid(size)
        boxes = frames
        for axis, dim in enumerate(_DIMS):
            start = 0 if size[0] == 1 and axis == 0 else self.offset[axis]
            needed = (counts[axis] - 1) * self.stride[axis] + self.reach[axis]
            boxes = _from(boxes, dim, start, needed)
        for dim, reach, stride in zip(_DIMS, self.reach, self.stride, strict=True):
            boxes = boxes.unfold(dim, reach, stride)
        for dim, kernel, step in zip((5, 6, 7), self.kernel, self.step, strict=True):
            boxes = boxes.unfold(dim, kernel, step)
        # (B, T', C, H', W', jt, jh, jw, t, h, w); only here are pixels copied.
        boxes = boxes.permute(0, 1, 3, 4, 5, 6, 7, 8, 2, 9, 10)
        t, h, w = self.kernel
        return boxes.reshape(len(frames), math.prod(counts), self.n_joined, t, -1, h, w)


def tubes_used(tubes: Sequence[Tube], n_frames: int) -> list[int]:
    """Return the numbers of the tubes that see a clip of so many frames.

    Raises
    ------
    DataError
        For a picture (one frame), where no tube is flat.
    """
    numbers = [i for i, tube in enumerate(tubes) if n_frames > 1 or tube.is_flat]
    if not numbers:
        raise DataError(
            "a picture was given, but every tube goes through several frames. Give clips, or add a "
            "tube of one frame, such as kernel [1, 16, 16]."
        )
    return numbers


def tube_positions(tubes: Sequence[Tube], size: Size, width: int, tau: float = 10000.0) -> Tensor:
    """Return the (N, D) sin-cos codes of all centres in a clip of `size` (F, H, W), tube by tube.

    Each of t, h and w takes a third of the width D, sines before cosines; a rest stays 0.
    """
    centres = [tubes[number].centres(size) for number in tubes_used(tubes, size[0])]
    return sincos_positions(torch.cat(centres), width, tau)


def _from(frames: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return `length` entries of an axis from `start`, the last one repeated where it ends."""
    left = frames.shape[dim] - start
    if left >= length:
        return frames.narrow(dim, start, length)
    last = frames.narrow(dim, frames.shape[dim] - 1, 1)
    repeats = [length - left if d == dim else -1 for d in range(frames.dim())]
    return torch.cat([frames.narrow(dim, start, left), last.expand(repeats)], dim=dim)


class TubeTokens(nn.Module):
    """Cut tubes of pixels out of a clip and project each to a token; most of the clip is not read.

    Piergiovanni, Kuo & Angelova 2023, "Rethinking Video ViTs": sparse video tubes.

    Parameters
    ----------
    channels
        Channels C of a pixel.
    width
        Width D of a token; a multiple of the boxes joined into one.
    tubes
        At least one.
    scale
        Brings pixels to scale; called on the cut boxes, (..., C, h, w).
    shared, rescale
        See `TubeKernels`.
    tau
        Of the sin-cos positions.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        tubes: Sequence[Tube],
        *,
        scale: nn.Module | None = None,
        shared: bool = True,
        rescale: bool = True,
        tau: float = 10000.0,
    ) -> None:
        super().__init__()
        self.width, self.tubes, self.tau = width, tuple(tubes), tau
        self.scale = nn.Identity() if scale is None else scale
        self.kernels = TubeKernels(
            channels,
            [tube.kernel for tube in tubes],
            [width // tube.n_joined for tube in tubes],
            shared=shared,
            rescale=rescale,
        )

    def forward(self, frames: Tensor) -> Tensor:
        """(B, F, C, H, W) frames to (B, N, D) tokens, tube by tube, each in C order of its grid."""
        check_shape(frames, "B F C H W", name="frames", C=self.kernels.channels)
        tokens = []
        for number in tubes_used(self.tubes, frames.shape[1]):
            boxes = self.scale(self.tubes[number].cut(frames))
            boxes = boxes.to(self.kernels.biases[number].dtype)
            tokens.append(self.kernels(boxes, number).flatten(2))
        return torch.cat(tokens, dim=1)

    def positions(self, size: Size) -> Tensor:
        """Return the (N, D) positions of the tokens in a clip of `size` (F, H, W)."""
        return tube_positions(self.tubes, size, self.width, self.tau)
