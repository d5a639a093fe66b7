"""Calibration: does a predicted standard deviation say how far off the prediction is?"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from brainreel.errors import DataError
from brainreel.metrics.correlation import Float64, Numbers, check_finite, check_pair, unit_columns
from brainreel.shapes import check_shape


def interval_coverage(
    predicted: Numbers, spread: Numbers, measured: Numbers, *, level: float
) -> Float64:
    """Return how much of each volume lies within the prediction's central interval.

    c_t = mean over v of [ |y_tv - x_tv| <= Φ⁻¹((1 + level) / 2) s_tv ]

    For errors that are Gaussian with the deviation that was predicted, the mean of c is `level`;
    less says that the prediction is too sure of itself, more that it is not sure enough.

    Parameters
    ----------
    predicted
        (T, V) predicted mean x.
    spread
        (T, V) predicted standard deviation s, in the same unit; 0 covers an exact hit alone.
    measured
        (T, V) y.
    level
        Nominal coverage of the interval, between 0 and 1.

    Returns
    -------
    (T,) shares of the voxels whose measurement varies over time; NaN throughout if none does.

    Raises
    ------
    DataError
        Where shapes differ, a value is not finite, a deviation is negative, or the level is no
        share.

    Notes
    -----
    Gneiting, Balabdaoui and Raftery (2007), Probabilistic forecasts, calibration and sharpness,
    Journal of the Royal Statistical Society B 69.
    """
    n_trs, n_voxels = check_pair(predicted, measured)
    check_shape(spread, "T V", name="spread", T=n_trs, V=n_voxels)
    check_finite(spread, "spread")
    if (np.asarray(spread) < 0).any():
        raise DataError("spread holds negative deviations. Give standard deviations, not logs.")
    if not 0 < level < 1:
        raise DataError(f"a level of {level:g} cannot be used; it lies between 0 and 1.")
    varies = unit_columns(measured)[1]
    if not varies.any():
        return np.full(n_trs, np.nan)
    reach = norm.ppf((1 + level) / 2) * np.asarray(spread, dtype=np.float64)
    inside = np.abs(np.asarray(measured, dtype=np.float64) - predicted) <= reach
    share: Float64 = inside[:, varies].mean(axis=1)
    return share
