"""Confidence intervals by resampling blocks of time points or items."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from brainreel.errors import DataError
from brainreel.metrics.correlation import (
    VOXEL_CHUNK,
    Float64,
    Numbers,
    check_pair,
    pearson_r,
    unit_columns,
)
from brainreel.metrics.surrogates import BlockStarts, Int64, block_starts, rows_of, stretches


class Interval(NamedTuple):
    """A confidence interval.

    Attributes
    ----------
    low, high
        Its ends, NaN where nothing could be resampled; the score lies between them.
    level
        Nominal coverage.
    n_resamples
        Resamples that it stands on.
    n_blocks
        Blocks in the data: the number of nearly independent pieces.
    """

    low: float
    high: float
    level: float
    n_resamples: int
    n_blocks: int


def percentile_interval(
    value: float,
    resampled: Numbers,
    *,
    n_blocks: int,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Read an interval from resampled statistics, centred on the score and widened for few blocks.

    [θ + F⁻¹(a) - F⁻¹(½), θ + F⁻¹(1-a) - F⁻¹(½)],  a = Φ(-t_{k-1, (1+level)/2} √(k / (k-1)))

    with θ the score and k = n_blocks. Plain percentiles (a = (1 - level)/2) are too narrow by
    √((k-1)/k) and by the normal in place of Student's t; with 10 to 20 blocks of film that is a
    tenth and more. They are also off centre where noise alone moves the score: a resample has
    the noise twice, so the median r over mostly silent voxels is higher in every resample than
    in the data. The centred interval is for the expected score in a test of this length.

    Parameters
    ----------
    value
        θ, the score of the data itself.
    resampled
        (n,) the statistic in each resample; NaN (undefined there) is left out.
    n_blocks
        k, blocks in the data.
    level
        Nominal coverage, between 0 and 1.
    bounds
        Lowest and highest score there can be. A score at a bound in every resample gets the
        interval of k successes in k trials (Clopper and Pearson 1934).

    Notes
    -----
    Hesterberg (2015), The American Statistician 69, "expanded percentile" interval.
    """
    if not 0 < level < 1:
        raise DataError(f"a level of {level:g} cannot be used; it lies between 0 and 1.")
    values = np.asarray(resampled, dtype=np.float64).ravel()
    values = values[~np.isnan(values)]
    if values.size < 2 or n_blocks < 2:
        return Interval(float("nan"), float("nan"), level, int(values.size), n_blocks)
    if values.min() == values.max() == value and value in bounds:
        # Nothing ever missed, or hit: resampling sees no error, the exact binomial bound does.
        reach = (bounds[1] - bounds[0]) * (1 - ((1 - level) / 2) ** (1 / n_blocks))
        low, high = np.clip([value - reach, value + reach], *bounds)
        return Interval(float(low), float(high), level, int(values.size), n_blocks)
    reach = t.ppf((1 + level) / 2, n_blocks - 1) * np.sqrt(n_blocks / (n_blocks - 1))
    tail = float(norm.cdf(-reach))
    low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail])
    low, high = np.clip([value + low - middle, value + high - middle], *bounds)
    return Interval(float(low), float(high), level, int(values.size), n_blocks)


def block_bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: Numbers,
    block: int,
    n: int,
    rng: np.random.Generator,
    level: float = 0.95,
    segments: Int64 | None = None,
) -> Interval:
    """Resample blocks of rows, the same for all arrays, and read the interval of a statistic.

    Parameters
    ----------
    statistic
        Called with the resampled arrays; returns one number.
    *arrays
        Same size along axis 0 (TRs, trials, items).
    block
        Rows that stay together; 1 where they are independent.
    n
        Resamples.
    rng
        Where the randomness comes from.
    level
        Nominal coverage.
    segments
        (T,) number of the segment of each row; no block crosses two of them.

    Raises
    ------
    DataError
        Where the arrays differ in length or a count cannot be used.
    """
    sizes = {int(array.shape[0]) for array in arrays}
    if len(sizes) != 1:
        raise DataError(f"arrays of {sorted(sizes)} rows cannot be resampled together.")
    n_rows = sizes.pop()
    draws = block_starts(n_rows, block=block, n=n, rng=rng, segments=segments)
    parts = stretches(n_rows, segments)
    values = np.empty(n)
    for i, draw in enumerate(draws.starts):
        rows = rows_of(draw, draws.lengths, parts)
        values[i] = statistic(*(array[rows] for array in arrays))
    return percentile_interval(
        statistic(*arrays), values, n_blocks=draws.starts.shape[1], level=level
    )


