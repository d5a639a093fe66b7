"""Which moment of the film was it: identification of BOLD windows, its interval and its p."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from brainreel.errors import DataError
from brainreel.metrics.bootstrap import Interval, interval_of_mean
from brainreel.metrics.correlation import Float64, Numbers, check_pair
from brainreel.metrics.pairings import identification_pairs
from brainreel.metrics.ranking import (
    Identification,
    expected_share,
    n_way_identification,
    wins_and_ties,
)
from brainreel.metrics.surrogates import Indices, Int64, stretches, surrogate_orders


@dataclass(frozen=True, eq=False)
class SegmentIdentification:
    """How well windows of measured BOLD pick out their own prediction.

    Attributes
    ----------
    identification
        Accuracy per window, and with it the mean and chance.
    similarity
        (N, N) r of measured window i with predicted window j.
    first_rows
        (N,) row at which each window begins.
    segments
        (N,) number of the stretch of rows that each window lies in.
    n_dropped
        Rows at the ends of segments that fill no window.
    """

    identification: Identification
    similarity: Float64
    first_rows: Indices
    segments: Indices
    n_dropped: int


def segment_identification(
    predicted: Numbers,
    measured: Numbers,
    *,
    segment_trs: int,
    n_way: int,
    segments: Int64 | None = None,
) -> SegmentIdentification:
    """Identify which window of film was on from the BOLD of that window.

    s_ij = r(measured window i, predicted window j) over its w TRs x V voxels
    accuracy = mean over i of P(s_ii > s_ij for n_way - 1 other windows j)

    Windows of w = `segment_trs` follow each other without overlap inside each segment. The mean
    of every voxel over its segment is taken off both sides first: a pattern that is always there
    tells windows of one film from those of another, and nothing about the moment.

    Parameters
    ----------
    predicted, measured
        (T, V) test series, each voxel in comparable units (z-scored with training moments).
    segment_trs
        Length of a window in TRs.
    n_way
        Candidates in a trial, the true window included; exact expectation over the others.
    segments
        (T,) number of the test segment of each row; None is one segment.

    Raises
    ------
    DataError
        Where shapes differ, a value is not finite, or there are fewer windows than `n_way`.

    Notes
    -----
    Kay et al. (2008) for pictures; Nishimoto et al. (2011) for films.
    """
    windows = _windows(predicted, measured, segment_trs, n_way, segments)
    similarity = windows.similarity(np.arange(predicted.shape[0]))
    return SegmentIdentification(
        identification=n_way_identification(similarity, n_way),
        similarity=similarity,
        first_rows=windows.rows[:, 0],
        segments=windows.homes,
        n_dropped=predicted.shape[0] - windows.rows.size,
    )


def segment_identification_null(
    predicted: Numbers,
    measured: Numbers,
    *,
    segment_trs: int,
    n_way: int,
    n_permutations: int,
    block_trs: int,
    rng: np.random.Generator,
    segments: Int64 | None = None,
) -> Float64:
    """Return the identification accuracy under surrogates of the prediction.

    The surrogates are those of `block_permutation_p`: the prediction is shifted and its blocks
    permuted within each segment, then cut into windows anew.

    Parameters
    ----------
    predicted, measured, segment_trs, n_way, segments
        As for `segment_identification`.
    n_permutations, block_trs, rng
        As for `block_permutation_p`.

    Returns
    -------
    (n_permutations,) accuracies; `permutation_p(accuracy, null)` is the p-value.
    """
    windows = _windows(predicted, measured, segment_trs, n_way, segments)
    orders = surrogate_orders(
        predicted.shape[0], n=n_permutations, block_trs=block_trs, rng=rng, segments=segments
    )
    null = np.empty(n_permutations)
    for i, order in enumerate(orders):
        similarity = windows.similarity(order)
        wins, ties = wins_and_ties(similarity)
        null[i] = expected_share(wins, ties, similarity.shape[1] - 1, n_way, 1).mean()
    return null


def pairing_null(
    similarity: Numbers, n_way: int, *, n_permutations: int, rng: np.random.Generator
) -> Float64:
    """Return the identification accuracy when items are paired with each other's truth.

    For items without order in time (pictures, trials): column j becomes the true one of a
    randomly chosen row. All pairings are equally likely where nothing was decoded.

    Parameters
    ----------
    similarity
        (N, N) as for `n_way_identification`.
    n_way
        Candidates in a trial.
    n_permutations
        Pairings to draw.
    rng
        Where the randomness comes from.

    Returns
    -------
    (n_permutations,) accuracies.
    """
    # The accuracy of row i were column j its truth, once for all pairings.
    found = identification_pairs(similarity, n_way)
    n = len(found)
    return np.array([found[np.arange(n), rng.permutation(n)].mean() for _ in range(n_permutations)])


def identification_interval(
    identification: Identification,
    *,
    n: int,
    rng: np.random.Generator,
    block: int = 1,
    level: float = 0.95,
    segments: Int64 | None = None,
) -> Interval:
    """Return the interval of an identification accuracy over items.

    accuracy* = accuracy + mean over the resampled items of (φ_i - φ̄)

    φ are the jackknife pseudo-values of the accuracy. An item takes part twice, as the one
    looked for and as a distractor; resampling the per-item accuracies alone sees only the first
    and gives intervals that are too narrow, or too wide where the two parts cancel.

    Parameters
    ----------
    identification
        From `n_way_identification` or `segment_identification`.
    n
        Resamples.
    rng
        Where the randomness comes from.
    block
        Neighbouring items that stay together (windows of one film); 1 for pictures.
    level
        Nominal coverage.
    segments
        (N,) number of the segment of each item.

    Notes
    -----
    Arvesen (1969), The Annals of Mathematical Statistics 40: the jackknife of U-statistics.
    """
    influence = identification.influence - identification.influence.mean()
    return interval_of_mean(
        influence + identification.accuracy,
        n=n,
        rng=rng,
        block=block,
        level=level,
        segments=segments,
        bounds=(0.0, 1.0),
    )


class _Windows(NamedTuple):
    """What the similarity of windows needs, TR by TR, so that no window is ever copied.

    A window's inner product is a sum over its TRs of inner products over voxels; its mean and
    norm likewise. So (T, T) products serve all windows of all surrogates.
    """

    rows: Indices
    homes: Indices
    products: Float64
    sums: tuple[Float64, Float64]
    squares: tuple[Float64, Float64]
    n_voxels: int

    def similarity(self, order: Indices) -> Float64:
        """Return r of measured windows (rows) with windows of the reordered prediction."""
        moved = order[self.rows]
        inner = self.products[self.rows[:, None, :], moved[None, :, :]].sum(axis=2)
        size = self.rows.shape[1] * self.n_voxels
        sum_m, sum_p = self.sums[0][self.rows].sum(axis=1), self.sums[1][moved].sum(axis=1)
        square_m, square_p = (
            np.maximum(squares[rows].sum(axis=1) - total**2 / size, 0.0)
            for squares, rows, total in zip(
                self.squares, (self.rows, moved), (sum_m, sum_p), strict=True
            )
        )
        scale = np.sqrt(np.outer(square_m, square_p))
        r: Float64 = np.zeros(inner.shape)
        np.divide(inner - np.outer(sum_m, sum_p) / size, scale, out=r, where=scale > 0)
        return r


def _windows(
    predicted: Numbers, measured: Numbers, segment_trs: int, n_way: int, segments: Int64 | None
) -> _Windows:
    n_rows, n_voxels = check_pair(predicted, measured)
    if segment_trs < 1:
        raise DataError(f"a window of {segment_trs} TRs cannot be used; it needs at least one.")
    parts = stretches(n_rows, segments)
    firsts = [
        (row, home)
        for home, part in enumerate(parts)
        for row in range(part.start, part.stop - segment_trs + 1, segment_trs)
    ]
    if len(firsts) < n_way:
        raise DataError(
            f"{n_rows} test TRs hold {len(firsts)} windows of {segment_trs} TRs; {n_way}-way "
            "identification needs one for each candidate. Shorten the windows or lower n_way."
        )
    x, y = (np.array(side, dtype=np.float64) for side in (predicted, measured))
    for start, stop in parts:
        x[start:stop] -= x[start:stop].mean(axis=0)
        y[start:stop] -= y[start:stop].mean(axis=0)
    rows = np.array([row for row, _ in firsts])[:, None] + np.arange(segment_trs)
    return _Windows(
        rows=rows,
        homes=np.array([home for _, home in firsts]),
        products=y @ x.T,
        sums=(y.sum(axis=1), x.sum(axis=1)),
        squares=(np.einsum("tv,tv->t", y, y), np.einsum("tv,tv->t", x, x)),
        n_voxels=n_voxels,
    )
