from __future__ import annotations

import pytest
import torch
from torch import nn

from brainreel.layers.attention import attention_maps, attention_weights
from brainreel.layers.transformer import Attention, Block, BlockOptions, Transformer

OPTIONS = BlockOptions(width=12, heads=3, hidden=20)


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pytorchs(layer: Attention) -> nn.MultiheadAttention:
    """PyTorch's own attention, which gives its weights away."""
    witness = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        witness.in_proj_weight.copy_(layer.qkv.weight)
        witness.in_proj_bias.copy_(layer.qkv.bias.copy_(tokens(36, seed=5)))
        witness.out_proj.weight.copy_(layer.out.weight)
        witness.out_proj.bias.copy_(layer.out.bias)
    return witness


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_maps_are_those_of_pytorchs_attention(crossed: bool, masked: bool) -> None:
    layer, x = Attention(OPTIONS), tokens(2, 5, 12)
    context = tokens(2, 7, 12, seed=1) if crossed else None
    asked = x if context is None else context
    mask = tokens(5, asked.shape[1], seed=2) > -0.5 if masked else None
    if mask is not None:
        mask[:, 0] = True
    witness = pytorchs(layer)
    out, expected = witness(
        x, asked, asked, attn_mask=None if mask is None else ~mask, average_attn_weights=False
    )
    with attention_maps(layer) as maps:
        torch.testing.assert_close(layer(x, context, mask=mask), out, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(maps[""], expected, rtol=1e-5, atol=1e-6)


def test_a_float_mask_is_added_and_a_row_that_sees_nobody_is_zero() -> None:
    query, key = tokens(1, 1, 2, 4), tokens(1, 1, 3, 4, seed=1)
    nobody = torch.tensor([[True, True, False], [False, False, False]])
    weights = attention_weights(query, key, nobody)[0, 0]
    assert weights[1].tolist() == [0, 0, 0]
    added = torch.zeros(2, 3).masked_fill(~nobody, -torch.inf)[:1]
    torch.testing.assert_close(attention_weights(query[:, :, :1], key, added)[0, 0, 0], weights[0])


def test_every_layer_and_every_call_is_kept_only_inside_the_block() -> None:
    stack = Transformer(OPTIONS, depth=2, recompute=True).eval()
    x, y = tokens(2, 5, 12), tokens(2, 4, 12, seed=1)
    with attention_maps(stack) as maps:
        stack(x)
        stack(y, mask=torch.ones(4, 4, dtype=torch.bool).tril())
    names = ["blocks.0.attention", "blocks.1.attention"]
    assert list(maps) == [*names, *(f"{name}#2" for name in names)]
    assert maps[names[1]].shape == (2, 3, 5, 5)
    causal = maps[f"{names[1]}#2"]
    assert causal.triu(1).abs().max() == 0
    torch.testing.assert_close(causal.sum(-1), torch.ones(2, 3, 4))
    stack(x)
    assert len(maps) == 4
    assert not any(part._forward_pre_hooks for part in stack.modules())


def test_the_hooks_go_when_the_network_breaks() -> None:
    block = Block(OPTIONS)
    with pytest.raises(RuntimeError, match="shape"), attention_maps(block):
        block(tokens(1, 3, 11))
    assert not block.attention._forward_pre_hooks


def test_maps_are_computed_without_gradient_and_without_dropout() -> None:
    layer = Attention(BlockOptions(width=12, heads=3, hidden=20, attention_dropout=0.9)).train()
    with attention_maps(layer) as maps:
        out = layer(tokens(2, 5, 12))
    assert out.requires_grad
    assert not maps[""].requires_grad
    torch.testing.assert_close(maps[""].sum(-1), torch.ones(2, 3, 5))


def test_any_layer_that_can_tell_its_weights_takes_part() -> None:
    class Even(nn.Module):
        """Looks at all alike."""

        def forward(self, x: torch.Tensor, *_: object) -> torch.Tensor:
            return x.mean(1, keepdim=True).expand_as(x)

        def attention_weights(self, x: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.full((len(x), 1, x.shape[1], x.shape[1]), 1 / x.shape[1])

    block = Block(OPTIONS)
    block.attention = Even()
    with attention_maps(block) as maps:
        block(tokens(1, 4, 12))
    assert torch.equal(maps["attention"], torch.full((1, 1, 4, 4), 0.25))
