"""Voxelwise correlation and explained variance, in one pass over batches and ranks.

Time (or trials) first, voxels last. A voxel whose measurement does not vary has no correlation: it
is NaN, and whoever summarises the voxels counts it. A prediction that does not vary, of a voxel
that does, has told nothing of it: r is 0, or leaving out hard voxels would pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape

Float64 = NDArray[np.float64]
Numbers = NDArray[np.floating]

# Voxels in one piece of work, so that float64 copies of 50,000 voxels never stand in memory.
VOXEL_CHUNK = 4096


class Summary(NamedTuple):
    """One number over voxels (or items), with how many it stands on.

    Attributes
    ----------
    value
        The summary, NaN if nothing could be used.
    n_used, n_excluded
        How many entered, and how many were NaN and did not.
    """

    value: float
    n_used: int
    n_excluded: int


@dataclass
class _Moments:
    """Mean and centred sum of squares of every column, with what tells a constant one."""

    mean: Float64
    squares: Float64
    largest: Float64
    epsilon: float

    @classmethod
    def of(cls, values: Numbers) -> tuple[_Moments, Float64]:
        """Return the moments of (T, V) values, and the values centred in float64."""
        wide = np.asarray(values, dtype=np.float64)
        mean = wide.mean(axis=0)
        centred = wide - mean
        kind = np.asarray(values).dtype
        epsilon = float(np.finfo(kind if kind.kind == "f" else np.float64).eps)
        squares = np.einsum("tv,tv->v", centred, centred)
        return cls(mean, squares, np.abs(wide).max(axis=0), epsilon), centred

    def merged(self, other: _Moments, n_self: int, n_other: int) -> _Moments:
        """Return the moments of both samples together (Chan, Golub and LeVeque 1983)."""
        n = n_self + n_other
        shift = other.mean - self.mean
        return _Moments(
            self.mean + shift * (n_other / n),
            self.squares + other.squares + shift**2 * (n_self * n_other / n),
            np.maximum(self.largest, other.largest),
            max(self.epsilon, other.epsilon),
        )

    def constant(self, n: int) -> NDArray[np.bool_]:
        """Return which columns vary by no more than the rounding of their own numbers."""
        # Twice the rounding of the numbers themselves, and once that of their sum of n in float64.
        rounding = 2 * self.epsilon + n * np.finfo(np.float64).eps
        blank: NDArray[np.bool_] = np.sqrt(self.squares / n) <= rounding * self.largest
        return blank


class CorrelationSums:
    """r and R² of every voxel from batches of time points, never holding the series.

    Means and centred sums are updated by the pairwise rule of Chan, Golub and LeVeque (1983,
    The American Statistician 37), so that voxels with a large mean lose no digits. Sums of
    several ranks or runs are joined by `merge`; the order of the batches does not matter.

    Parameters
    ----------
    n_voxels
        Columns of every batch.
    """

    def __init__(self, n_voxels: int) -> None:
        self.n_voxels = n_voxels
        self.n_rows = 0
        self._predicted: _Moments | None = None
        self._measured: _Moments | None = None
        self._products = np.zeros(n_voxels)
        self._residuals = np.zeros(n_voxels)

    def update(self, predicted: Numbers, measured: Numbers) -> None:
        """Add a batch of predicted and measured values, (T, V) each."""
        check_pair(predicted, measured, V=self.n_voxels)
        batch = CorrelationSums(self.n_voxels)
        batch.n_rows = predicted.shape[0]
        batch._predicted, x = _Moments.of(predicted)
        batch._measured, y = _Moments.of(measured)
        batch._products = np.einsum("tv,tv->v", x, y)
        left = np.asarray(measured, dtype=np.float64) - predicted
        batch._residuals = np.einsum("tv,tv->v", left, left)
        self.merge(batch)

    def merge(self, other: CorrelationSums) -> None:
        """Add the sums of another rank or run."""
        if other.n_voxels != self.n_voxels:
            raise DataError(
                f"sums of {other.n_voxels} voxels cannot be merged with sums of {self.n_voxels}."
            )
        if other._predicted is None or other._measured is None:
            return
        if self._predicted is None or self._measured is None:
            self._predicted, self._measured = other._predicted, other._measured
            self._products, self._residuals = other._products.copy(), other._residuals.copy()
            self.n_rows = other.n_rows
            return
        weight = self.n_rows * other.n_rows / (self.n_rows + other.n_rows)
        shift_x = other._predicted.mean - self._predicted.mean
        shift_y = other._measured.mean - self._measured.mean
        self._products = self._products + other._products + shift_x * shift_y * weight
        self._residuals = self._residuals + other._residuals
        self._predicted = self._predicted.merged(other._predicted, self.n_rows, other.n_rows)
        self._measured = self._measured.merged(other._measured, self.n_rows, other.n_rows)
        self.n_rows += other.n_rows

    def r(self) -> Float64:
        """Return Pearson's r of every voxel (V,): NaN where the measured side has no variance, 0
        where only the prediction has none.
        """
        predicted, measured = self._filled()
        still, blank = predicted.constant(self.n_rows), measured.constant(self.n_rows)
        scale = np.sqrt(predicted.squares) * np.sqrt(measured.squares)
        told = np.where(blank, np.nan, 0.0)
        r = np.divide(self._products, scale, out=told, where=~(still | blank))
        bounded: Float64 = np.clip(r, -1.0, 1.0)
        return bounded

    def r2(self) -> Float64:
        """Return R² of every voxel (V,), NaN where the measured side has no variance."""
        _, measured = self._filled()
        blank = measured.constant(self.n_rows)
        share = np.full(self.n_voxels, np.nan)
        np.divide(self._residuals, measured.squares, out=share, where=~blank)
        return 1.0 - share

    def _filled(self) -> tuple[_Moments, _Moments]:
        if self._predicted is None or self._measured is None or self.n_rows < 2:
            raise DataError(
                f"a correlation needs at least 2 time points; {self.n_rows} were given."
            )
        return self._predicted, self._measured


def pearson_r(predicted: Numbers, measured: Numbers) -> Float64:
    """Correlate each voxel's prediction with its measurement.

    r_v = Σ_t (x_tv - x̄_v)(y_tv - ȳ_v) / √(Σ_t (x_tv - x̄_v)² Σ_t (y_tv - ȳ_v)²)

    Parameters
    ----------
    predicted, measured
        (T, V), any unit.

    Returns
    -------
    (V,) float64 in [-1, 1]; NaN where `measured` has no variance, 0 where only `predicted` has
    none.

    Raises
    ------
    DataError
        Where the shapes differ, a value is not finite, or T < 2.
    """
    return np.concatenate([sums.r() for sums in _chunked(predicted, measured)])


def r2_score_voxelwise(predicted: Numbers, measured: Numbers) -> Float64:
    """Return the explained variance of each voxel, with the test mean as the baseline.

    R²_v = 1 - Σ_t (y_tv - x_tv)² / Σ_t (y_tv - ȳ_v)²

    Unlike r² it pays for a wrong mean or amplitude, and is negative where the prediction does
    worse than a constant at the measured mean.

    Parameters
    ----------
    predicted, measured
        (T, V), in the same unit.

    Returns
    -------
    (V,) float64, at most 1; NaN where `measured` has no variance.

    Raises
    ------
    DataError
        Where the shapes differ, a value is not finite, or T < 2.
    """
    return np.concatenate([sums.r2() for sums in _chunked(predicted, measured)])


def correlation_similarity(rows: Numbers, columns: Numbers) -> Float64:
    """Correlate every row vector with every column vector.

    s_ij = r(rows_i, columns_j) over D

    Parameters
    ----------
    rows, columns
        (N, D) and (M, D).

    Returns
    -------
    (N, M) in [-1, 1]. A vector without variance gets 0 with all others: it can only be guessed.
    """
    sizes = check_shape(rows, "N D", name="rows")
    check_shape(columns, "M D", name="columns", D=sizes["D"])
    check_finite(rows, "rows")
    check_finite(columns, "columns")
    similarity: Float64 = _unit_rows(rows) @ _unit_rows(columns).T
    return similarity


def median_of(values: Numbers) -> Summary:
    """Return the median over voxels, leaving out and counting those that are NaN.

    Parameters
    ----------
    values
        (V,), or any shape.

    Returns
    -------
    Summary
        With value NaN if every entry is NaN.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    used = flat[~np.isnan(flat)]
    value = float(np.median(used)) if used.size else float("nan")
    return Summary(value, int(used.size), int(flat.size - used.size))