def interval_of_mean(
    items: Numbers,
    *,
    n: int,
    rng: np.random.Generator,
    block: int = 1,
    level: float = 0.95,
    segments: Int64 | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Return the interval of the mean of a score over items (pictures, trials, windows).

    Parameters
    ----------
    items
        (N,) one score per item; NaN is left out.
    n
        Resamples.
    rng
        Where the randomness comes from.
    block
        Neighbouring items that stay together; 1 where items are independent.
    level
        Nominal coverage.
    segments
        (N,) number of the segment of each item.
    bounds
        Lowest and highest mean there can be.
    """
    values = np.asarray(items, dtype=np.float64).ravel()
    used = ~np.isnan(values)
    if not used.any():
        return Interval(float("nan"), float("nan"), level, 0, 0)
    kept = None if segments is None else segments[used]
    means, n_blocks = bootstrap_means(values[used], block=block, n=n, rng=rng, segments=kept)
    value = float(values[used].mean())
    return percentile_interval(value, means, n_blocks=n_blocks, level=level, bounds=bounds)


def bootstrap_means(
    items: Numbers,
    *,
    block: int,
    n: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
) -> tuple[Float64, int]:
    """Return the mean of items in every resample of blocks of them.

    Parameters
    ----------
    items
        (N,) one score per item, without NaN.
    block, n, rng, segments
        As for `interval_of_mean`.

    Returns
    -------
    (n,) means, and the number of blocks that `percentile_interval` asks for.
    """
    values = np.asarray(items, dtype=np.float64)
    draws = block_starts(values.size, block=block, n=n, rng=rng, segments=segments)
    sums = _counts(draws, values.size) @ _window_sums(values[:, None], draws, segments)
    means: Float64 = sums[:, 0] / draws.lengths[draws.starts].sum(axis=1)
    return means, int(draws.starts.shape[1])


def bootstrap_r(
    predicted: Numbers,
    measured: Numbers,
    *,
    block_trs: int,
    n: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Return r of every voxel in every resample of blocks of TRs.

    A resample's r needs five sums over its rows, each a sum over blocks, so all resamples
    together are five products (n, T) @ (T, V) and no series is ever copied.

    Parameters
    ----------
    predicted, measured
        (T, V) test series.
    block_trs
        Block length in TRs, longer than the autocorrelation (10 to 20 s).
    n
        Resamples.
    rng
        Where the randomness comes from.
    segments
        (T,) number of the test segment of each row; None is one segment.

    Returns
    -------
    (n, V) float32 r, all NaN where `measured` has no variance, all 0 where only `predicted` has
    none, and the number of blocks k that `percentile_interval` asks for. All voxels share the
    resampled rows: any statistic of a row of it (a median, a share of the ceiling) keeps the
    dependence between voxels.
    """
    n_rows, n_voxels = check_pair(predicted, measured)
    draws = block_starts(n_rows, block=block_trs, n=n, rng=rng, segments=segments)
    counts = _counts(draws, n_rows)
    total = draws.lengths[draws.starts].sum(axis=1)[:, None].astype(np.float64)
    r = np.empty((n, n_voxels), dtype=np.float32)
    for start in range(0, n_voxels, VOXEL_CHUNK):
        columns = slice(start, start + VOXEL_CHUNK)
        x, varies_x = unit_columns(predicted[:, columns])
        y, varies_y = unit_columns(measured[:, columns])
        means = (counts @ _window_sums(part, draws, segments) / total for part in (x, y))
        mean_x, mean_y = means
        products = (x * y, x * x, y * y)
        xy, xx, yy = (counts @ _window_sums(part, draws, segments) / total for part in products)
        spread = (xx - mean_x**2) * (yy - mean_y**2)
        usable = (varies_x & varies_y) & (spread > np.finfo(np.float64).eps * xx * yy)
        found = np.full(spread.shape, np.nan)
        found[:, varies_y & ~varies_x] = 0.0
        np.divide(xy - mean_x * mean_y, np.sqrt(np.abs(spread)), out=found, where=usable)
        r[:, columns] = np.clip(found, -1, 1)
    return r, int(draws.starts.shape[1])


def interval_of_r(
    predicted: Numbers,
    measured: Numbers,
    *,
    block_trs: int,
    n: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
    statistic: Callable[[Numbers], Numbers] | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the interval of the median r over voxels, or of another statistic of the r map.

    Parameters
    ----------
    predicted, measured, block_trs, n, rng, segments
        As for `bootstrap_r`.
    statistic
        Maps (n, V) r to (n,); the median over voxels with variance if None.
    level
        Nominal coverage.
    """
    r, n_blocks = bootstrap_r(
        predicted, measured, block_trs=block_trs, n=n, rng=rng, segments=segments
    )
    summary = _median_of_rows if statistic is None else statistic
    value = float(summary(pearson_r(predicted, measured)[None])[0])
    return percentile_interval(value, summary(r), n_blocks=n_blocks, level=level)


def _median_of_rows(r: Numbers) -> Float64:
    used = ~np.isnan(r).all(axis=0)
    if not used.any():
        return np.full(r.shape[0], np.nan)
    return np.asarray(np.nanmedian(r[:, used], axis=1), dtype=np.float64)


def _counts(draws: BlockStarts, n_rows: int) -> Float64:
    """Return how often each row starts a block in each resample, (n, T)."""
    n = draws.starts.shape[0]
    flat = draws.starts + n_rows * np.arange(n)[:, None]
    return np.bincount(flat.ravel(), minlength=n * n_rows).reshape(n, n_rows).astype(np.float64)


def _window_sums(values: Float64, draws: BlockStarts, segments: Int64 | None) -> Float64:
    """Return the sum of the block that starts at each row, wrapping in its segment, (T, V)."""
    sums = np.empty_like(values)
    for start, stop in stretches(values.shape[0], segments):
        length = int(draws.lengths[start])
        ring = np.concatenate([values[start:stop], values[start : start + length]])
        run = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(ring, axis=0)])
        size = stop - start
        sums[start:stop] = run[length : length + size] - run[:size]
    return sums
