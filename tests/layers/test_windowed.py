from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError, ShapeError
from brainreel.layers.attention import attention_maps
from brainreel.layers.transformer import BlockOptions, Transformer
from brainreel.layers.windowed import WindowAttention, window_attention, window_mask

OPTIONS = BlockOptions(width=12, heads=3, hidden=20, norm="post")


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def loop(layer: WindowAttention, x: Tensor, window: int) -> Tensor:
    """Token by token and head by head; the class of token decides whose projections are used."""
    first, size = layer.n_global, x.shape[-1] // layer.heads
    mixed = torch.zeros_like(x)
    for b in range(len(x)):
        own, whole = (
            (x[b] @ p.weight.T + p.bias).chunk(3, dim=-1) for p in (layer.qkv, layer.global_qkv)
        )
        for i in range(x.shape[1]):
            query, key, value = whole if i < first else own
            near = [j >= first and 2 * abs(i - j) <= window for j in range(x.shape[1])]
            seen = [j for j in range(x.shape[1]) if i < first or j < first or near[j]]
            for h in range(layer.heads):
                part = slice(h * size, (h + 1) * size)
                score = torch.stack([query[i, part] @ key[j, part] for j in seen]) / math.sqrt(size)
                mixed[b, i, part] = score.softmax(0) @ value[seen, part]
    return mixed @ layer.out.weight.T + layer.out.bias


@pytest.mark.parametrize("n_global", [1, 3])
@pytest.mark.parametrize("window", [0, 2, 5, 100])
@pytest.mark.parametrize("n_windowed", [1, 2, 9])
def test_it_equals_the_loop(n_windowed: int, window: int, n_global: int) -> None:
    layer = WindowAttention(OPTIONS, window, n_global)
    x = tokens(2, n_global + n_windowed, 12)
    torch.testing.assert_close(layer(x), loop(layer, x, window), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_windowed", [139, 160, 257])
@pytest.mark.parametrize("masked", [False, True])
def test_strips_equal_one_masked_product(n_windowed: int, masked: bool) -> None:
    reach, n_global = 4, 2
    query = tokens(2, 3, n_windowed, 8)
    key, value = (
        tokens(2, 3, n_global + n_windowed, 8, seed=1),
        tokens(2, 3, n_global + n_windowed, 8, seed=2),
    )
    valid = tokens(2, n_windowed, seed=3) > 0 if masked else None
    mask = window_mask(n_windowed, n_global, reach, valid)
    score = (query.double() @ key.double().mT / math.sqrt(8)).masked_fill(~mask, -torch.inf)
    expected = (score.softmax(-1) @ value.double()).float()
    found = window_attention(query, key, value, reach=reach, valid=valid)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_strips_have_the_gradient_of_one_masked_product() -> None:
    grads = []
    for slow in (False, True):
        query, key, value = (
            tokens(1, 2, n, 4, seed=seed).requires_grad_() for seed, n in enumerate((150, 151, 151))
        )
        if slow:
            score = (query @ key.mT / 2).masked_fill(~window_mask(150, 1, 3), -torch.inf)
            mixed = score.softmax(-1) @ value
        else:
            mixed = window_attention(query, key, value, reach=3)
        (mixed * tokens(*mixed.shape, seed=5)).sum().backward()
        grads.append((query.grad, key.grad, value.grad))
    for strips, dense in zip(*grads, strict=True):
        torch.testing.assert_close(strips, dense, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_windowed", [7, 200])
def test_a_padded_row_equals_the_row_alone(n_windowed: int) -> None:
    layer, kept = WindowAttention(OPTIONS, 4), n_windowed - 3
    x = tokens(2, 1 + n_windowed, 12)
    valid = torch.ones(2, n_windowed, dtype=torch.bool)
    valid[1, kept:] = False
    together, alone = layer(x, mask=valid), layer(x[1:, : 1 + kept])
    torch.testing.assert_close(together[1, : 1 + kept], alone[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together[0], layer(x[:1])[0], rtol=1e-5, atol=1e-6)


def test_what_is_far_reaches_a_frame_through_the_global_token_alone() -> None:
    layer, x = WindowAttention(OPTIONS, 4), tokens(1, 1 + 200, 12)
    changed = x.clone()
    changed[0, 1 + 150] += 1
    moved = (layer(x) - layer(changed)).abs().amax(dim=-1)[0] > 0
    assert moved[0]
    assert moved[1:].nonzero().squeeze(1).tolist() == [148, 149, 150, 151, 152]


def test_a_window_longer_than_the_row_needs_no_mask() -> None:
    assert window_mask(5, 1, 4) is None
    mask = window_mask(5, 1, 3)
    assert mask is not None
    assert (~mask).nonzero().tolist() == [[0, 5], [4, 1]]


def test_it_takes_the_place_of_full_attention_in_every_block() -> None:
    stack = Transformer(OPTIONS, depth=2, attention=partial(WindowAttention, window=2))
    x = tokens(1, 8, 12)
    changed = x.clone()
    changed[0, 7] += 1
    moved = (stack(x) - stack(changed)).abs().amax(dim=-1)[0] > 1e-7
    assert isinstance(stack.blocks[1].attention, WindowAttention)
    # In two layers the change comes two neighbours far, and by the global token to all.
    assert moved.all()
    first = (stack.blocks[0](x) - stack.blocks[0](changed)).abs().amax(dim=-1)[0] > 1e-7
    assert first.nonzero().squeeze(1).tolist() == [0, 6, 7]


@pytest.mark.parametrize("n_windowed", [6, 150])
def test_its_map_holds_the_weights_it_mixes_with(n_windowed: int) -> None:
    layer, x = WindowAttention(OPTIONS, 4), tokens(2, 1 + n_windowed, 12)
    valid = tokens(2, n_windowed, seed=3) > -1
    with attention_maps(layer) as maps:
        out = layer(x, mask=valid)
    weights = maps[""]
    assert weights.shape == (2, 3, 1 + n_windowed, 1 + n_windowed)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 1 + n_windowed))
    assert not weights[:, :, :, 1:].transpose(1, 3)[~valid].any()
    assert (weights[:, :, 1, 4:] == 0).all()
    own, whole = ((x @ p.weight.T + p.bias)[..., -12:] for p in (layer.qkv, layer.global_qkv))
    split = [value.reshape(2, -1, 3, 4).transpose(1, 2) for value in (own, whole)]
    mixed = torch.cat([weights[:, :, :1] @ split[1], weights[:, :, 1:] @ split[0]], dim=2)
    torch.testing.assert_close(
        layer.out(mixed.transpose(1, 2).flatten(2)), out, rtol=1e-5, atol=1e-6
    )


def test_attention_is_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    options = BlockOptions(width=12, heads=3, hidden=20, attention_dropout=0.5)
    layer, x = WindowAttention(options, 4), tokens(1, 9, 12)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    torch.testing.assert_close(layer(x), loop(layer, x, 4), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="a window of -1 with 1 global tokens cannot be"):
        WindowAttention(OPTIONS, -1)
    with pytest.raises(ConfigError, match="a window of 4 with 0 global tokens cannot be"):
        WindowAttention(OPTIONS, 4, n_global=0)
    layer, x = WindowAttention(OPTIONS, 4), tokens(2, 6, 12)
    with pytest.raises(ConfigError, match="window attention has no context"):
        layer(x, x)
    with pytest.raises(ShapeError, match="mask has 6 along axis F"):
        layer(x, mask=torch.ones(2, 6, dtype=torch.bool))