def check_pair(predicted: Numbers, measured: Numbers, **sizes: int) -> tuple[int, int]:
    """Check that two (T, V) arrays agree and are finite; return (T, V)."""
    found = check_shape(predicted, "T V", name="predicted", **sizes)
    check_shape(measured, "T V", name="measured", **found)
    check_finite(predicted, "predicted")
    check_finite(measured, "measured")
    return found["T"], found["V"]


def check_finite(values: Numbers, name: str) -> None:
    """Raise a `DataError` that counts NaN and infinite values, if there are any."""
    n_bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
    if n_bad:
        raise DataError(
            f"{name} holds {n_bad} NaN or infinite values of {np.size(values)}. "
            "Clean them, or leave those columns out, before scoring."
        )


def unit_columns(values: Numbers) -> tuple[Float64, NDArray[np.bool_]]:
    """Centre every column of (T, V) to length 1; return them and which have variance.

    The product of two such columns is their r. Columns without variance are all 0.
    """
    moments, centred = _Moments.of(values)
    varies = ~moments.constant(values.shape[0])
    length = np.where(varies, np.sqrt(moments.squares), 1.0)
    return centred * (varies / length), varies


def _chunked(predicted: Numbers, measured: Numbers) -> list[CorrelationSums]:
    _, n_voxels = check_pair(predicted, measured)
    parts = []
    for start in range(0, max(n_voxels, 1), VOXEL_CHUNK):
        columns = slice(start, start + VOXEL_CHUNK)
        sums = CorrelationSums(len(range(*columns.indices(n_voxels))))
        sums.update(predicted[:, columns], measured[:, columns])
        parts.append(sums)
    return parts


def _unit_rows(values: Numbers) -> Float64:
    units, _ = unit_columns(np.asarray(values).T)
    return units.T
