from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from brainreel.errors import DataError, ShapeError
from brainreel.metrics.latents import Gaussians, active_units, gaussian_kl


def gaussians(rng, n=11, units=4):
    return Gaussians(rng.standard_normal((n, units)), rng.uniform(0.05, 3, (n, units)))


def test_kl_equals_torch_and_monte_carlo(rng):
    q, p = gaussians(rng), gaussians(rng)
    found = gaussian_kl(q, p)
    normals = [Normal(torch.tensor(g.mean), torch.tensor(g.std)) for g in (q, p)]
    np.testing.assert_allclose(found, kl_divergence(*normals).numpy(), rtol=1e-12)
    torch.manual_seed(0)
    draws = normals[0].sample((20000,))
    gap = (normals[0].log_prob(draws) - normals[1].log_prob(draws)).numpy()
    error = gap.std(axis=0) / np.sqrt(20000)
    assert (np.abs(gap.mean(axis=0) - found) < 5 * error + 1e-9).all()


def test_kl_is_0_for_equals_and_never_negative(rng):
    q = gaussians(rng)
    np.testing.assert_allclose(gaussian_kl(q, q), 0, atol=1e-14)
    assert (gaussian_kl(q, gaussians(rng)) >= 0).all()


def test_a_unit_is_active_if_its_mean_moves(rng):
    mean = rng.standard_normal((5000, 3)) * [1.0, 0.05, 0.2]
    np.testing.assert_array_equal(active_units(mean), [True, False, True])
    np.testing.assert_array_equal(active_units(mean, variance=0.5), [True, False, False])


def test_bad_input_is_named(rng):
    with pytest.raises(DataError, match="std of latent units must lie above 0"):
        Gaussians(np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(DataError, match="mean holds 6 NaN"):
        Gaussians(np.full((3, 2), np.nan), np.ones((3, 2)))
    with pytest.raises(ShapeError, match="prior has 5 along axis T"):
        gaussian_kl(gaussians(rng, 4), gaussians(rng, 5))
