"""conv(leaky_relu(group_norm(x))) in one step on a CPU: fast with few channels, and frugal.

PyTorch convolves a few channels several times faster where the channels lie next to each other in
memory, but normalises several times slower there. Here a volume is seen as X Y rows of Z C
numbers, so that all that is done voxel by voxel runs along whole rows; and the normalised volume
is made again in the backward pass instead of being kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Slope of LeakyReLU below 0: TFF's.
SLOPE = 0.01
_LAST = torch.channels_last_3d


def fuses(x: Tensor) -> bool:
    """Tell whether a tensor takes the way of this file: float32 on a CPU, as it is written."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def channels_last(x: Tensor) -> Tensor:
    """Return (B, C, X, Y, Z) laid out as `norm_conv` wants it, where it is used."""
    return x.contiguous(memory_format=_LAST) if fuses(x) else x


def norm_conv(x: Tensor, norm: nn.GroupNorm, conv: nn.Conv3d) -> Tensor:
    """Return conv(leaky_relu(norm(x))) for a 3 x 3 x 3 convolution with padding 1.

    Parameters
    ----------
    x
        (B, C, X, Y, Z) float32 on a CPU.

    Returns
    -------
    Tensor
        (B, C', X, Y, Z) with channels last in memory. It can be differentiated once.
    """
    convolved: Tensor = _NormConv.apply(  # type: ignore[no-untyped-call]
        x, norm.weight, norm.bias, conv.weight, conv.bias, norm.num_groups, norm.eps
    )
    return convolved


def add_scaled(x: Tensor, y: Tensor, by: Tensor) -> Tensor:
    """Return x + s y of two (B, C, X, Y, Z) volumes and (B, C) numbers s."""
    return _volumes(torch.addcmul(_rows(x), _rows(y), _row(by, x.shape[4])), x.shape)


def _rows(x: Tensor) -> Tensor:
    """(B, C, X, Y, Z) to (B, X Y, Z C); no copy where channels lie last in memory."""
    n, channels, width, height, depth = x.shape
    return x.permute(0, 2, 3, 4, 1).reshape(n, width * height, depth * channels)


def _volumes(rows: Tensor, shape: torch.Size) -> Tensor:
    n, channels, *grid = shape
    return rows.reshape(n, *grid, channels).permute(0, 4, 1, 2, 3)


def _row(values: Tensor, depth: int) -> Tensor:
    """(B, C) or (C,) to one row (B, 1, Z C) that stands for all."""
    return values.reshape(-1, 1, values.shape[-1]).repeat(1, 1, depth)


def _by_channel(rows: Tensor, channels: int) -> Tensor:
    """(B, X Y, Z C) to the sums (B, C)."""
    return rows.sum(1).reshape(len(rows), -1, channels).sum(1)


def _by_group(values: Tensor, groups: int) -> Tensor:
    """(B, C) to the sums over each group, at each of its channels: (B, C)."""
    summed = values.reshape(len(values), groups, -1)
    return summed.sum(2, keepdim=True).expand_as(summed).reshape(values.shape)


class _NormConv(torch.autograd.Function):
    """y = W * a + b, a = leaky_relu(n), n = w h + v, h = (x - m) r by groups.

    With g the gradient of n, and <.> the mean over a group:
    dx = r (w g - <w g> - h <w g h>), dw = sum g h, dv = sum g (Wu & He 2018).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        eps: float,
    ) -> Tensor:
        x = x.contiguous(memory_format=_LAST)
        rows, (_, channels, *_, depth) = _rows(x), x.shape
        count = x[0].numel() // groups
        mean = _by_group(_by_channel(rows, channels), groups) / count
        centred = rows - _row(mean, depth)
        variance = _by_group(_by_channel(centred.square(), channels), groups) / count
        inverse = torch.rsqrt(variance + eps)
        active = _activated(centred, _row(scale * inverse, depth), _row(shift, depth))
        ctx.save_for_backward(x, scale, shift, weight, mean, inverse)
        ctx.groups, ctx.count = groups, count
        return functional.conv3d(_volumes(active, x.shape), weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, weight, mean, inverse = ctx.saved_tensors
        channels, depth = x.shape[1], x.shape[4]
        centred = _rows(x) - _row(mean, depth)
        unit = centred.mul_(_row(inverse, depth))
        active = _activated(unit.clone(), _row(scale, depth), _row(shift, depth))
        ones, none = [1, 1, 1], [0, 0, 0]
        grad_active, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            grad.contiguous(memory_format=_LAST),
            _volumes(active, x.shape),
            weight,
            [len(weight)],
            ones,
            ones,
            ones,
            False,
            none,
            1,
            [True, True, True],
        )
        inner = torch.ops.aten.leaky_relu_backward(_rows(grad_active), active, SLOPE, True)
        del active, grad_active
        grad_shift = _by_channel(inner, channels)
        grad_scale = _by_channel(inner * unit, channels)
        along = _by_group(scale * grad_shift, ctx.groups) / ctx.count
        across = _by_group(scale * grad_scale, ctx.groups) / ctx.count
        inner = inner.mul_(_row(scale * inverse, depth)).sub_(_row(along * inverse, depth))
        inner = inner.addcmul_(unit, _row(across * inverse, depth), value=-1)
        summed = grad_scale.sum(0), grad_shift.sum(0)
        return _volumes(inner, x.shape), *summed, grad_weight, grad_bias, None, None


def _activated(rows: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return leaky_relu(scale rows + shift), in the memory of `rows`."""
    torch.addcmul(shift, rows, scale, out=rows)
    return functional.leaky_relu(rows, SLOPE, inplace=True)
