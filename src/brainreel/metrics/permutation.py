"""P-values by circular shifts and block permutation, corrected by max-statistic or FDR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from brainreel.errors import DataError
from brainreel.metrics.correlation import Float64, Numbers, check_pair, median_of, unit_columns
from brainreel.metrics.surrogates import Indices, Int64, surrogate_orders

Tail = Literal["greater", "two-sided"]

# Columns whose two series fit a core's cache together, and surrogates held at a time.
_CACHE_VOXELS = 128
_BATCH = 100

# Null and observed score of a tie may differ by the rounding of a sum; of a score above 1 (an error
# in days) by that share of it.
_TIE = 1e-12


@dataclass(frozen=True, eq=False)
class PermutationResult:
    """What the surrogates say about every voxel and about all of them together.

    Attributes
    ----------
    observed
        (V,) r; NaN where the measured side has no variance, 0 where only the prediction has none.
    p
        (V,) p-value of each voxel alone.
    p_max
        (V,) p-value corrected over all voxels by the maximum of each surrogate (family-wise).
    null_max, null_median
        (n,) maximum and median r over voxels in each surrogate.
    p_median
        p-value of the median r over voxels.
    tail
        "greater": only positive r counts; "two-sided": |r|.
    n_permutations
        Number of surrogates.
    n_excluded
        Voxels left out because the measured side has no variance.
    """

    observed: Float64
    p: Float64
    p_max: Float64
    null_max: Float64
    null_median: Float64
    p_median: float
    tail: Tail
    n_permutations: int
    n_excluded: int


def block_permutation_p(
    predicted: Numbers,
    measured: Numbers,
    *,
    n_permutations: int,
    block_trs: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
    tail: Tail = "greater",
) -> PermutationResult:
    """Test each voxel's r against surrogates that keep the autocorrelation of the prediction.

    p_v = (1 + #{s : r_v(s) >= r_v}) / (1 + n)
    p_max_v = (1 + #{s : max_u r_u(s) >= r_v}) / (1 + n)

    In each surrogate s the prediction is turned on the circle of its own test segment by a
    uniformly random number of TRs, independently in each segment; with only one or two segments
    the circle is also cut into a few blocks whose order is permuted, because one series of T TRs
    has only T shifts. One surrogate moves all voxels alike, so that the maximum and the median
    keep the dependence between voxels. Means of segments stay where they are.

    Parameters
    ----------
    predicted, measured
        (T, V), the test series, segments one after the other.
    n_permutations
        Surrogates; the smallest p is 1 / (1 + n_permutations).
    block_trs
        Shortest block in TRs, longer than the autocorrelation (10 to 20 s).
    rng
        Where the randomness comes from.
    segments
        (T,) number of the test segment of each row; None is one segment.
    tail
        "greater" asks whether the prediction is right, "two-sided" whether it is related at all.

    Raises
    ------
    DataError
        Where shapes differ, a value is not finite, or a count is below 1.

    Notes
    -----
    Phipson and Smyth (2010) for the (1 + #) / (1 + n); Nichols and Holmes (2002) for the maximum
    statistic; Hemerik and Goeman (2018) for why random members of a group, the identity among
    them, give a valid test.
    """
    n_rows, n_voxels = check_pair(predicted, measured)
    _check_count(n_permutations)
    orders = surrogate_orders(
        n_rows, n=n_permutations, block_trs=block_trs, rng=rng, segments=segments
    )
    pieces, still = _unit_pieces(predicted, measured)
    used = np.concatenate([np.zeros(0, dtype=np.intp), *(piece.columns for piece in pieces)])
    r = np.concatenate([np.zeros(0), *(_products(piece.x, piece.y) for piece in pieces)])
    signed = np.abs if tail == "two-sided" else np.asarray
    reached = np.zeros(used.size)
    # A prediction that does not vary has r = 0, in the data and in every surrogate.
    nothing = 0.0 if still.size else np.nan
    null_max, null_median = np.full(n_permutations, nothing), np.full(n_permutations, nothing)
    for rows, null in _null_r(pieces, orders):
        null_median[rows] = np.median(np.pad(null, ((0, 0), (0, still.size))), axis=1)
        null = signed(null)
        null_max[rows] = np.fmax(null.max(axis=1), nothing)
        reached += np.count_nonzero(null >= signed(r) - _TIE, axis=0)
    observed, p = np.full(n_voxels, np.nan), np.full(n_voxels, np.nan)
    observed[used], observed[still] = r, 0.0
    p[used], p[still] = (1 + reached) / (1 + n_permutations), 1.0
    p_max = _share_reaching(null_max, signed(observed))
    middle = signed(np.array([median_of(observed).value]))
    return PermutationResult(
        observed=observed,
        p=p,
        p_max=p_max,
        null_max=null_max,
        null_median=null_median,
        p_median=float(_share_reaching(signed(null_median), middle)[0]),
        tail=tail,
        n_permutations=n_permutations,
        n_excluded=int(n_voxels - used.size - still.size),
    )


def permutation_p(observed: float, null: Numbers) -> float:
    """Return (1 + #{null >= observed}) / (1 + n), the p-value of one number.

    Parameters
    ----------
    observed
        The score; larger is better.
    null
        (n,) the score under each surrogate; a NaN counts as reaching it.
    """
    values = np.asarray(null, dtype=np.float64).ravel()
    _check_count(values.size)
    return float(_share_reaching(values, np.array([observed]))[0])


def fdr_bh(p: Numbers) -> Float64:
    """Return q-values that control the false discovery rate.

    q_(i) = min over j >= i of p_(j) m / j, with p_(1) <= ... <= p_(m)

    Parameters
    ----------
    p
        (V,) p-values; NaN (a voxel without variance) is no test and stays NaN.

    Returns
    -------
    (V,) q-values, at most 1.

    Raises
    ------
    DataError
        Where a p-value is not in [0, 1].

    Notes
    -----
    Benjamini and Hochberg (1995); valid for independent and positively dependent tests.
    """
    values = np.asarray(p, dtype=np.float64)
    q = np.full(values.shape, np.nan)
    tested = ~np.isnan(values)
    if (values[tested] < 0).any() or (values[tested] > 1).any():
        raise DataError("p-values must lie between 0 and 1.")
    order = np.argsort(values[tested], kind="stable")
    m = order.size
    scaled = values[tested][order] * m / np.arange(1, m + 1)
    lowest = np.minimum.accumulate(scaled[::-1])[::-1]
    found = np.empty(m)
    found[order] = np.minimum(lowest, 1.0)
    q[tested] = found
    return q


class _Piece(NamedTuple):
    """Some voxels with variance: their columns, and both series centred to length 1."""

    columns: Indices
    x: Float64
    y: Float64


def _unit_pieces(predicted: Numbers, measured: Numbers) -> tuple[list[_Piece], Indices]:
    """Cut the voxels into pieces whose series stay in a core's cache while they are reordered.

    Beside them: the columns in which the measurement varies and the prediction does not.
    """
    pieces, still = [], [np.zeros(0, dtype=np.intp)]
    for start in range(0, predicted.shape[1], _CACHE_VOXELS):
        columns = slice(start, start + _CACHE_VOXELS)
        x, varies_x = unit_columns(predicted[:, columns])
        y, varies_y = unit_columns(measured[:, columns])
        kept = np.flatnonzero(varies_x & varies_y)
        if kept.size:
            pieces.append(_Piece(start + kept, x[:, kept].copy(), y[:, kept].copy()))
        still.append(start + np.flatnonzero(varies_y & ~varies_x))
    return pieces, np.concatenate(still)


def _products(x: Float64, y: Float64) -> Float64:
    total: Float64 = np.einsum("tv,tv->v", x, y)
    return total


def _null_r(pieces: list[_Piece], orders: Indices) -> Iterator[tuple[slice, Float64]]:
    """Yield batches of (surrogates, V) correlations of the reordered prediction."""
    n_voxels = sum(piece.columns.size for piece in pieces)
    for start in range(0, orders.shape[0] if pieces else 0, _BATCH):
        rows = slice(start, min(start + _BATCH, orders.shape[0]))
        null = np.empty((rows.stop - rows.start, n_voxels))
        first = 0
        for piece in pieces:
            columns = slice(first, first + piece.columns.size)
            for i, order in enumerate(orders[rows]):
                null[i, columns] = _products(piece.x[order], piece.y)
            first = columns.stop
        yield rows, null


def _share_reaching(null: Float64, observed: Float64) -> Float64:
    """Return (1 + #{null >= observed}) / (1 + n) for each observed value, NaN for NaN."""
    ranked = np.sort(null)
    tie = _TIE * np.maximum(1, np.abs(observed))
    below = np.searchsorted(ranked, observed - tie, side="left")
    share = (1 + null.size - below) / (1 + null.size)
    return np.where(np.isnan(observed), np.nan, share)


def _check_count(n: int) -> None:
    if n < 1:
        raise DataError(f"{n} permutations cannot give a p-value; at least one is needed.")
