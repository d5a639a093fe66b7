from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from brainreel.errors import ConfigError
from brainreel.layers.attention import attention_maps
from brainreel.layers.transformer import Attention, Block, BlockOptions, DropPath, Transformer

OPTIONS = BlockOptions(width=12, heads=3, hidden=20)


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def loop_attention(layer: Attention, x, context, allowed=None):
    """Head by head and token by token, as the formula says."""
    width, heads = x.shape[-1], layer.heads
    wq, wk, wv = layer.qkv.weight.chunk(3)
    bq, bk, bv = layer.qkv.bias.chunk(3)
    out = torch.zeros_like(x)
    size = width // heads
    for b in range(x.shape[0]):
        q, k, v = x[b] @ wq.T + bq, context[b] @ wk.T + bk, context[b] @ wv.T + bv
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            for n in range(x.shape[1]):
                score = torch.stack(
                    [q[n, part] @ k[m, part] / math.sqrt(size) for m in range(len(k))]
                )
                if allowed is not None:
                    score[~allowed[n]] = -torch.inf
                weight = score.exp() / score.exp().sum()
                out[b, n, part] = weight @ v[:, part]
    return out @ layer.out.weight.T + layer.out.bias


def test_self_attention_equals_the_loop() -> None:
    layer, x = Attention(OPTIONS), tokens(2, 5, 12)
    torch.testing.assert_close(layer(x), loop_attention(layer, x, x), rtol=1e-5, atol=1e-6)


def test_cross_attention_with_a_mask_equals_the_loop() -> None:
    layer, x, context = Attention(OPTIONS), tokens(2, 4, 12), tokens(2, 6, 12, seed=1)
    allowed = tokens(4, 6, seed=2) > -0.5
    allowed[:, 0] = True
    expected = loop_attention(layer, x, context, allowed)
    torch.testing.assert_close(layer(x, context, allowed), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("gelu", ["exact", "tanh"])
def test_block_equals_pytorchs_encoder_layer(norm: str, gelu: str) -> None:
    options = BlockOptions(width=12, heads=3, hidden=20, norm=norm, norm_eps=1e-3, gelu=gelu)
    block = Block(options).eval()
    witness = nn.TransformerEncoderLayer(
        12,
        3,
        20,
        dropout=0.0,
        activation=lambda x: functional.gelu(x, approximate="none" if gelu == "exact" else "tanh"),
        layer_norm_eps=1e-3,
        batch_first=True,
        norm_first=norm == "pre",
    )
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(tokens(*p.shape, seed=p.numel()) * 0.5)
        for mine, theirs in (
            (block.attention.qkv.weight, witness.self_attn.in_proj_weight),
            (block.attention.qkv.bias, witness.self_attn.in_proj_bias),
            (block.attention.out.weight, witness.self_attn.out_proj.weight),
            (block.attention.out.bias, witness.self_attn.out_proj.bias),
            (block.feedforward.expand.weight, witness.linear1.weight),
            (block.feedforward.expand.bias, witness.linear1.bias),
            (block.feedforward.contract.weight, witness.linear2.weight),
            (block.feedforward.contract.bias, witness.linear2.bias),
            (block.attention_norm.weight, witness.norm1.weight),
            (block.attention_norm.bias, witness.norm1.bias),
            (block.feedforward_norm.weight, witness.norm2.weight),
            (block.feedforward_norm.bias, witness.norm2.bias),
        ):
            theirs.copy_(mine)
    x = tokens(2, 5, 12, seed=9)
    torch.testing.assert_close(block(x), witness(x), rtol=1e-5, atol=1e-5)


def test_the_two_forms_of_gelu_differ() -> None:
    exact, tanh = Block(OPTIONS), Block(BlockOptions(width=12, heads=3, hidden=20, gelu="tanh"))
    tanh.load_state_dict(exact.state_dict())
    x = 3 * tokens(1, 4, 12)
    assert 1e-7 < (exact(x) - tanh(x)).abs().max() < 1e-2


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_tokens_that_nobody_reads_change_nothing(norm: str, depth: int) -> None:
    stack = Transformer(BlockOptions(width=12, heads=3, hidden=20, norm=norm), depth)
    x = tokens(2, 5, 12)
    with attention_maps(stack) as maps:
        read = stack(x, first=2)
    torch.testing.assert_close(read, stack(x)[:, :2], rtol=1e-5, atol=1e-6)
    assert [m.shape[2] for m in maps.values()] == [5] * (depth - 1) + [2] * (depth > 0)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = DropPath(0.25)
    y = layer(torch.ones(20000, 3, 2))
    per_sample = y.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    values = per_sample[:, 0].unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / 0.75]))
    # The mean of 20000 Bernoulli draws lies within 4 standard errors of 1.
    assert abs(float(y.mean()) - 1) < 4 * math.sqrt(0.25 / 0.75 / 20000)
    assert torch.equal(layer.eval()(y), y)


def test_drop_path_grows_linearly_with_depth() -> None:
    stack = Transformer(BlockOptions(width=12, heads=3, hidden=20, drop_path=0.3), depth=4)
    assert [b.drop_path.chance for b in stack.blocks] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_recomputed_activations_give_the_same_gradients() -> None:
    options = BlockOptions(width=12, heads=3, hidden=20, dropout=0.3, drop_path=0.3)
    grads = []
    for recompute in (False, True):
        torch.manual_seed(1)
        stack = Transformer(options, depth=2, recompute=recompute)
        torch.manual_seed(2)
        stack(tokens(3, 5, 12)).square().sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in stack.parameters()]))
    assert grads[0].abs().sum() > 0
    assert torch.equal(grads[0], grads[1])


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="width of 10 cannot be shared by 4 heads"):
        BlockOptions(width=10, heads=4, hidden=8)
    with pytest.raises(ConfigError, match=r"drop_path is 1\.0; it must lie in"):
        DropPath(1.0)
