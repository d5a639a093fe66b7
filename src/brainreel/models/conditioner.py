"""Brain tokens as the two conditions of a picture's diffusion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from brainreel.shapes import check_shape


@dataclass(frozen=True)
class Condition:
    """What a diffusion is told of the brain, the same at every step, so made once.

    Attributes
    ----------
    context
        (B, N, D) tokens for the cross-attention.
    time
        (B, E), added to the embedding of the time step; None without the second condition.
    guess
        (B, c, h, w) latents of a first guess of the picture; None without the third condition.
    """

    context: Tensor
    time: Tensor | None
    guess: Tensor | None = None

    def rows(self, chosen: Tensor) -> Condition:
        """Return the conditions of some rows, any number of times each."""
        time, guess = (None if part is None else part[chosen] for part in (self.time, self.guess))
        return Condition(self.context[chosen], time, guess)

    def beside(self, other: Condition) -> Condition:
        """Return these rows, then those of another."""
        context = torch.cat([self.context, other.context])
        return Condition(context, _both(self.time, other.time), _both(self.guess, other.guess))


def _both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None or other is None else torch.cat([one, other])


class TokenConditioner(nn.Module):
    """Tokens of an encoder as tokens of the U-Net's context.

    c = M_2 M_1 tokens W^T + b;  M_1: L -> L // 2 tokens, M_2: L // 2 -> N tokens (with biases)

    A single token, which an encoder that pools gives, stays one: c = token W^T + b. The conditioner
    of MinD-Vis (Chen et al. 2023), which has no nonlinearity.

    Parameters
    ----------
    n_tokens, width
        Tokens L of the encoder, and their width.
    n_context, context_width
        Tokens N of the context, and their width D.
    """

    def __init__(self, n_tokens: int, width: int, n_context: int, context_width: int) -> None:
        super().__init__()
        self.n_tokens, self.width = n_tokens, width
        self.n_context = n_context if n_tokens > 1 else 1
        self.over_tokens: nn.Module = nn.Identity()
        if n_tokens > 1:
            self.over_tokens = nn.Sequential(
                nn.Conv1d(n_tokens, n_tokens // 2, 1), nn.Conv1d(n_tokens // 2, n_context, 1)
            )
        self.over_width = nn.Linear(width, context_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, width) to (B, N, D)."""
        check_shape(tokens, "B L D", name="tokens", L=self.n_tokens, D=self.width)
        context: Tensor = self.over_width(self.over_tokens(tokens))
        return context


class TimeCondition(nn.Module):
    """The context as one vector beside the embedding of the time step.

    e = (m_2 M_1 c) W^T + b;  M_1: N -> N // 2 tokens, m_2: N // 2 -> 1 token (with biases)

    The second of MinD-Vis's two conditions (Chen et al. 2023); of a single token, one linear layer.

    Parameters
    ----------
    n_context, context_width
        Tokens N of the context, and their width D.
    time_width
        Length E of the time step's embedding.
    """

    def __init__(self, n_context: int, context_width: int, time_width: int) -> None:
        super().__init__()
        self.over_tokens: nn.Module = nn.Identity()
        if n_context > 1:
            self.over_tokens = nn.Sequential(
                nn.Conv1d(n_context, n_context // 2, 1), nn.Conv1d(n_context // 2, 1, 1)
            )
        self.over_width = nn.Linear(context_width, time_width)

    def forward(self, context: Tensor) -> Tensor:
        """(B, N, D) to (B, E)."""
        vector: Tensor = self.over_width(self.over_tokens(context))
        return vector.squeeze(1)
