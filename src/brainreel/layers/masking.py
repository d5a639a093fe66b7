"""Masked modelling: which tokens a network sees, and which it must fill in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainreel.errors import ConfigError
from brainreel.shapes import check_shape

# Noise lies in [0, 1); what is put behind all of it is removed first.
_BEHIND = 1.1


@dataclass(frozen=True, eq=False)
class Masking:
    """The tokens of each row that are seen, and those that are not.

    Attributes
    ----------
    kept
        (B, K) their numbers.
    removed
        (B, N) boolean, True for a token that is not seen.
    """

    kept: Tensor
    removed: Tensor

    def seen(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to (B, K, D)."""
        return tokens.gather(1, self.kept[:, :, None].expand(-1, -1, tokens.shape[2]))

    def filled(self, seen: Tensor, token: Tensor) -> Tensor:
        """(B, K, D) to (B, N, D): what was seen at its place, `token` (1, 1, D) at the others."""
        rows, width = len(seen), seen.shape[2]
        whole = token.to(seen.dtype).expand(rows, self.removed.shape[1], width)
        return whole.scatter(1, self.kept[:, :, None].expand(-1, -1, width), seen)


def n_kept(n_tokens: int, ratio: float) -> int:
    """Return int(N (1 - ratio)), as published; none left is an error."""
    kept = int(n_tokens * (1 - ratio))
    if not kept:
        raise ConfigError(
            f"a mask_ratio of {ratio:g} leaves none of {n_tokens} patches to be seen. "
            "Give a smaller ratio, or smaller patches."
        )
    return kept


def keep_lowest(noise: Tensor, ratio: float) -> Masking:
    """Keep the tokens with the lowest noise, the share `ratio` is removed (He et al. 2022, MAE).

    Parameters
    ----------
    noise
        (B, N), in each row another order of the tokens.
    ratio
        Share of the tokens that is removed, in [0, 1).
    """
    sizes = check_shape(noise, "B N", name="noise")
    kept = noise.argsort(dim=1, stable=True)[:, : n_kept(sizes["N"], ratio)]
    return Masking(kept, torch.ones_like(noise, dtype=torch.bool).scatter(1, kept, False))


def put_last(noise: Tensor, tokens: Tensor) -> Tensor:
    """Return (B, N) noise in which some tokens, (B, M), come after all others."""
    return noise.scatter(1, tokens, _BEHIND)


def masking_noise(
    n_rows: int,
    n_tokens: int,
    ratio: float,
    generator: torch.Generator,
    weights: Tensor | None = None,
) -> Tensor:
    """Draw noise for `keep_lowest`.

    Parameters
    ----------
    n_rows, n_tokens
        Shape (B, N).
    ratio
        Share of the tokens that will be removed.
    generator
        Where it is drawn from; the noise is on its device.
    weights
        (N,) above 0: tokens are drawn one after another to be removed, each with a chance in
        proportion to its weight among those that are left. None: all alike.
    """
    noise = torch.rand(n_rows, n_tokens, generator=generator, device=generator.device)
    n_removed = n_tokens - n_kept(n_tokens, ratio)
    if weights is None or not n_removed:
        return noise
    chances = weights.to(generator.device).expand(n_rows, -1)
    return put_last(noise, torch.multinomial(chances, n_removed, generator=generator))
