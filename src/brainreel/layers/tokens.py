"""Pictures, films and spectrograms cut into tokens, and where each token stands (sin-cos)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import ConfigError
from brainreel.shapes import check_shape

_CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class PatchTokens(nn.Module):
    """Cut 1 to 3 axes into patches and project each: token_n = W patch_n + b.

    Patches side by side cover all: a size that is no multiple of the patch is filled up with zeros
    at its far end. Patches that overlap leave out what remains there, less than a stride, as the
    published AST does. The weight is that of a convolution, (D, C, *patch), the form in which
    published weights come.

    Parameters
    ----------
    channels
        Channels C of the input.
    size
        Length of the 1 to 3 axes that are cut, such as (H, W).
    patch
        Length of a patch along each of them.
    width
        Width D of a token.
    stride
        Step from patch to patch along each, at most the patch; None for the patch itself.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        patch: Sequence[int],
        width: int,
        stride: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        step = tuple(patch if stride is None else stride)
        if not len(size) == len(patch) == len(step) or len(size) not in _CONVOLUTIONS:
            raise ConfigError(
                f"patches of {len(patch)} axes {tuple(patch)} cannot cut {len(size)} axes "
                f"{tuple(size)}. Give one patch length for each of 1 to 3 axes."
            )
        if any(not 1 <= s <= p for s, p in zip(step, patch, strict=True)):
            raise ConfigError(
                f"a stride of {step} leaves gaps between patches of {tuple(patch)}. "
                "Give at least 1 and at most the patch."
            )
        self.channels = channels
        self.size = tuple(size)
        each = list(zip(size, patch, step, strict=True))
        self.counts = tuple(_count(n, p, s) for n, p, s in each)
        spare = [
            max(0, (c - 1) * s + p - n) for (n, p, s), c in zip(each, self.counts, strict=True)
        ]
        # functional.pad counts axes from the last to the first, near end before far end.
        self.padding = tuple(n for far in reversed(spare) for n in (0, far))
        self.project = _CONVOLUTIONS[len(size)](channels, width, tuple(patch), step)

    @property
    def n_tokens(self) -> int:
        """Number of tokens N."""
        return math.prod(self.counts)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *size) to (B, N, D), in C order of the patches."""
        axes = " ".join("SHW"[-len(self.size) :] if len(self.size) < 3 else "FHW")
        sizes = dict(zip(axes.split(), self.size, strict=True))
        check_shape(x, f"B C {axes}", name="patch input", C=self.channels, **sizes)
        if any(self.padding):
            x = functional.pad(x, self.padding)
        tokens: Tensor = self.project(x)
        return tokens.flatten(2).transpose(1, 2)


def _count(length: int, patch: int, stride: int) -> int:
    """Patches along an axis; at least one."""
    left = length - patch
    return 1 + max(0, left // stride if stride < patch else math.ceil(left / stride))


def grid_centres(counts: Sequence[int]) -> Tensor:
    """Return the (N, A) whole-number positions of a grid of A axes, in C order.

    Examples
    --------
    >>> grid_centres((1, 2)).tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    axes = [torch.arange(n, dtype=torch.float64) for n in counts]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))


def sincos_positions(centres: Tensor, width: int, tau: float = 10000.0) -> Tensor:
    """Return sin-cos codes: [sin(p w_k), cos(p w_k)] per axis, w_k = tau^(-k / K), k = 0 .. K - 1.

    Each of the A axes takes K = width // (2 A) frequencies, sines before cosines; what is left of
    a width that does not divide stays 0, so any width can be built.

    Parameters
    ----------
    centres
        (N, A) positions along 1 to 3 axes; need not be whole numbers nor a full grid.
    width
        Token width D, at least 2 A.
    tau
        Longest wave length is about 2 pi tau.

    Returns
    -------
    Tensor
        (N, D) float32.

    Notes
    -----
    Vaswani et al. 2017, section 3.5, made for each axis as in ViT's fixed positions.
    """
    check_shape(centres, "N A", name="centres")
    n_axes = centres.shape[1]
    n_waves = width // (2 * n_axes)
    if n_waves == 0:
        raise ConfigError(
            f"a width of {width} is too small for {n_axes} axes of positions. "
            f"Use at least {2 * n_axes}."
        )
    waves = torch.arange(n_waves, dtype=torch.float64, device=centres.device)
    rate = tau ** (-waves / n_waves)
    angle = centres.double()[:, :, None] * rate
    codes = torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(1)
    return functional.pad(codes, (0, width - codes.shape[1])).float()
