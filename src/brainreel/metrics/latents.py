"""What the latent units of a variational autoencoder carry, in numbers of NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.metrics.correlation import Float64, Numbers, check_finite
from brainreel.shapes import check_shape

# Variance of a posterior mean above which a unit is active (Burda, Grosse, Salakhutdinov 2016).
ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Diagonal Gaussians over latent units, one for each volume.

    Attributes
    ----------
    mean, std
        (T, L), std above 0.
    """

    mean: Numbers
    std: Numbers

    def __post_init__(self) -> None:
        sizes = check_shape(self.mean, "T L", name="mean")
        check_shape(self.std, "T L", name="std", **sizes)
        check_finite(self.mean, "mean")
        check_finite(self.std, "std")
        if (np.asarray(self.std) <= 0).any():
            raise DataError("std of latent units must lie above 0.")


def gaussian_kl(posterior: Gaussians, prior: Gaussians) -> Float64:
    """Return the exact KL divergence of each unit from its prior, in nats.

    KL(q || p) = log(σ_p / σ_q) + (σ_q² + (μ_q - μ_p)²) / (2 σ_p²) - 1/2

    Parameters
    ----------
    posterior, prior
        q and p, of the same volumes and units.

    Returns
    -------
    (T, L) float64, at least 0 but for rounding; its sum over units is the KL of a volume.
    """
    sizes = check_shape(posterior.mean, "T L", name="posterior")
    check_shape(prior.mean, "T L", name="prior", **sizes)
    q_mean, q_std, p_mean, p_std = (
        np.asarray(values, dtype=np.float64)
        for values in (posterior.mean, posterior.std, prior.mean, prior.std)
    )
    ratio = q_std / p_std
    kl: Float64 = 0.5 * (ratio**2 + ((q_mean - p_mean) / p_std) ** 2 - 1) - np.log(ratio)
    return kl


def active_units(mean: Numbers, *, variance: float = ACTIVE_VARIANCE) -> NDArray[np.bool_]:
    """Return which units move with their input.

    a_l = [ Var_t(μ_tl) > variance ]

    Parameters
    ----------
    mean
        (T, L) means of the posterior over volumes (or of the prior: which units the film moves).
    variance
        Variance over volumes from which on a unit counts.

    Returns
    -------
    (L,) boolean.

    Notes
    -----
    Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders, ICLR.
    """
    check_shape(mean, "T L", name="mean")
    check_finite(mean, "mean")
    active: NDArray[np.bool_] = np.asarray(mean, dtype=np.float64).var(axis=0) > variance
    return active
