"""What is known of weights over delays before a fit: they look like a haemodynamic response."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma

from brainreel.errors import DataError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Responses of healthy adults: peak 4 to 7 s, of usual width, with an undershoot or without.
_SHAPES = (5.0, 6.0, 7.0, 8.0)
_SCALES = (0.8, 1.0, 1.2)
_UNDERSHOOTS = (0.0, 0.167, 0.35)
_UNDERSHOOT_LATER_S = 10.0
# Share of the variance left to responses of any other form.
_FREE = 0.01


def response_covariance(delays_s: Sequence[float]) -> Float64:
    """Return S = (1 - e) mean_h(h h') + e I, scaled to trace K: the covariance of FIR weights.

    h(t) = g(t; a, s) - u g(t; a + 10 / s, s), of norm 1, over the usual shapes a, scales s and
    undershoots u; g is the gamma density and e = 0.01.

    Parameters
    ----------
    delays_s
        K delays in seconds.

    Returns
    -------
    (K, K) positive definite; the identity for one delay.

    References
    ----------
    Nunez-Elizalde, Huth & Gallant 2019, NeuroImage 197, 482 (priors over delays as Tikhonov
    regression); Friston et al. 1998 (the double gamma).
    """
    times = np.asarray(delays_s, dtype=np.float64)
    covariance = np.zeros((times.size, times.size))
    for shape in _SHAPES:
        for scale in _SCALES:
            for share in _UNDERSHOOTS:
                later = (shape + _UNDERSHOOT_LATER_S) / scale
                response = gamma.pdf(times, shape / scale, scale=scale)
                response -= share * gamma.pdf(times, later, scale=scale)
                covariance += np.outer(response, response) / max(response @ response, 1e-12)
    n_delays = times.size
    level = np.trace(covariance) / n_delays or 1.0
    covariance = (1 - _FREE) * covariance / level + _FREE * np.eye(n_delays)
    scaled: Float64 = covariance * (n_delays / np.trace(covariance))
    return scaled


def covariance_root(covariance: Float64) -> Float32:
    """Return the symmetric root R, R R = S."""
    values, vectors = np.linalg.eigh(covariance)
    root: Float64 = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root.astype(np.float32)


def mix_delays(values: Float32, root: Float32, widths: Sequence[int], axis: int) -> Float32:
    """Multiply the delays of each feature space by `root`: y[.., j, d] = sum_k x[.., k, d] R[k, j].

    Parameters
    ----------
    values
        (T, D) features (axis 1), or (D, V) weights (axis 0), spaces one after another, each
        delay by delay.
    root
        (K, K) symmetric.
    widths
        Columns of each feature space, each a multiple of K.
    axis
        Where the columns are.

    Raises
    ------
    DataError
        If a width is no multiple of the number of delays.
    """
    mixed = np.empty_like(values)
    start = 0
    for width in widths:
        if width % len(root):
            raise DataError(
                f"A feature space of {width} columns cannot hold {len(root)} delays of each "
                "feature. Give every space the same delays, or set delay_prior to flat."
            )
        place = (slice(None),) * axis + (slice(start, start + width),)
        part = values[place]
        cut = (*part.shape[:axis], len(root), -1, *part.shape[axis + 1 :])
        moved = np.tensordot(root, part.reshape(cut), axes=(0, axis))
        mixed[place] = np.moveaxis(moved, 0, axis).reshape(part.shape)
        start += width
    return mixed
