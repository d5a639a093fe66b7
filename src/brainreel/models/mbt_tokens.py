"""Tokens of one sense for MBT: patches, a class token, learned positions; frames by number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brainreel.errors import ConfigError
from brainreel.layers.positions import LearnedPositions, cut_or_resized, resized
from brainreel.layers.tokens import PatchTokens
from brainreel.shapes import check_shape


class SenseTokens(nn.Module):
    """[class; W patch_n + b + position_n], N tokens of width D, of one sense.

    Parameters
    ----------
    scale
        Brings the sense to scale.
    shape
        Sizes of the input without the batch: (F, C, H, W) for pictures, (C, S, M) for sound.
    patch
        Length of a patch along (F, H, W) or (S, M); tubelets start as their middle frame alone.
    width
        Width D of a token.
    class_token
        Whether a class token stands before the patches.
    frames
        Numbers of the frames that are looked at; empty for all.

    Attributes
    ----------
    counts
        Patches along each axis, (F', H', W') or (S', M').
    """

    def __init__(
        self,
        scale: nn.Module,
        shape: Sequence[int],
        patch: Sequence[int],
        width: int,
        *,
        class_token: bool,
        frames: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.scale = scale
        self.shape = tuple(shape)
        self.frames = list(frames)
        if len(shape) == 4:
            n_frames, channels, *size = shape
            size = [len(frames) or n_frames, *size]
        else:
            channels, *size = shape
        self.patches = PatchTokens(channels, size, patch, width)
        self.counts = self.patches.counts
        if len(patch) == 3:
            flat = nn.Conv2d(channels, width, (patch[1], patch[2]), bias=False)
            weight = self.patches.project.weight
            assert isinstance(weight, nn.Parameter)
            with torch.no_grad():
                weight.copy_(central_frame(flat.weight, patch[0]))
        self.positions = LearnedPositions(
            self.counts, width, resized if len(shape) == 4 else cut_or_resized
        )
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width)) if class_token else None

    @property
    def n_tokens(self) -> int:
        """Number of tokens N, the class token counted."""
        return self.patches.n_tokens + (self.class_token is not None)

    def check(self, values: Tensor | None) -> Tensor:
        """Return what there is of this sense, its axes checked; 0 rows where there is nothing."""
        if values is None:
            return self.positions.table.new_zeros((0, *self.shape))
        names = "F C H W" if len(self.shape) == 4 else "C S M"
        sizes = dict(zip(names.split(), self.shape, strict=True))
        called = "frames" if len(self.shape) == 4 else "sound"
        check_shape(values, f"B {names}", name=called, **sizes)
        return values

    def forward(self, values: Tensor) -> Tensor:
        """(B, *shape) to (B, N, D)."""
        if self.frames:
            values = values[:, self.frames]
        scaled = self.scale(values)
        patches = self.patches(scaled.transpose(1, 2) if len(self.shape) == 4 else scaled)
        tokens: Tensor = patches + self.positions()
        if self.class_token is None:
            return tokens
        return torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)


def central_frame(kernel: Tensor, frames: int) -> Tensor:
    """Blow a 2-D kernel up in time: K[:, :, frames // 2] = kernel, 0 elsewhere.

    A tubelet then sees what the picture patch of its middle frame sees (Arnab et al. 2021,
    ViViT, section 3.4).

    Parameters
    ----------
    kernel
        (D, C, H, W).
    frames
        Length of the tubelet.

    Returns
    -------
    Tensor
        (D, C, frames, H, W).
    """
    blown = kernel.new_zeros((*kernel.shape[:2], frames, *kernel.shape[2:]))
    blown[:, :, frames // 2] = kernel
    return blown


def frames_looked_at(n_frames: int, wanted: int | Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of the frames of a clip that are looked at.

    A number n > 0 stands for frames round(k F / (n + 1)), k = 1 .. n, halves to the even one; 0
    for all, which an empty list says. A list stands for itself.

    Examples
    --------
    >>> frames_looked_at(32, 3)
    (8, 16, 24)
    """
    if isinstance(wanted, int):
        if wanted == 0 or wanted >= n_frames:
            return ()
        return tuple(round(k * n_frames / (wanted + 1)) for k in range(1, wanted + 1))
    for number in wanted:
        if not 0 <= number < n_frames:
            raise ConfigError(
                f"a clip of {n_frames} frames has no frame {number}. "
                f"Give numbers from 0 to {n_frames - 1} as sampled_frames."
            )
    return tuple(wanted)
