"""How much noise each step of a diffusion holds."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from brainreel.config import Config


class NoiseOptions(Config):
    """Noise levels of a diffusion: betas that are linear in their square root."""

    beta_start: float = Field(0.0015, gt=0, lt=1)
    """Share of the variance that the first step replaces by noise (latent diffusion: 0.0015;
    Stable Diffusion: 0.00085)."""
    beta_end: float = Field(0.0195, gt=0, lt=1)
    """Share of the variance that the last step replaces (0.0195; Stable Diffusion: 0.012)."""
    steps: int = Field(1000, ge=2)
    """Steps from a picture to pure noise."""


def betas(options: NoiseOptions) -> Tensor:
    """Return the (K,) share of the variance that each step replaces by noise, in float64.

    beta_k = (sqrt(beta_start) + k / (K - 1) (sqrt(beta_end) - sqrt(beta_start)))^2

    As in latent diffusion (Rombach et al. 2022).
    """
    first, last = options.beta_start**0.5, options.beta_end**0.5
    return torch.linspace(first, last, options.steps, dtype=torch.float64).square()


def signal_shares(options: NoiseOptions) -> Tensor:
    """Return the (K,) share of the variance that is still the picture, in float64.

    alpha_bar_k = prod_(i <= k) (1 - beta_i)

    Written alpha_bar by Ho et al. (2020), `alphas_cumprod` in much code.
    """
    return (1 - betas(options)).cumprod(0)


def noised(clean: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Return sqrt(share) clean + sqrt(1 - share) noise, row by row.

    Parameters
    ----------
    clean, noise
        (B, ...).
    share
        (B,) share of the variance that stays the picture.
    """
    share = share.to(clean).reshape(-1, *(1,) * (clean.dim() - 1))
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def velocity(clean: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Return sqrt(share) noise - sqrt(1 - share) clean, row by row (Salimans & Ho 2022)."""
    return noised(noise, -clean, share)


def noise_of_velocity(velocity: Tensor, mixed: Tensor, share: Tensor) -> Tensor:
    """Return the noise in `mixed`, of which a network told the velocity.

    noise = sqrt(share) velocity + sqrt(1 - share) mixed
    """
    return noised(velocity, mixed, share)


def noise_of_clean(clean: Tensor, mixed: Tensor, share: Tensor) -> Tensor:
    """Return the noise in `mixed`, of which a network told what is under it.

    noise = (mixed - sqrt(share) clean) / sqrt(1 - share)
    """
    share = share.to(clean).reshape(-1, *(1,) * (clean.dim() - 1))
    return (mixed - share.sqrt() * clean) / (1 - share).sqrt()
