"""TFF's three losses of brain volumes: everywhere, where it is intense, and as VGG16 sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from brainreel.checkpoints.readers import read_tensors
from brainreel.errors import CheckpointError, DataError
from brainreel.shapes import check_shape
from brainreel.train.losses import SumAndCount

# (channels in, channels out) of VGG16's first four convolutions, and their numbers in it.
_VGG = ((3, 64), (64, 64), (64, 128), (128, 128))
_VGG_NUMBERS = (0, 2, 5, 7)
# Slices that it looks at at once.
_SLICES = 8


def absolute_error(
    predicted: Tensor, measured: Tensor, counted: Tensor | None = None
) -> SumAndCount:
    """Return the sum of |y - y_hat| over the counted voxels, and their number.

    Parameters
    ----------
    predicted, measured
        (B, T, X, Y, Z) volumes in the same units.
    counted
        The same shape, boolean; None for all.
    """
    return _summed(_difference(predicted, measured).abs(), counted)


def squared_volume_error(
    predicted: Tensor, measured: Tensor, counted: Tensor | None = None
) -> SumAndCount:
    """Return the sum of (y - y_hat)^2 over the counted voxels, and their number.

    Parameters
    ----------
    predicted, measured, counted
        As in `absolute_error`.
    """
    return _summed(_difference(predicted, measured).square(), counted)


def _difference(predicted: Tensor, measured: Tensor) -> Tensor:
    sizes = check_shape(measured, "B T X Y Z", name="measured")
    check_shape(predicted, "B T X Y Z", name="predicted", **sizes)
    return predicted - measured


def _summed(error: Tensor, counted: Tensor | None) -> SumAndCount:
    if counted is None:
        return error.sum(), torch.tensor(error.numel(), device=error.device)
    axes = "B T X Y Z"
    check_shape(counted, axes, name="counted", **dict(zip(axes.split(), error.shape, strict=True)))
    return torch.where(counted, error, 0.0).sum(), counted.sum()


@torch.no_grad()
def intense_voxels(
    scores: Tensor, quantile: float = 0.9, background: Tensor | float = 0.0
) -> Tensor:
    """Return where a volume is intense: |z| above the quantile of all |z| that are not background.

    A voxel is background where z <= `background`. Malkiel et al. 2022, section 3.3.

    Parameters
    ----------
    scores
        (B, T, X, Y, Z) volumes, z-scored voxel by voxel over time.
    quantile
        Linear between neighbours, as `torch.quantile`.
    background
        Highest value of the background, or (B, T) one a volume. At 0 the positive z remain.

    Returns
    -------
    Tensor
        (B, T, X, Y, Z) boolean; nothing is intense in a volume that is all background.
    """
    sizes = check_shape(scores, "B T X Y Z", name="scores")
    floor = torch.as_tensor(background, dtype=scores.dtype, device=scores.device)
    floor = floor.expand(sizes["B"], sizes["T"])[..., None, None, None]
    height = torch.where(scores > floor, scores.abs(), 0.0).flatten(2).flatten(0, 1)
    levels = torch.stack([_quantile(row[row > 0], quantile) for row in height])
    return (height > levels[:, None]).reshape(scores.shape)


def _quantile(values: Tensor, quantile: float) -> Tensor:
    """Return a quantile by selection: sorting half a million voxels takes ten times as long."""
    if not len(values):
        return values.new_tensor(float("inf"))
    place = quantile * (len(values) - 1)
    low = int(place)
    below = values.kthvalue(low + 1).values
    if low + 1 == len(values):
        return below
    return torch.lerp(below, values.kthvalue(low + 2).values, place - low)


class VGGFront(nn.Module):
    """VGG16 up to relu2_2, frozen; a picture to what two of its layers see.

    Simonyan & Zisserman 2015, configuration D.
    """

    def __init__(self, weights: Mapping[str, Tensor], *, where: str) -> None:
        super().__init__()
        self.first, self.second, self.third, self.fourth = (
            nn.Conv2d(channels, out, 3, padding=1) for channels, out in _VGG
        )
        for number, conv in zip(_VGG_NUMBERS, self.children(), strict=True):
            for kind, parameter in conv.named_parameters():
                parameter.data = _vgg_tensor(weights, number, kind, parameter.shape, where)
        self.requires_grad_(False)

    @classmethod
    def read(cls, path: Path) -> VGGFront:
        """Read the weights from a file of torchvision's names (`features.0.weight`, ...)."""
        return cls(read_tensors(path), where=str(path))

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W) grey pictures to relu1_2 (B, 64, H, W) and relu2_2 (B, 128, H/2, W/2)."""
        # Grey in three equal channels is one channel under the kernel summed over channels.
        kernel = self.first.weight.sum(1, keepdim=True)
        pictures = slices.unsqueeze(1).to(memory_format=torch.channels_last)
        # One channel is laid out both ways at once: the first layer has to be told by its kernel.
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        x = functional.conv2d(pictures, kernel, self.first.bias, padding=1)
        x = x.contiguous(memory_format=torch.channels_last)
        near = functional.relu(self.second(functional.relu(x, inplace=True)))
        x = functional.relu(self.third(functional.max_pool2d(near, 2)), inplace=True)
        return near, functional.relu(self.fourth(x), inplace=True)


def perceptual_error(
    predicted: Tensor, measured: Tensor, vgg: VGGFront, chosen: Tensor
) -> SumAndCount:
    """Return n (MSE(relu1_2) + MSE(relu2_2)) over n chosen axial slices, and n.

    Parameters
    ----------
    predicted, measured
        (B, T, X, Y, Z) volumes; a slice lies at one (B, T, Z).
    vgg
        The network that looks at slices.
    chosen
        (n,) numbers of the slices, counted over B, T, Z in C order.
    """
    ours, theirs = _slices(predicted, chosen), _slices(measured, chosen)
    n = torch.tensor(len(chosen), device=predicted.device)
    error: Tensor = _Seen.apply(ours, theirs, vgg)  # type: ignore[no-untyped-call]
    return error, n


class _Seen(torch.autograd.Function):
    """Sum over slices of both mean squared errors, and its gradient at once, a few at a time.

    What VGG16 makes of a slice is a hundred times larger than the slice. As the error is one
    number, its gradient is known up to a factor before the backward pass begins, so that nothing
    of it has to be kept until then.
    """

    @staticmethod
    def forward(ctx: Any, ours: Tensor, theirs: Tensor, vgg: VGGFront) -> Tensor:
        total, slopes = ours.new_zeros((), dtype=torch.float32), []
        for predicted, measured in zip(
            torch.split(ours, _SLICES), torch.split(theirs, _SLICES), strict=True
        ):
            goal = vgg(measured)
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                part = predicted.detach().requires_grad_(ctx.needs_input_grad[0])
                error = len(part) * _mean_squared(vgg(part), goal)
            if ctx.needs_input_grad[0]:
                slopes.append(torch.autograd.grad(error, part)[0])
            total = total + error.detach()
        if slopes:
            ctx.save_for_backward(torch.cat(slopes))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None


def _mean_squared(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    near, far = (functional.mse_loss(*both) for both in zip(ours, theirs, strict=True))
    return near + far


def draw_slices(shape: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    """Return the numbers of a random share of all axial slices of (B, T, X, Y, Z) volumes."""
    n_slices = shape[0] * shape[1] * shape[4]
    n_chosen = max(1, int(share * n_slices))
    return torch.randperm(n_slices, generator=generator)[:n_chosen]


def _slices(volumes: Tensor, chosen: Tensor) -> Tensor:
    """(B, T, X, Y, Z) to (n, X, Y), only the chosen copied."""
    n_rows, n_trs, _, _, depth = volumes.shape
    if len(chosen) and int(chosen.max()) >= n_rows * n_trs * depth:
        raise DataError("a slice beyond the last volume was chosen.")
    row, tr = chosen // (n_trs * depth), chosen // depth % n_trs
    return volumes[row, tr, :, :, chosen % depth]


def _vgg_tensor(
    weights: Mapping[str, Tensor], number: int, kind: str, shape: torch.Size, where: str
) -> Tensor:
    """Return a tensor under torchvision's name, or under that of its first slices alone."""
    names = (f"features.{number}.{kind}", f"{number // 5}.{number}.{kind}", f"{number}.{kind}")
    name = next((name for name in names if name in weights), None)
    if name is None or weights[name].shape != shape:
        raise CheckpointError(
            f"{where}: lacks {names[0]} {tuple(shape)}. Give the weights of VGG16."
        )
    return weights[name].float()
