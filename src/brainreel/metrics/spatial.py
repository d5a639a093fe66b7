"""Correlation over space, volume by volume: a score that flatters."""

from __future__ import annotations

import numpy as np

from brainreel.metrics.correlation import Float64, Numbers, check_pair, unit_columns
from brainreel.metrics.surrogates import Int64, surrogate_orders


def spatial_similarity(predicted: Numbers, measured: Numbers) -> Float64:
    """Correlate every predicted volume with every measured one, over voxels.

    s_tu = Σ_v (x_tv - x̄_t)(y_uv - ȳ_u) / √(Σ_v (x_tv - x̄_t)² Σ_v (y_uv - ȳ_u)²)

    The diagonal is the spatial correlation of each volume. It flatters: brains differ so much
    more from place to place than from moment to moment that the mean volume alone, which tells
    nothing of the film, comes near 1. Give that beside it.

    Parameters
    ----------
    predicted, measured
        (T, V) volumes, in one unit for all voxels (not z-scored voxel by voxel).

    Returns
    -------
    (T, T) in [-1, 1]; row a predicted volume, column a measured one. A predicted volume without
    variance over voxels gets 0, a measured one NaN.

    Raises
    ------
    DataError
        Where shapes differ or a value is not finite.
    """
    check_pair(predicted, measured)
    (x, _), (y, varies) = (unit_columns(np.asarray(side).T) for side in (predicted, measured))
    similarity: Float64 = np.clip(x.T @ y, -1.0, 1.0)
    similarity[:, ~varies] = np.nan
    return similarity


def spatial_null(
    similarity: Numbers,
    *,
    n_permutations: int,
    block_trs: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
) -> Float64:
    """Return the mean spatial correlation under surrogates of the prediction.

    The surrogates are those of `block_permutation_p`: they keep what the volumes have in common
    and lose only the moment, so a p-value made of them is blind to what flatters.

    Parameters
    ----------
    similarity
        (T, T) of `spatial_similarity`.
    n_permutations, block_trs, rng, segments
        As for `block_permutation_p`.

    Returns
    -------
    (n_permutations,) means over volumes.
    """
    n_rows = similarity.shape[0]
    orders = surrogate_orders(
        n_rows, n=n_permutations, block_trs=block_trs, rng=rng, segments=segments
    )
    null: Float64 = np.nanmean(similarity[orders, np.arange(n_rows)], axis=1)
    return null
