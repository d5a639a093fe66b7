from __future__ import annotations

import numpy as np
import pytest
import torch

from brainreel.errors import ShapeError
from brainreel.train.losses import correlation, one_minus_correlation, squared_error


def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    predicted, measured = torch.randn(2, 2, 9, 4, generator=rng)
    counted = torch.ones(2, 9, 4, dtype=torch.bool)
    counted[0, 6:] = False  # a short window
    counted[1, :, 2:] = False  # a person with two voxels
    return predicted, measured, counted


def test_squared_error_is_the_loop_over_what_counts() -> None:
    predicted, measured, counted = case()
    total, count = squared_error(predicted, measured, counted)
    pairs = zip(predicted[counted].tolist(), measured[counted].tolist(), strict=True)
    assert int(count) == 6 * 4 + 9 * 2
    assert float(total) == pytest.approx(sum((p - m) ** 2 for p, m in pairs), rel=1e-5)


def test_correlation_is_numpys_over_the_counted_trs() -> None:
    predicted, measured, counted = case()
    measured[0, :, 1] = 3.0  # no variance: not counted
    total, count = correlation(predicted, measured, counted)
    expected = [
        np.corrcoef(predicted[b, :n, v], measured[b, :n, v])[0, 1]
        for b, n, voxels in ((0, 6, (0, 2, 3)), (1, 9, (0, 1)))
        for v in voxels
    ]
    assert int(count) == 5
    assert float(total) == pytest.approx(sum(expected), abs=1e-4)
    lost, same_count = one_minus_correlation(predicted, measured, counted)
    assert float(lost) == pytest.approx(5 - sum(expected), abs=1e-4)
    assert int(same_count) == 5


def test_what_does_not_count_has_no_gradient() -> None:
    for loss in (squared_error, one_minus_correlation):
        predicted, measured, counted = case()
        predicted.requires_grad_()
        measured[~counted] = torch.nan
        total, _ = loss(predicted, measured, counted)
        total.backward()
        assert predicted.grad is not None
        assert torch.isfinite(predicted.grad).all()
        assert (predicted.grad[~counted] == 0).all()
        assert (predicted.grad[counted] != 0).all()


def test_a_prediction_that_does_not_vary_has_a_finite_gradient() -> None:
    _, measured, counted = case()
    flat = torch.zeros_like(measured).requires_grad_()
    total, _ = one_minus_correlation(flat, measured, counted)
    total.backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().sum() > 0


def test_a_wrong_shape_names_the_axis() -> None:
    predicted, measured, counted = case()
    with pytest.raises(ShapeError, match="measured has 8 along axis T"):
        squared_error(predicted, measured[:, :8], counted)
