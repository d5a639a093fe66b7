"""Gaussians of independent entries: what a variational autoencoder believes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Gaussian:
    """N(mean, exp(2 log_std)), entry by entry.

    Attributes
    ----------
    mean, log_std
        The same shape (..., L).
    """

    mean: Tensor
    log_std: Tensor

    @classmethod
    def split(cls, values: Tensor) -> Gaussian:
        """(..., 2 L) to means, then logarithms of the deviations."""
        return cls(*values.chunk(2, dim=-1))

    def draw(self, generator: torch.Generator | None = None) -> Tensor:
        """Return mean + std noise, differentiable in both (Kingma & Welling 2014)."""
        # Drawn where the generator lives, so that a seed means the same on every device.
        home = self.mean.device if generator is None else generator.device
        noise = torch.randn(self.mean.shape, generator=generator, device=home)
        return self.mean + self.log_std.exp() * noise.to(self.mean)


def kl_divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """Return KL(q || p) of each entry, in nats.

    log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2

    Their sum is that of the whole: the entries are independent (Kingma & Welling 2014, app. B).
    """
    wider = 2 * (q.log_std - p.log_std)
    apart = (q.mean - p.mean) * (-p.log_std).exp()
    return (wider.exp() + apart.square() - 1 - wider) / 2
