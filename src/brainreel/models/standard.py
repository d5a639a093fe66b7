"""Standardising columns by training rows, and the check that they are numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError

Float32 = NDArray[np.float32]

# A column that varies less than this share of its size is constant but for rounding.
_CONSTANT = 1e-6


def standard(X: NDArray[np.floating]) -> tuple[Float32, Float32]:
    """Return mean and 1 / standard deviation of the columns, 0 where a column is constant.

    Parameters
    ----------
    X
        (T, D) training rows.

    Returns
    -------
    mean, scale
        (D,) each; `(X - mean) * scale` has mean 0 and variance 1 in every column that varies.
    """
    mean = X.mean(axis=0, dtype=np.float64)
    std = X.std(axis=0, dtype=np.float64)
    varies = std > _CONSTANT * np.hypot(mean, std)
    scale = np.where(varies, 1 / np.where(varies, std, 1), 0)
    return mean.astype(np.float32), scale.astype(np.float32)


def require_finite(values: NDArray[np.floating], name: str) -> None:
    """Refuse NaN and infinite values of a (T, D) array, counting them and naming the first column.

    Raises
    ------
    DataError
        If there are any.
    """
    finite = np.isfinite(values)
    if not finite.all():
        column = int(np.flatnonzero(~finite.all(axis=0))[0])
        raise DataError(
            f"{name} hold NaN or infinite values ({int((~finite).sum())} of them, the first in "
            f"column {column}). Clean or drop them before the fit."
        )
