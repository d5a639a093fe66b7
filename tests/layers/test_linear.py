from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from brainreel.layers.linear import Linear, linear


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Few rows, many rows, many rows but a small weight, no rows; rows along several axes.
SHAPES = [((3, 80), 96), ((300, 80), 96), ((300, 8), 16), ((0, 80), 96), ((2, 5, 70, 80), 96)]


@pytest.mark.parametrize(("shape", "out"), SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_pytorchs_product_with_its_gradients(
    shape: tuple[int, ...], out: int, bias: bool
) -> None:
    results = []
    for product in (linear, functional.linear):
        x, weight = noise(*shape).requires_grad_(), noise(out, shape[-1], seed=1).requires_grad_()
        shift = noise(out, seed=2).requires_grad_() if bias else None
        y = product(x, weight, shift)
        (y * noise(*y.shape, seed=3)).sum().backward()
        results.append([y, x.grad, weight.grad, *([shift.grad] if shift is not None else [])])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_what_does_not_lie_in_order_in_memory_is_multiplied_alike() -> None:
    x, weight = noise(80, 400).T, noise(80, 96, seed=1).T
    expected = x.double() @ weight.double().T
    torch.testing.assert_close(linear(x, weight).double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_stay(dtype: torch.dtype) -> None:
    x, weight = noise(300, 80).to(dtype), noise(96, 80, seed=1).to(dtype)
    assert torch.equal(linear(x, weight), functional.linear(x, weight))


def test_autocast_reaches_it() -> None:
    layer = Linear(80, 96)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(noise(300, 80)).dtype == torch.bfloat16


def test_its_operations_are_counted_alike() -> None:
    counts = []
    for rows in (100, 200):  # below and above where the way changes
        with FlopCounterMode(display=False) as counter:
            Linear(80, 96)(noise(rows, 80))
        counts.append(counter.get_total_flops())
    assert counts == [2 * 100 * 80 * 96, 2 * 200 * 80 * 96]
