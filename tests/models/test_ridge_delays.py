"""The prior over delays: its form, and the fit against the closed form of its penalty."""

from __future__ import annotations

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.fmri.hrf import canonical_hrf, fir_delays
from brainreel.models.delay_prior import covariance_root, mix_delays, response_covariance
from brainreel.models.ridge import BandedRidgeConfig, RidgeConfig
from brainreel.shapes import DataSpec

DELAYS_S = tuple(1.5 * k for k in range(12))


def test_covariance_expects_a_response():
    covariance = response_covariance(DELAYS_S)
    np.testing.assert_allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.trace(covariance) == pytest.approx(12)
    usual = canonical_hrf(1.5)[:12]
    usual /= np.linalg.norm(usual)
    jagged = np.resize([1.0, -1.0], 12) / np.sqrt(12)
    assert usual @ covariance @ usual > 50 * (jagged @ covariance @ jagged)
    np.testing.assert_allclose(response_covariance((3.0,)), [[1.0]])
    root = covariance_root(covariance)
    np.testing.assert_allclose(root @ root, covariance, atol=1e-5)


def test_mixing_is_the_loop_over_spaces_and_delays():
    rng = np.random.default_rng(0)
    root = covariance_root(response_covariance(DELAYS_S[:3]))
    values = rng.standard_normal((5, 6 + 9)).astype(np.float32)
    expected = np.zeros_like(values)
    for start, n in ((0, 2), (6, 3)):
        for j in range(3):
            for k in range(3):
                to, of = start + j * n, start + k * n
                expected[:, to : to + n] += values[:, of : of + n] * root[k, j]
    np.testing.assert_allclose(mix_delays(values, root, [6, 9], axis=1), expected, atol=1e-5)
    np.testing.assert_allclose(mix_delays(values.T, root, [6, 9], axis=0), expected.T, atol=1e-5)
    with pytest.raises(DataError, match="7 columns cannot hold 3 delays"):
        mix_delays(values, root, [7, 8], axis=1)


@pytest.mark.parametrize("n_rows", [200, 40], ids=["tall", "wide"])
def test_fit_is_the_closed_form_with_the_priors_precision(n_rows):
    rng = np.random.default_rng(1)
    spec = DataSpec(feature_sizes={"a": 24, "b": 36}, delays_s=DELAYS_S)
    X = rng.standard_normal((n_rows, 60)).astype(np.float32)
    Y = (X @ rng.standard_normal((60, 4)) + rng.standard_normal((n_rows, 4))).astype(np.float32)
    model = BandedRidgeConfig(n_candidates=5).build(spec).fit(X, Y, rng=rng)
    precision = np.linalg.inv(response_covariance(DELAYS_S))
    Z = (X - X.mean(axis=0, dtype=float)) / X.std(axis=0, dtype=float)
    for voxel in range(4):
        a, b = model.fitted.penalties[:, voxel].astype(float)
        penalty = np.zeros((60, 60))
        penalty[:24, :24] = a * np.kron(precision, np.eye(2))
        penalty[24:, 24:] = b * np.kron(precision, np.eye(3))
        W = np.linalg.solve(Z.T @ Z + penalty, Z.T @ (Y[:, voxel] - Y[:, voxel].mean()))
        np.testing.assert_allclose(model.fitted.weights[:, voxel], W, rtol=2e-3, atol=2e-4)


def test_prior_finds_responses_that_a_flat_fit_misses():
    rng = np.random.default_rng(2)
    stimulus = rng.standard_normal((400, 8)).astype(np.float32)
    X = fir_delays(stimulus, range(12))
    hrf = canonical_hrf(1.5)[:12]
    W = np.einsum("k,dv->kdv", hrf, rng.standard_normal((8, 20))).reshape(96, 20)
    signal = X @ W
    Y = signal + 2 * signal.std() * rng.standard_normal(signal.shape)
    spec = DataSpec(feature_sizes={"a": 96}, delays_s=DELAYS_S)
    error = {}
    for prior in ("hrf", "flat"):
        model = RidgeConfig(delay_prior=prior).build(spec).fit(X[:150], Y[:150], rng=rng)
        error[prior] = ((model.predict(X[150:]) - signal[150:]) ** 2).mean()
    assert error["hrf"] < 0.6 * error["flat"]
