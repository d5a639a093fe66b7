"""3-D convolution parts for brain volumes: residual blocks, halving, growing back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from brainreel.layers.norm_conv import SLOPE, add_scaled, fuses, norm_conv

# Channels that GroupNorm normalises together: TFF's.
CHANNELS_PER_GROUP = 4


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
        if fuses(x):
            return norm_conv(x, self.norm, self.conv)
        convolved: Tensor = self.conv(functional.leaky_relu(self.norm(x), SLOPE, inplace=True))
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
        added: Tensor = self.second(self.first(x))
        chance = self.dropout.p
        if not (self.training and chance and fuses(x)):
            added = self.dropout(added)
            return x + added
        kept = x.new_empty(x.shape[:2]).bernoulli_(1 - chance).div_(1 - chance)
        return add_scaled(x, added, kept)


class Grow(nn.Module):
    """1 x 1 x 1 convolution, nearest neighbours to a given grid, one residual block."""

    def __init__(self, channels: int, out: int, grid: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.reduce = nn.Conv3d(channels, out, 1)
        self.block = ResidualConv(out, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X', Y', Z') to (B, C', X, Y, Z)."""
        grown: Tensor = self.block(grow_to(self.reduce(x), self.grid))
        return grown


def grow_to(x: Tensor, grid: Sequence[int]) -> Tensor:
    """(B, C, X', Y', Z') to (B, C, X, Y, Z) by nearest neighbours."""
    if not fuses(x) or tuple(x.shape[2:]) != halved(grid):
        return functional.interpolate(x, size=tuple(grid), mode="nearest")
    # Where a grid was halved each voxel is simply said twice: whole runs of memory are copied.
    x = x.movedim(1, -1)
    for axis in (3, 2, 1):
        shape = list(x.shape)
        shape[axis] *= 2
        twice = x.unsqueeze(axis + 1).expand(*x.shape[: axis + 1], 2, *x.shape[axis + 1 :])
        x = twice.reshape(shape).narrow(axis, 0, grid[axis - 1])
    return x.movedim(-1, 1)


def halved(grid: Sequence[int]) -> tuple[int, ...]:
    """Return the grid after a convolution of stride 2: half of each side, rounded up."""
    return tuple(-(-n // 2) for n in grid)
