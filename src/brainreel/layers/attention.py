"""Who looks at whom: the weights of any attention, computed only while somebody asks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return softmax(Q K' / sqrt(d) + mask), each row over the keys.

    Parameters
    ----------
    query, key
        (B, heads, N, d) and (B, heads, M, d).
    mask
        Broadcastable to (B, heads, N, M): True where n may look at m, or a float that is added.

    Returns
    -------
    Tensor
        (B, heads, N, M); rows add up to 1, or are 0 where a token may look at nobody.

    Notes
    -----
    Vaswani et al. 2017, eq. 1: what `scaled_dot_product_attention` uses and does not give away.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is None:
        return scores.softmax(dim=-1)
    if mask.dtype == torch.bool:
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
        return weights.masked_fill(~mask, 0.0)  # a row without any True has become NaN
    return (scores + mask).softmax(dim=-1)


@contextmanager
def attention_maps(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the attention weights of every call made inside the block.

    A layer takes part if it has a method `attention_weights` with the arguments of its `forward`.
    Outside the block nothing is computed or kept; inside, each map costs its own memory and a
    second product of queries and keys.

    Parameters
    ----------
    module
        A network or a layer; all attention layers in it are watched.

    Yields
    ------
    dict
        Name of the layer within `module` -> (B, heads, N, M), without dropout and gradient; ""
        for `module` itself. The second call of a layer, as where two senses share one, is
        `name#2`, and so on.

    Examples
    --------
    >>> import torch
    >>> from brainreel.layers.transformer import BlockOptions, Transformer
    >>> stack = Transformer(BlockOptions(width=8, heads=2, hidden=8), depth=1)
    >>> with attention_maps(stack) as maps:
    ...     _ = stack(torch.zeros(1, 3, 8))
    >>> {name: tuple(weights.shape) for name, weights in maps.items()}
    {'blocks.0.attention': (1, 2, 3, 3)}
    """
    maps: dict[str, Tensor] = {}
    handles = [
        part.register_forward_pre_hook(_keeper(name, maps), with_kwargs=True)
        for name, part in module.named_modules()
        if callable(getattr(part, "attention_weights", None))
    ]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _keeper(name: str, maps: dict[str, Tensor]) -> Any:
    """Return the hook of one layer."""

    def keep(layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        with torch.no_grad():
            weights: Tensor = layer.attention_weights(*args, **kwargs)
        calls = 1
        while (key := name if calls == 1 else f"{name}#{calls}") in maps:
            calls += 1
        maps[key] = weights

    return keep
