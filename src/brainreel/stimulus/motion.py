"""Motion energy: spatio-temporal Gabor filters in quadrature, at a coarse scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

SPATIAL_CPH = (2.0, 4.0)
"""Spatial frequencies, in cycles per picture height."""

TEMPORAL_HZ = (2.0, 4.0)
"""Temporal frequencies; with the spatial ones, speeds of 0.5 to 2 picture heights per second."""

N_DIRECTIONS = 8
"""Directions of motion, every 45 degrees: 0 is rightwards, 90 upwards."""

# Envelopes in cycles of the carrier: about the one-octave bandwidth of cells in V1.
_SPATIAL_SIGMA = 0.5
_TEMPORAL_SIGMA = 0.5
_SIGMAS = 2.5
_FRAMES_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class _Bank:
    """Spatial filters as a matrix: one complex row per orientation and place."""

    weights: Complex64
    n_places: int


def motion_energy(luma: Float32, rate_hz: float) -> Float32:
    """Return how much moves in each direction, at two temporal frequencies.

    y[f, (w, d)] = mean over scales k and places p of | sum x(f', r) g_kp(r) h_w(f' - f) |

    g is a Gaussian times exp(i 2 pi k d.r), h a Gaussian times exp(-i 2 pi w t): a wave that runs
    along d keeps their product in phase, one that runs against it does not. The modulus of a
    complex filter is the root of the summed squares of a quadrature pair. Both are made blind to
    a constant, so that flat fields and stills give 0.

    Adelson & Bergen 1985; pooled over the picture for a handful of smooth columns where Nishimoto
    et al. 2011 keep thousands.

    Parameters
    ----------
    luma
        (F, H, W) in [0, 1], equally spaced in time.
    rate_hz
        Frames per second, above twice the highest temporal frequency (8 Hz).

    Returns
    -------
    (F, 16) float32 in units of luma: for each temporal frequency the 8 directions.
    """
    sizes = check_shape(luma, "F H W", name="luma")
    columns = []
    half = N_DIRECTIONS // 2
    bank = [_spatial_bank(sizes["H"], sizes["W"], cph) for cph in SPATIAL_CPH]
    responses = [_project(luma, item).reshape(sizes["F"], half, -1) for item in bank]
    for hertz in TEMPORAL_HZ:
        # A filter and its mirror in time are the two directions of one orientation.
        pairs = [_along_and_against(response, hertz, rate_hz) for response in responses]
        for sign in (0, 1):
            amplitudes = [np.abs(pair[sign]).mean(axis=2) for pair in pairs]
            columns.append(np.mean(amplitudes, axis=0))
    return np.concatenate(columns, axis=1).astype(np.float32)


@lru_cache(maxsize=8)
def _spatial_bank(height: int, width: int, cph: float) -> _Bank:
    """Make the complex Gabors of all orientations on a grid of places one sigma apart."""
    sigma = _SPATIAL_SIGMA / cph
    aspect = width / height
    rows = (np.arange(height) + 0.5) / height
    cols = (np.arange(width) + 0.5) / height
    centres_y = _places(1.0, sigma)
    centres_x = _places(aspect, sigma)
    weights = []
    for step in range(N_DIRECTIONS // 2):
        angle = 2 * np.pi * step / N_DIRECTIONS
        # Rows count downwards, so that upwards is the negative row axis.
        phase = cols[None, :] * np.cos(angle) - rows[:, None] * np.sin(angle)
        carrier = np.exp(2j * np.pi * cph * phase)
        for y in centres_y:
            for x in centres_x:
                squared = (rows[:, None] - y) ** 2 + (cols[None, :] - x) ** 2
                envelope = np.exp(-squared / (2 * sigma**2))
                envelope /= envelope.sum()
                blind = carrier - (envelope * carrier).sum()
                weights.append((envelope * blind).ravel())
    n_places = len(centres_y) * len(centres_x)
    return _Bank(np.array(weights, np.complex64), n_places)


def _places(extent: float, spacing: float) -> NDArray[np.float64]:
    """Spread places evenly over an axis, about `spacing` apart, half a step from its ends."""
    number = max(1, round(extent / spacing))
    places: NDArray[np.float64] = (np.arange(number) + 0.5) * extent / number
    return places


def _project(luma: Float32, bank: _Bank) -> Complex64:
    """Return the (F, rows of the bank) response of every filter to every frame."""
    flat = luma.reshape(len(luma), -1)
    weights = np.concatenate([bank.weights.real, bank.weights.imag]).T.copy()
    out = np.empty((len(flat), len(bank.weights)), np.complex64)
    for start in range(0, len(flat), _FRAMES_AT_ONCE):
        part = flat[start : start + _FRAMES_AT_ONCE] @ weights
        out.real[start : start + len(part)] = part[:, : len(bank.weights)]
        out.imag[start : start + len(part)] = part[:, len(bank.weights) :]
    return out


def _along_and_against(
    response: Complex64, hertz: float, rate_hz: float
) -> tuple[Complex64, Complex64]:
    """Filter (F, ...) responses in time, for motion along the carrier and against it."""
    even, odd = _temporal_filter(hertz, rate_hz)
    in_phase = correlate1d(response, even, axis=0, mode="nearest")
    shifted = 1j * correlate1d(response, odd, axis=0, mode="nearest")
    return in_phase - shifted, in_phase + shifted


def _temporal_filter(hertz: float, rate_hz: float) -> tuple[Float32, Float32]:
    """Return the even and odd halves of a quadrature pair, blind to a constant."""
    sigma_s = _TEMPORAL_SIGMA / hertz
    reach = max(1, int(np.ceil(_SIGMAS * sigma_s * rate_hz)))
    times = np.arange(-reach, reach + 1) / rate_hz
    envelope = np.exp(-(times**2) / (2 * sigma_s**2))
    envelope /= envelope.sum()
    even = envelope * np.cos(2 * np.pi * hertz * times)
    even -= envelope * even.sum()
    odd = envelope * np.sin(2 * np.pi * hertz * times)
    return even.astype(np.float32), odd.astype(np.float32)
