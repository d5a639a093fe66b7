"""Attention roll-out: how much of what a token came to be stems from each token at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brainreel.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Look:
    """One attention of one layer, on the graph of all tokens of a network.

    Attributes
    ----------
    maps
        (B, heads, n, m) attention weights.
    asking
        (n,) numbers of the tokens that look.
    answering
        (m,) numbers of the tokens that are looked at; all that ask are among them.
    """

    maps: Tensor
    asking: Tensor
    answering: Tensor


def rollout(layers: Sequence[Sequence[Look]], start: Tensor) -> Tensor:
    """r <- r T_l for l = L .. 1, T_l = mean over looks of (mean over heads of A_l + I) / 2.

    The identity stands for the residual branch. A token that looks in two places, as a bottleneck
    token does, is the mean of both; one that does not look stays what it is. Only a row is
    multiplied, never matrix by matrix: O(L N^2), not O(L N^3).

    Parameters
    ----------
    layers
        The looks of each layer, first layer first.
    start
        (B, N) weights of the tokens at the end that are to be explained, such as 1 at the class
        token.

    Returns
    -------
    Tensor
        (B, N) weights of the tokens before the first layer; rows keep their sum.

    Notes
    -----
    Abnar & Zuidema 2020, "Quantifying attention flow in transformers", section 3.2.
    """
    relevance = start
    for looks in reversed(layers):
        n_rows, n_tokens = relevance.shape
        times = torch.zeros(n_tokens, dtype=start.dtype, device=start.device)
        for look in looks:
            sizes = {"B": n_rows, "N": len(look.asking), "M": len(look.answering)}
            check_shape(look.maps, "B heads N M", name="attention maps", **sizes)
            times[look.asking] += 1
        before = torch.where(times > 0, relevance / 2, relevance)
        for look in looks:
            share = relevance[:, look.asking] / times[look.asking] / 2
            seen = torch.einsum("bn,bnm->bm", share, look.maps.to(start.dtype).mean(dim=1))
            before.index_add_(1, look.answering, seen)
        relevance = before
    return relevance
