"""Normalised convolutions, growing and parts give what PyTorch's own layers give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.layers.conv import Grow, NormConv, ResidualConv, grow_to, halved
from brainreel.layers.norm_conv import SLOPE
from brainreel.layers.parts import in_parts


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def redrawn(module: nn.Module) -> nn.Module:
    for number, parameter in enumerate(module.parameters()):
        parameter.data = drawn(*parameter.shape, seed=number) / 3
    return module


def plain(layer: NormConv, x: Tensor) -> Tensor:
    """By PyTorch's layers in double precision."""
    norm, conv = layer.norm, layer.conv
    n = functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
    return functional.conv3d(functional.leaky_relu(n, SLOPE), conv.weight, conv.bias, padding=1)


@pytest.mark.parametrize(("channels", "out", "rows"), [(2, 8, 2), (4, 4, 3), (8, 8, 1), (32, 2, 2)])
def test_values_and_gradients_are_those_of_the_plain_layers(
    channels: int, out: int, rows: int
) -> None:
    layer = redrawn(NormConv(channels, out))
    assert isinstance(layer, NormConv)
    x, weights = drawn(rows, channels, 5, 6, 7, seed=9), drawn(rows, out, 5, 6, 7, seed=8)
    found = []
    for dtype in (torch.float32, torch.float64):
        layer.to(dtype)
        given = x.to(dtype).requires_grad_()
        y = layer(given) if dtype == torch.float32 else plain(layer, given)
        inputs = (given, *layer.parameters())
        found.append([y, *torch.autograd.grad((y * weights).sum(), inputs)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(
            ours.double(), theirs, rtol=2e-5, atol=2e-5 * float(theirs.detach().abs().max())
        )


def test_a_large_mean_costs_no_digits() -> None:
    layer = NormConv(4, 4)
    x = drawn(1, 4, 8, 8, 8)
    torch.testing.assert_close(layer(x + 1000), layer(x), rtol=0, atol=1e-3)


def test_dropout_takes_out_whole_channels_as_pytorch_does() -> None:
    block = ResidualConv(8, dropout=0.5)
    x = drawn(3, 8, 4, 5, 6)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ours = block(x)
        torch.manual_seed(3)
        theirs = x + functional.dropout3d(block.second(block.first(x)), 0.5, training=True)
    torch.testing.assert_close(ours, theirs)
    assert ((ours - x).flatten(2).abs().sum(2) == 0).any()


@pytest.mark.parametrize("grid", [(4, 6, 8), (5, 7, 9), (75, 1, 2)])
def test_growing_is_nearest_neighbours(grid: tuple[int, int, int]) -> None:
    x = drawn(2, 3, *halved(grid)).requires_grad_()
    weights = drawn(2, 3, *grid, seed=1)
    theirs = functional.interpolate(x, size=grid, mode="nearest")
    ours = grow_to(x, grid)
    assert torch.equal(ours, theirs)
    slopes = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*slopes)
    assert Grow(3, 2, grid)(x).shape == (2, 2, *grid)


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("recompute", [False, True])
def test_parts_joined_are_the_whole(rows: int, recompute: bool) -> None:
    layer = NormConv(2, 3)
    x = drawn(rows, 2, 4, 4, 4).requires_grad_()
    sizes = []

    def f(part: Tensor) -> Tensor:
        sizes.append(len(part))
        return layer(part)

    joined = in_parts(f, x, n_voxels=2**18, recompute=recompute)
    assert sizes == ({1: [2], 2: [2], 5: [3, 2]}[rows])
    torch.testing.assert_close(joined, layer(x))
    slopes = [
        torch.autograd.grad(y.square().sum(), (x, *layer.parameters())) for y in (joined, layer(x))
    ]
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
