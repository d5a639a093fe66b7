"""Autocorrelated series with known properties, for the tests of this room."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter
from scipy.stats import gamma

BURN_IN = 60


def ar1(rng: np.random.Generator, n_rows: int, n_voxels: int, rho: float = 0.5) -> np.ndarray:
    """Stationary AR(1) noise of variance 1."""
    white = rng.standard_normal((n_rows + BURN_IN, n_voxels)) * np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], white, axis=0)[BURN_IN:]


def haemodynamic(rng: np.random.Generator, n_rows: int, n_voxels: int) -> np.ndarray:
    """AR(1) seen through a double-gamma response at TR 1.5 s, variance 1: a smooth prediction."""
    times = np.arange(0, 30, 1.5)
    kernel = gamma.pdf(times, 6) - gamma.pdf(times, 16) / 6
    lags = np.arange(kernel.size)
    covariance = 0.5 ** np.abs(lags[:, None] - lags[None, :])
    scale = np.sqrt(kernel @ covariance @ kernel)
    driven = lfilter(kernel, [1.0], ar1(rng, n_rows + BURN_IN, n_voxels), axis=0)
    return driven[BURN_IN:] / scale


def joined(maker, rng: np.random.Generator, sizes: list[int], n_voxels: int) -> np.ndarray:
    """Independent stretches laid end to end."""
    return np.concatenate([maker(rng, size, n_voxels) for size in sizes])


def numbered(sizes: list[int]) -> np.ndarray:
    """Segment number of each row."""
    return np.repeat(np.arange(len(sizes)), sizes)
