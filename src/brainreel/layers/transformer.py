"""Transformer parts: attention over tokens, feed-forward, pre- and post-norm blocks, drop path.

Parameter names say what a tensor does (`attention.qkv.weight`, `feedforward.expand.weight`), so
that importers of published weights have one place to map to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from brainreel.errors import ConfigError
from brainreel.layers.attention import attention_weights
from brainreel.layers.linear import Linear, linear

Gelu = Literal["exact", "tanh"]
Norm = Literal["pre", "post"]


@dataclass(frozen=True)
class BlockOptions:
    """How a block computes; the published models differ in exactly these.

    Attributes
    ----------
    width, heads
        Token width D and number of heads; D must be a multiple of the heads.
    hidden
        Width of the feed-forward layer.
    norm
        `"pre"`: x + f(norm(x)) (ViT); `"post"`: norm(x + f(x)) (BERT).
    norm_eps
        Added to the variance in LayerNorm.
    gelu
        `"exact"` (error function) or `"tanh"` (its approximation).
    qkv_bias
        Whether the query, key and value projections have a bias.
    dropout, attention_dropout
        Chance to drop an entry after each projection, and an attention weight.
    drop_path
        Chance to skip a branch for one sample.
    """

    width: int
    heads: int
    hidden: int
    norm: Norm = "pre"
    norm_eps: float = 1e-6
    gelu: Gelu = "exact"
    qkv_bias: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                f"a width of {self.width} cannot be shared by {self.heads} heads. "
                "Make the width a multiple of the heads."
            )


class DropPath(nn.Module):
    """Skip a residual branch for whole samples: y_i = x_i m_i / (1 - p), m_i ~ Bernoulli(1 - p).

    The division keeps the expected branch; in evaluation y = x (Huang et al. 2016, stochastic
    depth, with the rescaling that keeps training and evaluation alike).
    """

    def __init__(self, chance: float) -> None:
        super().__init__()
        if not 0 <= chance < 1:
            raise ConfigError(f"drop_path is {chance}; it must lie in [0, 1).")
        self.chance = chance

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, ...) with some samples zero and the others scaled up."""
        if not self.training or self.chance == 0:
            return x
        kept = torch.empty((x.shape[0],) + (1,) * (x.dim() - 1), dtype=x.dtype, device=x.device)
        kept.bernoulli_(1 - self.chance)
        return x * kept / (1 - self.chance)


class Attention(nn.Module):
    """Multi-head attention: softmax(Q K' / sqrt(D / heads)) V, then a projection.

    One `qkv` projection holds query, key and value, in this order. With `context` the queries
    come from `x` and the keys and values from `context` (Vaswani et al. 2017).
    """

    def __init__(self, options: BlockOptions) -> None:
        super().__init__()
        self.heads = options.heads
        self.attention_dropout = options.attention_dropout
        self.qkv = Linear(options.width, 3 * options.width, bias=options.qkv_bias)
        self.out = Linear(options.width, options.width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        x
            (B, N, D) tokens that ask.
        context
            (B, M, D) tokens that answer; None for `x` itself.
        mask
            Broadcastable to (B, heads, N, M): True where token n may look at token m, or a float
            that is added to the score.

        Returns
        -------
        Tensor
            (B, N, D).
        """
        query, key, value = (self._split(part) for part in self._project(x, context))
        chance = self.attention_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=chance
        )
        projected: Tensor = self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return projected

    def attention_weights(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return the (B, heads, N, M) weights with which `forward` mixes; see `attention_maps`."""
        query, key, _ = (self._split(part) for part in self._project(x, context))
        return attention_weights(query, key, mask)

    def _project(self, x: Tensor, context: Tensor | None) -> Sequence[Tensor]:
        if context is None:
            projected: Tensor = self.qkv(x)
            return projected.chunk(3, dim=-1)
        width = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        query = linear(x, weight[:width], None if bias is None else bias[:width])
        answer = linear(context, weight[width:], None if bias is None else bias[width:])
        return (query, *answer.chunk(2, dim=-1))

    def _split(self, part: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        depth = part.shape[2] // self.heads
        return part.reshape(*part.shape[:2], self.heads, depth).transpose(1, 2)


class FeedForward(nn.Module):
    """W2 gelu(W1 x), token by token."""

    def __init__(self, options: BlockOptions) -> None:
        super().__init__()
        self.expand = Linear(options.width, options.hidden)
        self.gelu = nn.GELU(approximate="none" if options.gelu == "exact" else "tanh")
        self.contract = Linear(options.hidden, options.width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        hidden = self.dropout(self.gelu(self.expand(x)))
        projected: Tensor = self.dropout(self.contract(hidden))
        return projected


class Block(nn.Module):
    """One transformer layer.

    pre: x = x + attention(norm(x)); x = x + feedforward(norm(x)) (Dosovitskiy et al. 2021).
    post: x = norm(x + attention(x)); x = norm(x + feedforward(x)) (Devlin et al. 2019).
    `attention` stands in for full attention, and gives `context` and `mask` their meaning.
    """

    def __init__(self, options: BlockOptions, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.post = options.norm == "post"
        self.attention_norm = nn.LayerNorm(options.width, eps=options.norm_eps)
        self.attention = Attention(options) if attention is None else attention
        self.feedforward_norm = nn.LayerNorm(options.width, eps=options.norm_eps)
        self.feedforward = FeedForward(options)
        self.drop_path = DropPath(options.drop_path)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        first: int | None = None,
    ) -> Tensor:
        """(B, N, D) to (B, N, D); `context` and `mask` as in `Attention`.

        With `first`, only so many tokens at the head of `x` are computed; all of `x` answers.
        """
        asking = x if self.post else self.attention_norm(x)
        if first is not None:
            context = asking if context is None else context
            x, asking = x[:, :first], asking[:, :first]
        y: Tensor = x + self.drop_path(self.attention(asking, context, mask))
        if self.post:
            y = self.attention_norm(y)
            y = self.feedforward_norm(y + self.drop_path(self.feedforward(y)))
        else:
            y = y + self.drop_path(self.feedforward(self.feedforward_norm(y)))
        return y


class Transformer(nn.Module):
    """Blocks in a row; drop path grows linearly from 0 to `options.drop_path` with depth.

    With `recompute`, the activations inside a block are not kept for the backward pass but
    computed again: about the memory of one block, for a third more time. `attention` makes the
    attention of each block; the default is full attention.
    """

    def __init__(
        self,
        options: BlockOptions,
        depth: int,
        *,
        recompute: bool = False,
        attention: Callable[[BlockOptions], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        chances = [options.drop_path * i / max(depth - 1, 1) for i in range(depth)]
        each = [BlockOptions(**{**vars(options), "drop_path": chance}) for chance in chances]
        self.blocks = nn.ModuleList(Block(o, attention(o) if attention else None) for o in each)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        layers: slice = slice(None),
        first: int | None = None,
    ) -> Tensor:
        """(B, N, D) to (B, N, D), through all blocks or those of `layers`.

        With `first`, so many tokens come out; the last block computes no others.
        """
        chosen = list(self.blocks)[layers]
        for number, block in enumerate(chosen, start=1):
            wanted = first if number == len(chosen) else None
            if self.recompute and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, context, mask, wanted, use_reentrant=False)
            else:
                x = block(x, context, mask, wanted)
        return x if chosen or first is None else x[:, :first]
