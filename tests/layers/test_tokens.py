from __future__ import annotations

import itertools
import math

import pytest
import torch

from brainreel.errors import ConfigError, ShapeError
from brainreel.layers.tokens import PatchTokens, grid_centres, sincos_positions


@pytest.mark.parametrize(
    ("size", "patch"), [((7,), (3,)), ((4, 6), (2, 3)), ((5, 4), (2, 3)), ((3, 4, 5), (2, 2, 2))]
)
def test_tokens_equal_a_loop_over_patches(size: tuple[int, ...], patch: tuple[int, ...]) -> None:
    layer = PatchTokens(2, size, patch, 8)
    x = torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0))
    weight = layer.project.weight.flatten(1)
    counts = [math.ceil(n / p) for n, p in zip(size, patch, strict=True)]
    padded = torch.zeros(3, 2, *(c * p for c, p in zip(counts, patch, strict=True)))
    padded[(slice(None), slice(None), *(slice(0, n) for n in size))] = x
    expected = []
    for index in torch.cartesian_prod(*map(torch.arange, counts)).reshape(-1, len(size)).tolist():
        window = tuple(slice(i * p, (i + 1) * p) for i, p in zip(index, patch, strict=True))
        cut = padded[(slice(None), slice(None), *window)].flatten(1)
        expected.append(cut @ weight.T + layer.project.bias)
    got = layer(x)
    assert got.shape == (3, layer.n_tokens, 8)
    torch.testing.assert_close(got, torch.stack(expected, dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "patch", "stride"),
    [((23, 12), (4, 5), (3, 2)), ((7,), (3,), (1,)), ((3, 9), (4, 4), (2, 3))],
)
def test_overlapping_tokens_equal_a_loop(
    size: tuple[int, ...], patch: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    layer = PatchTokens(2, size, patch, 8, stride)
    x = torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0))
    # What is smaller than a patch is filled up with zeros.
    padded = torch.zeros(3, 2, *(max(n, p) for n, p in zip(size, patch, strict=True)))
    padded[(slice(None), slice(None), *(slice(0, n) for n in size))] = x
    starts = [
        range(0, n - p + 1, s) for n, p, s in zip(padded.shape[2:], patch, stride, strict=True)
    ]
    assert layer.counts == tuple(len(each) for each in starts)
    expected = []
    for first in itertools.product(*starts):
        window = tuple(slice(i, i + p) for i, p in zip(first, patch, strict=True))
        cut = padded[(slice(None), slice(None), *window)].flatten(1)
        expected.append(cut @ layer.project.weight.flatten(1).T + layer.project.bias)
    torch.testing.assert_close(layer(x), torch.stack(expected, dim=1), rtol=1e-5, atol=1e-6)


def test_ast_has_as_many_tokens_as_published() -> None:
    assert PatchTokens(1, (1024, 128), (16, 16), 4, (10, 10)).counts == (101, 12)
    assert PatchTokens(1, (800, 128), (16, 16), 4).n_tokens == 400


def test_a_stride_that_leaves_gaps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stride of \(5, 2\) leaves gaps between patches of"):
        PatchTokens(1, (8, 8), (4, 4), 4, (5, 2))
    with pytest.raises(ConfigError, match=r"stride of \(0, 2\)"):
        PatchTokens(1, (8, 8), (4, 4), 4, (0, 2))


def test_a_wrong_size_names_the_axis() -> None:
    layer = PatchTokens(3, (8, 8), (4, 4), 8)
    with pytest.raises(ShapeError, match="has 6 along axis W"):
        layer(torch.zeros(1, 3, 8, 6))
    with pytest.raises(ShapeError, match="has 1 along axis C"):
        layer(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ConfigError, match="cannot cut 2 axes"):
        PatchTokens(3, (8, 8), (4,), 8)


@pytest.mark.parametrize(("axes", "width"), [(1, 6), (2, 8), (2, 11), (3, 16), (3, 1024)])
def test_positions_equal_the_formula(axes: int, width: int) -> None:
    rng = torch.Generator().manual_seed(0)
    centres = 10 * torch.rand(5, axes, generator=rng, dtype=torch.float64)
    waves = width // (2 * axes)
    expected = torch.zeros(5, width)
    for n in range(5):
        for a in range(axes):
            for k in range(waves):
                angle = float(centres[n, a]) * 100.0 ** (-k / waves)
                expected[n, a * 2 * waves + k] = math.sin(angle)
                expected[n, a * 2 * waves + waves + k] = math.cos(angle)
    torch.testing.assert_close(
        sincos_positions(centres, width, tau=100.0), expected, rtol=1e-5, atol=1e-6
    )


def test_positions_of_a_non_square_grid_follow_the_patches() -> None:
    centres = grid_centres((2, 3))
    assert centres.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    codes = sincos_positions(centres, 16)
    assert torch.equal(codes[0, :8], codes[2, :8])
    assert not torch.equal(codes[0, 8:], codes[2, 8:])


def test_a_width_too_small_for_the_axes_is_refused() -> None:
    with pytest.raises(ConfigError, match="width of 4 is too small for 3 axes"):
        sincos_positions(torch.zeros(1, 3), 4)
