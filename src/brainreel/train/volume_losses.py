"""TFF's three losses of brain volumes: everywhere, where it is intense, and as VGG16 sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.checkpoints.readers import read_tensors
from brainreel.errors import CheckpointError, DataError
from brainreel.shapes import check_shape
from brainreel.train.losses import SumAndCount

# (channels in, channels out) of VGG16's first four convolutions, and their numbers in it.
_VGG = ((3, 64), (64, 64), (64, 128), (128, 128))
_VGG_NUMBERS = (0, 2, 5, 7)


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
        x = functional.conv2d(slices.unsqueeze(1), kernel, self.first.bias, padding=1)
        near = functional.relu(self.second(functional.relu(x)))
        x = functional.relu(self.third(functional.max_pool2d(near, 2)))
        return near, functional.relu(self.fourth(x))


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
    seen = [vgg(_slices(volumes, chosen)) for volumes in (predicted, measured)]
    error = sum(functional.mse_loss(ours, theirs) for ours, theirs in zip(*seen, strict=True))
    n = torch.tensor(len(chosen), device=predicted.device)
    return torch.as_tensor(error) * n, n


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
