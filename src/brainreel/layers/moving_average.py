"""A moving average of weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class MovingAverage:
    """Weights averaged over training steps, the later the slower.

    d_n = min(decay, (1 + n) / (10 + n)),  average <- average - (1 - d_n) (average - weights)

    n counts the updates from 1, so that the random start is soon forgotten. As in latent diffusion
    (Rombach et al. 2022).

    Attributes
    ----------
    average
        Name -> averaged tensor, begun with the weights as they are.
    n_updates
        Updates so far.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float = 0.9999) -> None:
        self.decay = decay
        self.n_updates = 0
        self.average = {name: value.detach().clone() for name, value in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor]) -> None:
        """Take one step towards the weights; those that are not numbers with a point are copied."""
        self.n_updates += 1
        kept = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        for name, average in self.average.items():
            if average.is_floating_point():
                average.lerp_(weights[name].to(average), 1 - kept)
            else:
                average.copy_(weights[name])
