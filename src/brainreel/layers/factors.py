"""A factor model of patches: what the hidden ones are expected to be, given those that are seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from brainreel.shapes import check_shape

# Variance added to a voxel's own noise, like the penalty of a ridge: new people are foretold less
# well than those in whom it was found.
_MORE_NOISE = 0.15
# Least variance of a voxel's own noise, of 1.
_LEAST = 0.02


class PatchFactors(nn.Module):
    """E[x | x_seen] where x = L z + e, z ~ N(0, I), e ~ N(0, diag(v)).

    z = (I + L_s' V_s^-1 L_s)^-1 L_s' V_s^-1 x_s over the voxels s that are seen, x = L z (Rubin &
    Thayer 1982, factor analysis). Exact for any set of hidden patches, by one solve of K equations
    for each vector. L and v are found once, by `begin`, and kept: no gradient moves them.

    Parameters
    ----------
    n_patches, patch
        N patches of P voxels.
    n_factors
        Length K of z.
    """

    def __init__(self, n_patches: int, patch: int, n_factors: int) -> None:
        super().__init__()
        loadings = 0.1 * torch.randn(n_patches, patch, n_factors)
        self.loadings = nn.Parameter(loadings, requires_grad=False)
        self.noise = nn.Parameter(torch.ones(n_patches, patch), requires_grad=False)

    @torch.no_grad()
    def begin(self, rows: Tensor, *, rounds: int = 20) -> None:
        """Take the principal factors of some vectors, found anew by what they leave.

        In each round L is taken from the first K singular vectors of the rows over the deviation
        of their noise, of whose variances 1 is noise; v is what L leaves of the variance, and a
        little more.

        Parameters
        ----------
        rows
            (B, N, P) in deviations of the training part.
        rounds
            How often.
        """
        n, p, k = self.loadings.shape
        check_shape(rows, "B N P", name="rows", N=n, P=p)
        x = rows.flatten(1).float()
        x = (x - x.mean(dim=0)) / math.sqrt(len(x))
        variance = x.square().sum(dim=0).clamp_min(_LEAST)
        noise, k = variance / 2, min(k, *x.shape)
        for _ in range(rounds):
            scale = noise.sqrt()
            _, size, ways = torch.svd_lowrank(x / scale, q=min(k + 8, *x.shape), niter=3)
            parts = (size[:k].square() - 1).clamp_min(0).sqrt()
            loadings = ways[:, :k] * parts * scale[:, None]
            noise = (variance - loadings.square().sum(dim=1)).clamp_min(_LEAST)
        self.loadings.zero_()
        self.loadings[:, :, :k] = loadings.reshape(n, p, k)
        self.noise.copy_(noise.reshape(n, p) + _MORE_NOISE)

    def forward(self, patches: Tensor, removed: Tensor) -> Tensor:
        """Fill in.

        Parameters
        ----------
        patches
            (B, N, P) in deviations of the training part.
        removed
            (B, N) boolean, True for a patch that is not seen.

        Returns
        -------
        Tensor
            (B, N, P) float32, the expected value of every voxel.
        """
        n, p, k = self.loadings.shape
        rows = check_shape(patches, "B N P", name="patches", N=n, P=p)["B"]
        check_shape(removed, "B N", name="removed", B=rows, N=n)
        with torch.autocast(patches.device.type, enabled=False):
            loadings = self.loadings.float()
            weighed = loadings / self.noise.float()[:, :, None]
            seen = (~removed).float()
            each = weighed.transpose(1, 2) @ loadings
            told = (seen @ each.flatten(1)).reshape(-1, k, k) + torch.eye(k, device=seen.device)
            given = (patches.float() * seen[:, :, None]).flatten(1) @ weighed.flatten(0, 1)
            z = torch.cholesky_solve(given[:, :, None], torch.linalg.cholesky(told))[:, :, 0]
            return (z @ loadings.flatten(0, 1).T).reshape(patches.shape)
