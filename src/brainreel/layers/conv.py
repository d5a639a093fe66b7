"""3-D convolution parts for brain volumes: residual blocks, halving, growing back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

# Channels that GroupNorm normalises together, and the slope of LeakyReLU below 0: TFF's.
CHANNELS_PER_GROUP = 4
SLOPE = 0.01


def group_norm(channels: int) -> nn.GroupNorm:
    """Return GroupNorm with groups of four channels; fewer than four stand each for itself."""
    groups = channels // CHANNELS_PER_GROUP if channels >= CHANNELS_PER_GROUP else channels
    return nn.GroupNorm(groups, channels)


def conv3(channels: int, out: int, *, stride: int = 1) -> nn.Conv3d:
    """Return a 3 x 3 x 3 convolution that keeps the grid, or halves it with a stride of 2."""
    return nn.Conv3d(channels, out, 3, stride=stride, padding=1)


class NormConv(nn.Module):
    """conv(leaky_relu(group_norm(x))), 3 x 3 x 3."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.conv = conv3(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to (B, C', X, Y, Z)."""
        convolved: Tensor = self.conv(
            functional.leaky_relu(self.norm(x), SLOPE, inplace=not self.training)
        )
        return convolved


class ResidualConv(nn.Module):
    """y = x + dropout(f(f(x))), f = conv(leaky_relu(group_norm(.))).

    The block of Myronenko 2018 ("3D MRI brain tumor segmentation using autoencoder
    regularization"), which TFF takes over. Dropout takes out whole channels.
    """

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = NormConv(channels, channels)
        self.second = NormConv(channels, channels)
        self.dropout = nn.Dropout3d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to the same shape."""
        added: Tensor = self.dropout(self.second(self.first(x)))
        return x + added


class Grow(nn.Module):
    """1 x 1 x 1 convolution, nearest neighbours to a given grid, one residual block."""

    def __init__(self, channels: int, out: int, grid: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.reduce = nn.Conv3d(channels, out, 1)
        self.block = ResidualConv(out, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X', Y', Z') to (B, C', X, Y, Z)."""
        grown: Tensor = self.block(
            functional.interpolate(self.reduce(x), size=self.grid, mode="nearest")
        )
        return grown


def halved(grid: Sequence[int]) -> tuple[int, ...]:
    """Return the grid after a convolution of stride 2: half of each side, rounded up."""
    return tuple(-(-n // 2) for n in grid)
