"""Longformer-type attention: a sliding window, and a few global tokens that meet everybody."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import ConfigError
from brainreel.layers.attention import attention_weights
from brainreel.layers.linear import Linear, linear
from brainreel.layers.transformer import BlockOptions
from brainreel.shapes import check_shape

# Fewer queries a block cost more in overhead than they save in scores that are masked out.
_LEAST_BLOCK = 32


class WindowAttention(nn.Module):
    """Attention of N = G + F tokens: G global ones first, then F in a row with a sliding window.

    Windowed token i: softmax(q_i [k_global, k_j : |i - j| <= window / 2]' / sqrt(d)) v.
    Global token g: softmax(q'_g [k'_1 .. k'_N]' / sqrt(d)) v', by projections q', k', v' of its
    own (`global_qkv`). Time and memory grow linearly with F (Beltagy et al. 2020, Longformer,
    section 3.1). Takes the place of `Attention` in a `Transformer`.

    Parameters
    ----------
    options
        Width, heads, bias and dropout.
    window
        Length of the window, half of it to each side; an odd one counts as one less.
    n_global
        Number G of global tokens, at least one.
    """

    def __init__(self, options: BlockOptions, window: int, n_global: int = 1) -> None:
        super().__init__()
        if window < 0 or n_global < 1:
            raise ConfigError(
                f"a window of {window} with {n_global} global tokens cannot be. "
                "Give a window of at least 0, and at least one global token."
            )
        self.heads = options.heads
        self.reach = window // 2
        self.n_global = n_global
        self.attention_dropout = options.attention_dropout
        self.qkv = Linear(options.width, 3 * options.width, bias=options.qkv_bias)
        self.global_qkv = Linear(options.width, 3 * options.width, bias=options.qkv_bias)
        self.out = Linear(options.width, options.width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        x
            (B, N, D), the global tokens first.
        context
            None: neighbours are neighbours within `x`.
        mask
            (B, F) bool, False where a windowed token is to be looked at by nobody; global tokens
            always count.

        Returns
        -------
        Tensor
            (B, N, D); what stands at masked tokens has no meaning.
        """
        self._check(x, context, mask)
        chance = self.attention_dropout if self.training else 0.0
        query, key, value = (self._split(part) for part in self.qkv(x).chunk(3, dim=-1))
        local = window_attention(
            query[:, :, self.n_global :], key, value, reach=self.reach, valid=mask, dropout=chance
        )
        query, key, value = self._global_parts(x)
        shared = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self._seen_by_all(mask), dropout_p=chance
        )
        mixed = torch.cat([shared, local], dim=2)
        projected: Tensor = self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return projected

    def attention_weights(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return the (B, heads, N, N) weights with which `forward` mixes; see `attention_maps`."""
        n_windowed = self._check(x, context, mask)
        query, key, _ = (self._split(part) for part in self.qkv(x).chunk(3, dim=-1))
        near = window_mask(n_windowed, self.n_global, self.reach, mask, x.device)
        local = attention_weights(query[:, :, self.n_global :], key, near)
        query, key, _ = self._global_parts(x)
        shared = attention_weights(query, key, self._seen_by_all(mask))
        return torch.cat([shared, local], dim=2)

    def _check(self, x: Tensor, context: Tensor | None, mask: Tensor | None) -> int:
        """Return the number F of windowed tokens."""
        if context is not None:
            raise ConfigError("window attention has no context. Use `Attention` to ask others.")
        n_windowed = x.shape[1] - self.n_global
        if mask is not None:
            check_shape(mask, "B F", name="mask", B=len(x), F=n_windowed)
        return n_windowed

    def _global_parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, heads, G, d) of the global tokens; keys and values of all N for them."""
        width = x.shape[-1]
        weight, bias = self.global_qkv.weight, self.global_qkv.bias
        first, rest = (None, None) if bias is None else (bias[:width], bias[width:])
        query = linear(x[:, : self.n_global], weight[:width], first)
        key, value = linear(x, weight[width:], rest).chunk(2, dim=-1)
        return self._split(query), self._split(key), self._split(value)

    def _seen_by_all(self, mask: Tensor | None) -> Tensor | None:
        """(B, 1, 1, N): what the global tokens may look at."""
        if mask is None:
            return None
        return functional.pad(mask, (self.n_global, 0), value=True)[:, None, None]

    def _split(self, part: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        size = part.shape[-1] // self.heads
        return part.reshape(*part.shape[:2], self.heads, size).transpose(1, 2)


def window_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    reach: int,
    valid: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return softmax(q_i [k_global, k_j : |i - j| <= reach]' / sqrt(d)) v for each windowed i.

    Short rows are one masked product; long ones are cut into blocks of queries, each against the
    strip of keys that its window can reach.

    Parameters
    ----------
    query
        (B, heads, F, d) of the windowed tokens.
    key, value
        (B, heads, G + F, d), those of the G >= 1 global tokens first.
    reach
        Tokens seen to each side.
    valid
        (B, F) bool: which windowed tokens may be looked at; None for all.
    dropout
        Chance to drop an attention weight.

    Returns
    -------
    Tensor
        (B, heads, F, d).
    """
    n_windowed = query.shape[2]
    _, strip = strip_lengths(reach)
    if n_windowed <= 2 * strip:
        mask = window_mask(n_windowed, key.shape[2] - n_windowed, reach, valid, query.device)
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout
        )
    return _by_strips(query, key, value, reach, valid, dropout)


def strip_lengths(reach: int) -> tuple[int, int]:
    """Return how many queries make a block, and how many keys in a row they can reach."""
    block = max(2 * reach, _LEAST_BLOCK)
    return block, block + 2 * reach


def window_mask(
    n_windowed: int,
    n_global: int,
    reach: int,
    valid: Tensor | None = None,
    device: torch.device | None = None,
) -> Tensor | None:
    """Return the (F, G + F) mask of who may look at whom, or (B, 1, F, G + F) with `valid`.

    None where all look at all: the window is longer than the row, and every token is valid.
    """
    if n_windowed <= reach + 1 and valid is None:
        return None
    number = torch.arange(n_windowed, device=device)
    near = (number[:, None] - number).abs() <= reach
    if valid is not None:
        near = near & valid[:, None, None]
    return functional.pad(near, (n_global, 0), value=True)


def _by_strips(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    reach: int,
    valid: Tensor | None,
    dropout: float,
) -> Tensor:
    """Attend block by block; every block is a row of one batched product."""
    n_rows, heads, n_windowed, size = query.shape
    n_global = key.shape[2] - n_windowed
    block, strip = strip_lengths(reach)
    n_blocks = math.ceil(n_windowed / block)
    spare = n_blocks * block - n_windowed
    asked = functional.pad(query, (0, 0, 0, spare))
    asked = asked.reshape(n_rows, heads, n_blocks, block, size).transpose(1, 2).flatten(0, 1)

    def strips(part: Tensor) -> Tensor:
        """(B, heads, G + F, d) to (B blocks, heads, G + strip, d)."""
        row = functional.pad(part[:, :, n_global:], (0, 0, reach, reach + spare))
        cut = row.unfold(2, strip, block).permute(0, 2, 1, 4, 3)
        shared = part[:, None, :, :n_global].expand(-1, n_blocks, -1, -1, -1)
        return torch.cat([shared, cut], dim=3).flatten(0, 1)

    if valid is None:
        valid = torch.ones(1, n_windowed, dtype=torch.bool, device=query.device)
    there = functional.pad(valid, (reach, reach + spare)).unfold(1, strip, block)
    ahead = torch.arange(strip, device=query.device)
    ahead = ahead - torch.arange(block, device=query.device)[:, None]
    near = (ahead >= 0) & (ahead <= 2 * reach)
    mask = functional.pad(near & there[:, :, None], (n_global, 0), value=True)
    mask = mask.expand(n_rows, -1, -1, -1).flatten(0, 1)[:, None]
    mixed = functional.scaled_dot_product_attention(
        asked, strips(key), strips(value), attn_mask=mask, dropout_p=dropout
    )
    mixed = mixed.reshape(n_rows, n_blocks, heads, block, size).transpose(1, 2)
    return mixed.reshape(n_rows, heads, -1, size)[:, :, :n_windowed]
