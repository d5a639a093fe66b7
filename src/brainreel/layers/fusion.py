"""How the tokens of several senses meet in transformer layers: pure functions on blocks.

A layer is a mapping from sense to `Block`; with shared weights the same block stands for each.
`Tokens` are sense -> (B, N_s, D). `wanted` is how many of the first tokens of each sense are
computed in the last layer: what is not read out there costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from brainreel.layers.joint import JointAttention
from brainreel.layers.transformer import Block

Tokens = dict[str, Tensor]
Layers = Sequence[Mapping[str, Block]]
Wanted = Mapping[str, int]
Run = Callable[..., Any]


def attend(block: Block, x: Tensor, rows: slice | Tensor) -> Tensor:
    """Run a pre-norm block for some of its tokens: they ask, all answer.

    Parameters
    ----------
    block
        The layer.
    x
        (B, N, D).
    rows
        Which tokens are wanted.

    Returns
    -------
    Tensor
        (B, rows, D), equal to `block(x)[:, rows]`.
    """
    normed = block.attention_norm(x)
    mixed = block.attention(normed[:, rows], normed)
    y: Tensor = x[:, rows] + block.drop_path(mixed)
    change: Tensor = block.drop_path(block.feedforward(block.feedforward_norm(y)))
    return y + change


def stay_apart(layers: Layers, tokens: Tokens, wanted: Wanted, run: Run) -> Tokens:
    """z_s <- block_s(z_s), sense by sense."""
    for layer in layers:
        last = layer is layers[-1]
        tokens = {
            s: run(attend, layer[s], x, slice(wanted[s]))
            if last and wanted[s] < x.shape[1]
            else run(layer[s], x)
            for s, x in tokens.items()
        }
    return tokens


def meet_in_bottleneck(
    layers: Layers, tokens: Tokens, wanted: Wanted, run: Run, bottleneck: Tensor
) -> Tokens:
    """[z_s, b_s] <- block_s([z_s, b]), then b <- mean over s of b_s.

    Nagrani et al. 2021, eq. 8 and 9. `bottleneck` is (1, B, D).
    """
    *inner, last = layers
    n_bottlenecks = bottleneck.shape[1]
    between = bottleneck.expand(len(next(iter(tokens.values()))), -1, -1)
    for layer in inner:
        both = {
            sense: run(layer[sense], torch.cat([x, between], dim=1)).split(
                [x.shape[1], n_bottlenecks], dim=1
            )
            for sense, x in tokens.items()
        }
        tokens = {sense: own for sense, (own, _) in both.items()}
        between = torch.stack([updated for _, updated in both.values()]).mean(dim=0)
    # Nobody reads the bottleneck after the last layer.
    return {
        sense: run(attend, last[sense], torch.cat([x, between], dim=1), slice(wanted[sense]))
        for sense, x in tokens.items()
    }


def meet_in_cross_attention(layers: Layers, tokens: Tokens, wanted: Wanted, run: Run) -> Tokens:
    """z_s <- block_s([z_1 .. z_S]), computed at the tokens of s alone.

    The queries are those of one sense; keys and values those of all, by the weights of the one
    that asks. Nagrani et al. 2021, eq. 7.
    """
    place = places(tokens)
    for layer in layers:
        asking = wanted_places(place, wanted) if layer is layers[-1] else place
        joint = torch.cat(list(tokens.values()), dim=1)
        tokens = {s: run(attend, layer[s], joint, asking[s]) for s in tokens}
    return tokens


def meet_in_self_attention(
    layers: Layers, tokens: Tokens, wanted: Wanted, run: Run, attention: JointAttention
) -> Tokens:
    """One softmax over the tokens of all senses, each projected by the weights of its own sense.

    z_s <- z_s + mixed_s; z_s <- z_s + feedforward_s(norm_s(z_s)), where mixed are the rows of
    `JointAttention`.
    """
    for layer in layers:
        rows = [wanted[s] if layer is layers[-1] else x.shape[1] for s, x in tokens.items()]
        blocks = [layer[s] for s in tokens]
        parts = run(_joint_layer, attention, blocks, list(tokens.values()), rows)
        tokens = dict(zip(tokens, parts, strict=True))
    return tokens


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


def meet_in_one_block(layers: Layers, tokens: Tokens, wanted: Wanted, run: Run) -> Tokens:
    """z <- block([z_1 .. z_S]): one transformer for the tokens of all senses (eq. 6)."""
    *inner, last = (next(iter(layer.values())) for layer in layers)
    joint = torch.cat(list(tokens.values()), dim=1)
    for block in inner:
        joint = run(block, joint)
    asking = wanted_places(places(tokens), wanted).values()
    rows = torch.cat([torch.arange(a.start, a.stop, device=joint.device) for a in asking])
    parts = run(attend, last, joint, rows).split([wanted[sense] for sense in tokens], dim=1)
    return dict(zip(tokens, parts, strict=True))


def places(tokens: Mapping[str, Tensor]) -> dict[str, slice]:
    """Return where the tokens of each sense stand when all are laid side by side."""
    found: dict[str, slice] = {}
    start = 0
    for sense, x in tokens.items():
        found[sense] = slice(start, start + x.shape[1])
        start += x.shape[1]
    return found


def wanted_places(place: Mapping[str, slice], wanted: Wanted) -> dict[str, slice]:
    """Return where the first `wanted` tokens of each sense stand."""
    return {sense: slice(at.start, at.start + wanted[sense]) for sense, at in place.items()}
