from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from brainreel.layers.flops import count_flops
from brainreel.layers.positions import LearnedPositions
from brainreel.layers.transformer import BlockOptions, Transformer


def test_attention_counts_its_two_products() -> None:
    q, k, v = (torch.zeros(2, 3, n, 8) for n in (5, 7, 7))
    flops = count_flops(lambda: scaled_dot_product_attention(q, k, v))
    assert flops == 2 * (2 * 3 * 5 * 7 * 8) * 2


def test_a_masked_attention_counts_the_same() -> None:
    q = torch.zeros(2, 3, 5, 8)
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    flops = count_flops(lambda: scaled_dot_product_attention(q, q, q, attn_mask=mask))
    assert flops == 2 * (2 * 3 * 5 * 5 * 8) * 2


def test_a_layer_and_its_backward_pass() -> None:
    n, d, hidden = 6, 8, 12
    net = Transformer(BlockOptions(width=d, heads=2, hidden=hidden), depth=2)
    x = torch.zeros(1, n, d, requires_grad=True)
    forward = 2 * (2 * (4 * n * d * d + 2 * n * d * hidden) + 2 * 2 * n * n * d)
    assert count_flops(lambda: net(x)) == forward
    # Two products for every one of the forward pass.
    assert count_flops(lambda: net(x).sum().backward()) == 3 * forward


@torch.no_grad()
def test_views_of_parameters_without_gradient_do_not_hinder() -> None:
    net = LearnedPositions((2, 3), 8)
    assert count_flops(lambda: net() @ torch.zeros(8, 5)) == 2 * 6 * 8 * 5
