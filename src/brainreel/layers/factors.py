"""A factor model of patches: what the hidden ones are expected to be, given those that are seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainreel.shapes import check_shape

# Adam moves all weights by about its step size, and these want ten times what attention does.
_GAIN = 10.0
# Least variance of a voxel beside the factors: none is foretold without a rest.
_LEAST_NOISE = 0.1


class PatchFactors(nn.Module):
    """E[x | x_seen] where x = L z + e, z ~ N(0, I), e ~ N(0, diag(v)).

    z = (I + L_s' V_s^-1 L_s)^-1 L_s' V_s^-1 x_s over the voxels s that are seen, x = L z (Rubin &
    Thayer 1982, factor analysis). Exact for any set of hidden patches, by one solve of K equations
    for each vector; L and v are learned by the error of what is filled in.

    Parameters
    ----------
    n_patches, patch
        N patches of P voxels.
    n_factors
        Length K of z.
    """

    def __init__(self, n_patches: int, patch: int, n_factors: int) -> None:
        super().__init__()
        self.loadings = nn.Parameter(0.1 / _GAIN * torch.randn(n_patches, patch, n_factors))
        self.log_noise = nn.Parameter(torch.full((n_patches, patch), -0.5 / _GAIN))

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
            loadings = _GAIN * self.loadings.float()
            noise = (_GAIN * self.log_noise.float()).exp() + _LEAST_NOISE
            weighed = loadings / noise[:, :, None]
            seen = (~removed).float()
            each = weighed.transpose(1, 2) @ loadings
            told = (seen @ each.flatten(1)).reshape(-1, k, k) + torch.eye(k, device=seen.device)
            given = (patches.float() * seen[:, :, None]).flatten(1) @ weighed.flatten(0, 1)
            z = torch.cholesky_solve(given[:, :, None], torch.linalg.cholesky(told))[:, :, 0]
            return (z @ loadings.flatten(0, 1).T).reshape(patches.shape)
