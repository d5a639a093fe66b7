"""How like is every reconstruction to every true picture: all pairs at once.

Entry (i, j) is the score of reconstruction i against true picture j, so that the diagonal is the
score itself, a permuted diagonal its null, and a row what identification ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainreel.errors import DataError
from brainreel.metrics.correlation import (
    Float64,
    Numbers,
    check_finite,
    correlation_similarity,
    unit_columns,
)
from brainreel.metrics.images import SSIM_C1, SSIM_C2, SSIM_WINDOW, check_ssim_size
from brainreel.shapes import check_shape

# Numbers in one piece of work: it stays in a core's cache, where sums are several times faster.
_AT_ONCE = 1 << 16


def squared_distance_pairs(rows: Numbers, columns: Numbers) -> Float64:
    """Return the squared distance of every row vector from every column vector.

    d_ij = Σ_d (x_id - y_jd)² = |x_i|² + |y_j|² - 2 x_i·y_j

    Parameters
    ----------
    rows, columns
        (N, D) and (M, D).

    Returns
    -------
    (N, M), at least 0.
    """
    sizes = check_shape(rows, "N D", name="rows")
    check_shape(columns, "M D", name="columns", D=sizes["D"])
    check_finite(rows, "rows")
    check_finite(columns, "columns")
    x, y = np.asarray(rows, dtype=np.float64), np.asarray(columns, dtype=np.float64)
    # Distances do not depend on the origin; near it nothing cancels.
    origin = y.mean(axis=0)
    x, y = x - origin, y - origin
    squares = np.einsum("nd,nd->n", x, x)[:, None] + np.einsum("md,md->m", y, y)
    distances: Float64 = np.maximum(squares - 2.0 * (x @ y.T), 0.0)
    return distances


def mse_pairs(predicted: Numbers, true: Numbers) -> Float64:
    """Return the mean squared error of every reconstruction from every true picture.

    Parameters
    ----------
    predicted, true
        (N, C, H, W) and (M, C, H, W) in [0, 1].

    Returns
    -------
    (N, M) in squared units of brightness.
    """
    sizes = _check(predicted, true)
    size = sizes["C"] * sizes["H"] * sizes["W"]
    distances = squared_distance_pairs(_flat(predicted), _flat(true))
    return distances / size


def correlation_pairs(rows: Numbers, columns: Numbers) -> Float64:
    """Correlate every row with every column vector.

    NaN where the column, which is the true side, does not vary; 0 where only the row does not, or
    leaving out hard pictures would pay.

    Parameters
    ----------
    rows, columns
        (N, ...) and (M, ...) pictures or features, flattened.

    Returns
    -------
    (N, M) in [-1, 1].
    """
    x, y = _flat(rows), _flat(columns)
    r = correlation_similarity(x, y)
    r[:, ~unit_columns(y.T)[1]] = np.nan
    return np.clip(r, -1.0, 1.0)


def ssim_pairs(predicted: Numbers, true: Numbers) -> Float64:
    """Return the structural similarity of every reconstruction with every true picture.

    As `metrics.images.ssim`. The local means and variances of a picture are taken once, and of a
    pair only the local mean of the product.

    Parameters
    ----------
    predicted, true
        (N, C, H, W) and (M, C, H, W) in [0, 1], at least 7 x 7 pixels.

    Returns
    -------
    (N, M), at most 1.
    """
    sizes = _check(predicted, true)
    check_ssim_size(sizes["H"], sizes["W"])
    planes = [_Plane(side) for side in (predicted, true)]
    x, y = planes
    found = np.zeros((len(predicted), len(true)))
    step = max(1, _AT_ONCE // (sizes["H"] * sizes["W"]))
    for c in range(sizes["C"]):
        for start in range(0, len(true), step):
            some = slice(start, start + step)
            for i in range(len(predicted)):
                both = (
                    _box_mean(x.pixels[i, c] * y.pixels[some, c]) - x.mean[i, c] * y.mean[some, c]
                )
                means = (x.mean[i, c] + 0.5) * (y.mean[some, c] + 0.5)
                top = (2 * means + SSIM_C1) * (2 * _UNBIASED * both + SSIM_C2)
                squares = x.square[i, c] + y.square[some, c] + SSIM_C1
                bottom = squares * (x.variance[i, c] + y.variance[some, c] + SSIM_C2)
                found[i, some] += np.mean(top / bottom, axis=(1, 2))
    return found / sizes["C"]


_UNBIASED = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)


class _Plane:
    """Pictures less 0.5, against cancelling, with their local moments over whole windows.

    Attributes
    ----------
    pixels
        (N, C, H, W).
    mean, square, variance
        (N, C, H - 6, W - 6): mean of `pixels`; squared mean of the pictures; variance.
    """

    def __init__(self, pictures: Numbers) -> None:
        self.pixels = np.asarray(pictures, dtype=np.float64) - 0.5
        self.mean = _box_mean(self.pixels)
        self.square = (self.mean + 0.5) ** 2
        self.variance = _UNBIASED * (_box_mean(self.pixels**2) - self.mean**2)


def _box_mean(values: Float64) -> Float64:
    """Return the mean over each 7 x 7 window that lies wholly inside (..., H, W)."""
    for axis in (-2, -1):
        values = _sum_of_seven(values, axis)
    return values / SSIM_WINDOW**2


def _sum_of_seven(values: Float64, axis: int) -> Float64:
    """Add 7 neighbours along an axis by pairs of pairs: 4 sums instead of 6."""
    n = values.shape[axis]

    def part(array: Float64, start: int, length: int) -> Float64:
        cut: list[slice] = [slice(None)] * array.ndim
        cut[axis] = slice(start, start + length)
        return array[tuple(cut)]

    two = part(values, 0, n - 1) + part(values, 1, n - 1)
    four = part(two, 0, n - 3) + part(two, 2, n - 3)
    whole = part(four, 0, n - 6) + part(two, 4, n - 6)
    whole += part(values, 6, n - 6)
    return whole


def perceptual_vectors(
    maps: Sequence[Numbers], weights: Sequence[Numbers] | None = None
) -> Numbers:
    """Return vectors whose squared distances are LPIPS-form distances of the pictures.

    d(x, y) = Σ_l mean over h, w of Σ_c w_lc (x̂_lchw - ŷ_lchw)²,   x̂ = x / |x| over channels

    Parameters
    ----------
    maps
        (B, C_l, H_l, W_l) of each layer l of a network; tokens as (B, C_l, T, 1).
    weights
        (C_l) of each layer, at least 0; None for 1 throughout.

    Returns
    -------
    (B, D) float32, D = Σ_l C_l H_l W_l, for `squared_distance_pairs`.

    Notes
    -----
    Zhang et al. (2018), equation 1. Their numbers are of AlexNet or VGG with learned weights;
    distances in other networks do not compare with them.
    """
    if not maps:
        raise DataError("an LPIPS-form distance needs at least one layer of maps.")
    parts = []
    for number, layer in enumerate(maps):
        sizes = check_shape(layer, "B C H W", name="maps")
        check_finite(layer, "maps")
        wide = np.asarray(layer, dtype=np.float32)
        length = np.sqrt(np.einsum("bchw,bchw->bhw", wide, wide))[:, None]
        unit = wide / np.maximum(length, 1e-10)
        scale = np.full(sizes["C"], 1.0 / (sizes["H"] * sizes["W"]))
        if weights is not None:
            check_shape(weights[number], "C", name="weights", C=sizes["C"])
            check_finite(weights[number], "weights")
            if np.min(weights[number]) < 0:
                raise DataError("weights of an LPIPS-form distance must not be negative.")
            scale = scale * weights[number]
        unit *= np.sqrt(scale).astype(np.float32)[:, None, None]
        parts.append(unit.reshape(sizes["B"], -1))
    vectors: Numbers = np.concatenate(parts, axis=1)
    return vectors


def _check(predicted: Numbers, true: Numbers) -> dict[str, int]:
    sizes = check_shape(predicted, "N C H W", name="predicted")
    check_shape(true, "M C H W", name="true", **{axis: sizes[axis] for axis in "CHW"})
    check_finite(predicted, "predicted")
    check_finite(true, "true")
    return sizes


def _flat(pictures: Numbers) -> Numbers:
    return np.asarray(pictures).reshape(len(pictures), -1)
