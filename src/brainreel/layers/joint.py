"""One softmax over the tokens of several senses, each projected by weights of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.layers.attention import attention_weights


class JointAttention(nn.Module):
    """mixed_s = softmax(Q_s [K_1 .. K_S]' / sqrt(D / heads)) [V_1 .. V_S] W_s.

    Q_s, K_s, V_s and W_s are projections of the `Attention` layer of sense s. Where all senses
    have the same layer this is that layer on all tokens. It has no weights of its own.
    """

    def forward(
        self, layers: Sequence[nn.Module], parts: Sequence[Tensor], rows: Sequence[int]
    ) -> list[Tensor]:
        """Attend.

        Parameters
        ----------
        layers
            The `Attention` of each sense, all with the same number of heads.
        parts
            (B, N_s, D) tokens of each sense.
        rows
            How many of the first tokens of each sense ask.

        Returns
        -------
        list
            (B, rows_s, D) for each sense.
        """
        query, key, value = _project(layers, parts, rows)
        chance = max(float(layer.attention_dropout) for layer in layers) if self.training else 0.0  # type: ignore[arg-type]
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=chance)
        flat = torch.split(mixed.transpose(1, 2).flatten(2), list(rows), dim=1)
        return [layer.dropout(layer.out(x)) for layer, x in zip(layers, flat, strict=True)]  # type: ignore[operator]

    def attention_weights(
        self, layers: Sequence[nn.Module], parts: Sequence[Tensor], rows: Sequence[int]
    ) -> Tensor:
        """Return the (B, heads, rows, N) weights over all tokens; see `attention_maps`."""
        query, key, _ = _project(layers, parts, rows)
        return attention_weights(query, key)


def _project(
    layers: Sequence[nn.Module], parts: Sequence[Tensor], rows: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries of the rows, keys and values of all tokens, (B, heads, N, D / heads)."""
    queries, keys, values = [], [], []
    for layer, x, n in zip(layers, parts, rows, strict=True):
        query, key, value = (
            part.reshape(*part.shape[:2], layer.heads, part.shape[2] // layer.heads).transpose(1, 2)
            for part in layer.qkv(x).chunk(3, dim=-1)  # type: ignore[operator]
        )
        queries.append(query[:, :, :n])
        keys.append(key)
        values.append(value)
    return torch.cat(queries, dim=2), torch.cat(keys, dim=2), torch.cat(values, dim=2)
