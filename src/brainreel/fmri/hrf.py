"""The haemodynamic response: the canonical double gamma, and delays that let a fit find its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma

from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.timebase import Seconds, exact

Float32 = NDArray[np.float32]


def canonical_hrf(
    tr_s: Seconds,
    *,
    oversampling: int = 1,
    duration_s: float = 32.0,
    onset_s: float = 0.0,
    peak_s: float = 6.0,
    undershoot_s: float = 16.0,
    peak_dispersion_s: float = 1.0,
    undershoot_dispersion_s: float = 1.0,
    undershoot_ratio: float = 0.167,
) -> NDArray[np.float64]:
    """Return the double-gamma response h(t) = g(t; peak) - ratio g(t; undershoot), sum 1.

    g(t; d) is the gamma density of shape d / dispersion and scale dispersion, begun one step
    after the onset; the defaults are SPM's.

    Parameters
    ----------
    tr_s
        Repetition time in seconds.
    oversampling
        Samples per TR.
    duration_s, onset_s
        Length of the response and when it begins, in seconds.
    peak_s, undershoot_s, peak_dispersion_s, undershoot_dispersion_s, undershoot_ratio
        Delays and widths of the two gammas in seconds, and the undershoot's share.

    Returns
    -------
    (round(duration_s / tr_s * oversampling),) samples.

    References
    ----------
    Friston et al. (1998), Event-related fMRI: characterizing differential responses. The sampling
    is that of `nilearn.glm.first_level.spm_hrf`.
    """
    step = float(exact(tr_s)) / oversampling
    if step <= 0:
        raise DataError(f"A TR of {float(exact(tr_s)):g} s cannot be used; it must be above 0.")
    times = np.linspace(0, duration_s, round(duration_s / step)) - onset_s
    peak = gamma.pdf(times, peak_s / peak_dispersion_s, loc=step, scale=peak_dispersion_s)
    dip = gamma.pdf(
        times, undershoot_s / undershoot_dispersion_s, loc=step, scale=undershoot_dispersion_s
    )
    response = peak - undershoot_ratio * dip
    scaled: NDArray[np.float64] = response / response.sum()
    return scaled


def convolve_hrf(features: NDArray[np.floating], hrf: NDArray[np.floating]) -> Float32:
    """Return y[t] = sum_k hrf[k] x[t - k], with zeros before the run.

    Parameters
    ----------
    features
        (T, D) at the rate of `hrf`.
    hrf
        (K,) samples.
    """
    n_trs = check_shape(features, "T D", name="features")["T"]
    result = np.zeros(features.shape, np.float64)
    for lag, weight in enumerate(hrf[:n_trs]):
        result[lag:] += weight * features[: n_trs - lag]
    return result.astype(np.float32)


def delays_in_trs(delays_s: Sequence[Seconds], tr_s: Seconds) -> tuple[int, ...]:
    """Return delays / TR, which must be whole numbers.

    Raises
    ------
    DataError
        Naming the delay that is no multiple of the TR, and the nearest that is.
    """
    tr = exact(tr_s)
    delays = []
    for delay_s in delays_s:
        trs = exact(delay_s) / tr
        if trs.denominator != 1:
            near = float(round(trs) * tr)
            raise DataError(
                f"A delay of {float(exact(delay_s)):g} s is no whole number of TRs of "
                f"{float(tr):g} s. The nearest is {near:g} s."
            )
        delays.append(int(trs))
    return tuple(delays)


def delays_covering(first_s: Seconds, last_s: Seconds, tr_s: Seconds) -> tuple[int, ...]:
    """Return every whole TR d with first_s <= d tr_s <= last_s."""
    tr = exact(tr_s)
    return tuple(range(math.ceil(exact(first_s) / tr), math.floor(exact(last_s) / tr) + 1))


def fir_delays(features: NDArray[np.floating], delays_trs: Sequence[int]) -> Float32:
    """Return the delayed copies X[t - d] side by side, for finite impulse response fits.

    A run's first TRs are filled with zeros: nothing wraps round or comes from another run, so
    call it once per run. Columns are delay by delay (all D of the first delay, then the next).

    Parameters
    ----------
    features
        (T, D) of one run.
    delays_trs
        K delays in TRs; a negative one looks ahead (a control).

    Returns
    -------
    (T, D * K) float32.
    """
    sizes = check_shape(features, "T D", name="features")
    n_trs, width = sizes["T"], sizes["D"]
    result = np.zeros((n_trs, width * len(delays_trs)), np.float32)
    for number, delay in enumerate(delays_trs):
        columns = slice(number * width, (number + 1) * width)
        if abs(delay) >= n_trs:
            continue
        if delay >= 0:
            result[delay:, columns] = features[: n_trs - delay]
        else:
            result[:delay, columns] = features[-delay:]
    return result
