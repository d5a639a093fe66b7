"""How the tokens of several senses meet in transformer layers: pure functions on blocks.

A layer is a mapping from sense to `Block`. `Tokens` are sense -> (B, N_s, D). `wanted` is how many
of the first tokens of each sense the last layer computes: what is not read out costs nothing.
`run` calls a function, and may keep no activations for the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from brainreel.layers.joint import JointAttention
from brainreel.layers.transformer import Block, Transformer

Tokens = dict[str, Tensor]
Layers = Sequence[Mapping[str, Block]]
Wanted = Mapping[str, int]
Run = Callable[..., Any]


def meet_in_bottleneck(
    layers: Layers, tokens: Tokens, wanted: Wanted, run: Run, bottleneck: Tensor
) -> Tokens:
    """[z_s, b_s] <- block_s([z_s, b]), then b <- mean over s of b_s.

    Nagrani et al. 2021, eq. 8 and 9. `bottleneck` is (1, B, D).
    """
    *inner, last = layers
    between = bottleneck.expand(len(next(iter(tokens.values()))), -1, -1)
    for layer in inner:
        both = {s: run(layer[s], torch.cat([x, between], dim=1)) for s, x in tokens.items()}
        parts = {s: x.split([tokens[s].shape[1], between.shape[1]], 1) for s, x in both.items()}
        tokens = {s: own for s, (own, _) in parts.items()}
        between = torch.stack([updated for _, updated in parts.values()]).mean(dim=0)
    # Nobody reads the bottleneck after the last layer.
    return {
        s: run(last[s], torch.cat([x, between], dim=1), first=wanted[s]) for s, x in tokens.items()
    }


def meet_in_cross_attention(layers: Layers, tokens: Tokens, wanted: Wanted, run: Run) -> Tokens:
    """z_s <- block_s([z_s, others]), computed at the tokens of s alone.

    The queries are those of one sense; keys and values those of all, by the weights of the one
    that asks. Nagrani et al. 2021, eq. 7.
    """
    for layer in layers:
        asking = {s: wanted[s] if layer is layers[-1] else x.shape[1] for s, x in tokens.items()}
        tokens = {
            s: run(
                layer[s],
                torch.cat([x, *(other for o, other in tokens.items() if o != s)], dim=1),
                first=asking[s],
            )
            for s, x in tokens.items()
        }
    return tokens


def meet_in_self_attention(
    layers: Layers, tokens: Tokens, wanted: Wanted, run: Run, attention: JointAttention
) -> Tokens:
    """One softmax over the tokens of all senses, each projected by the weights of its own sense.

    z_s <- z_s + mixed_s; z_s <- z_s + feedforward_s(norm_s(z_s)), where mixed_s are the rows that
    `JointAttention` gives.
    """
    for layer in layers:
        asking = [wanted[s] if layer is layers[-1] else x.shape[1] for s, x in tokens.items()]
        blocks = [layer[s] for s in tokens]
        parts = run(_joint_layer, attention, blocks, list(tokens.values()), asking)
        tokens = dict(zip(tokens, parts, strict=True))
    return tokens


def meet_in_one_tower(tower: Transformer, layers: slice, tokens: Tokens, wanted: Wanted) -> Tokens:
    """z <- block([z_1 .. z_S]): one transformer for the tokens of all senses.

    Nagrani et al. 2021, eq. 6. Tokens that are wanted stand first, which attention does not mind.
    """
    heads = [x[:, : wanted[s]] for s, x in tokens.items()]
    tails = [x[:, wanted[s] :] for s, x in tokens.items()]
    joint = tower(torch.cat([*heads, *tails], dim=1), layers=layers, first=sum(wanted.values()))
    parts = joint.split([wanted[s] for s in tokens], dim=1)
    return dict(zip(tokens, parts, strict=True))


def places(tokens: Mapping[str, Tensor]) -> dict[str, slice]:
    """Return where the tokens of each sense stand when all are laid side by side."""
    found: dict[str, slice] = {}
    start = 0
    for sense, x in tokens.items():
        found[sense] = slice(start, start + x.shape[1])
        start += x.shape[1]
    return found


def _joint_layer(
    attention: JointAttention, blocks: Sequence[Block], parts: Sequence[Tensor], rows: Sequence[int]
) -> list[Tensor]:
    normed = [block.attention_norm(x) for block, x in zip(blocks, parts, strict=True)]
    mixed = attention([block.attention for block in blocks], normed, rows)
    found = []
    for block, x, change, n in zip(blocks, parts, mixed, rows, strict=True):
        y = x[:, :n] + block.drop_path(change)
        found.append(y + block.drop_path(block.feedforward(block.feedforward_norm(y))))
    return found
