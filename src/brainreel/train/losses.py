"""Losses as sums and counts over what counts, so that ranks and batches can be joined exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from brainreel.shapes import check_shape

LossName = Literal["mse", "correlation"]
SumAndCount = tuple[Tensor, Tensor]


def squared_error(predicted: Tensor, measured: Tensor, counted: Tensor) -> SumAndCount:
    """Return sum of (y - y_hat)^2 over the counted entries, and their number.

    Parameters
    ----------
    predicted, measured
        (B, T, V) BOLD in standard deviations.
    counted
        (B, T, V) boolean; padded voxels and TRs are False.
    """
    _check(predicted, measured, counted)
    error = torch.where(counted, predicted - measured, 0.0)
    return error.square().sum(), counted.sum()


def correlation(predicted: Tensor, measured: Tensor, counted: Tensor) -> SumAndCount:
    """Return the sum over rows and voxels of Pearson's r over the window's TRs, and their number.

    r = sum_t a_t b_t / sqrt(sum_t a_t^2 sum_t b_t^2), a and b centred over the counted TRs. Rows
    whose measured signal does not vary in the window, or has fewer than two TRs, do not count.

    Parameters
    ----------
    predicted, measured, counted
        As in `squared_error`.
    """
    _check(predicted, measured, counted)
    a, b = _centred(predicted, counted), _centred(measured, counted)
    power = b.square().sum(dim=1)
    varies = (power > 1e-8) & (counted.sum(dim=1) > 1)
    # The floor keeps the gradient finite for a prediction that does not vary yet.
    scale = ((a.square().sum(dim=1) + 1e-6) * power.clamp_min(1e-8)).sqrt()
    r = torch.where(varies, (a * b).sum(dim=1) / scale, 0.0)
    return r.sum(), varies.sum()


def one_minus_correlation(predicted: Tensor, measured: Tensor, counted: Tensor) -> SumAndCount:
    """Return the sum of 1 - r over rows and voxels, and their number; see `correlation`."""
    r, count = correlation(predicted, measured, counted)
    return count - r, count


LOSSES: dict[LossName, Callable[[Tensor, Tensor, Tensor], SumAndCount]] = {
    "mse": squared_error,
    "correlation": one_minus_correlation,
}


def _check(predicted: Tensor, measured: Tensor, counted: Tensor) -> None:
    sizes = check_shape(predicted, "B T V", name="predicted")
    check_shape(measured, "B T V", name="measured", **sizes)
    check_shape(counted, "B T V", name="counted", **sizes)


def _centred(values: Tensor, counted: Tensor) -> Tensor:
    values = torch.where(counted, values.float(), 0.0)
    mean = values.sum(dim=1, keepdim=True) / counted.sum(dim=1, keepdim=True).clamp_min(1)
    return torch.where(counted, values - mean, 0.0)
