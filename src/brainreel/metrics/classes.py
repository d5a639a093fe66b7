"""Scores of classifiers over many resamples or shuffles at once, and confusions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from brainreel.errors import DataError
from brainreel.metrics.correlation import Float64, Numbers, check_finite
from brainreel.shapes import check_shape

Integers = NDArray[np.integer]
_CELLS = 1 << 24  # resamples times items held at once: 128 MiB a float64 array


def topk_credit(scores: Numbers, k: int) -> Float64:
    """Return, for every class, whether it is among the k highest scores of a row.

    credit_ic = clip((k - b_ic) / (t_ic + 1), 0, 1)

    with b_ic classes above class c in row i and t_ic level with it. Its column of the true class
    is `topk_accuracy`; other columns serve shuffled classes.

    Parameters
    ----------
    scores
        (N, K).
    k
        From 1 to K.

    Returns
    -------
    (N, K)
    """
    n_classes = check_shape(scores, "N K", name="scores")["K"]
    check_finite(scores, "scores")
    if not 1 <= k <= n_classes:
        raise DataError(f"top {k} of {n_classes} classes cannot be; k lies from 1 to {n_classes}.")
    falling = -np.asarray(scores, dtype=np.float64)
    above = rankdata(falling, method="min", axis=1) - 1
    level = rankdata(falling, method="max", axis=1) - 1 - above
    credit: Float64 = np.clip((k - above) / (level + 1), 0.0, 1.0)
    return credit


def confusion(predicted: Integers, true: Integers, n_classes: int) -> NDArray[np.int64]:
    """Return (K, K) counts: row the true class, column the predicted one."""
    pairs = np.asarray(true, np.int64) * n_classes + np.asarray(predicted, np.int64)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def resampled_map(scores: Numbers, targets: NDArray[np.generic], counts: Integers) -> Float64:
    """Return the mean average precision in resamples of the rows.

    Row i taken c_ri times in resample r counts c_ri times; see `average_precision`. A class
    without a positive example in a resample is left out there.

    Parameters
    ----------
    scores, targets
        (N, K) as for `average_precision`.
    counts
        (n, N) how often each row is taken.

    Returns
    -------
    (n,)
    """
    n_rows = check_shape(scores, "N K", name="scores")["N"]
    check_shape(counts, "n N", name="counts", N=n_rows)
    taken, truth = np.asarray(counts, np.float64), np.asarray(targets, np.float64)

    def pick(rows: slice, k: int) -> tuple[Float64, Float64]:
        return taken[rows] * truth[:, k], taken[rows]

    return _maps(scores, targets, len(taken), pick)


def shuffled_map(scores: Numbers, targets: NDArray[np.generic], orders: Integers) -> Float64:
    """Return the mean average precision where the rows' targets are shuffled among them.

    Parameters
    ----------
    scores, targets
        (N, K) as for `average_precision`.
    orders
        (n, N): in shuffle r row i gets the targets of row orders[r, i].

    Returns
    -------
    (n,)
    """
    n_rows = check_shape(scores, "N K", name="scores")["N"]
    check_shape(orders, "n N", name="orders", N=n_rows)
    truth = np.asarray(targets, np.float64)
    once = np.ones((1, n_rows))
    return _maps(scores, targets, len(orders), lambda rows, k: (truth[orders[rows], k], once))


def _maps(
    scores: Numbers,
    targets: NDArray[np.generic],
    n: int,
    pick: Callable[[slice, int], tuple[Float64, Float64]],
) -> Float64:
    """Average over classes the precision at each positive; `pick` gives hits and counts of rows."""
    sizes = check_shape(scores, "N K", name="scores")
    check_shape(targets, "N K", name="targets", **sizes)
    check_finite(scores, "scores")
    if not np.isin(targets, (0, 1)).all():
        raise DataError("targets must be 0 or 1.")
    falling = [np.argsort(-np.asarray(column, np.float64), kind="stable") for column in scores.T]
    means = np.empty(n)
    step = max(1, _CELLS // max(sizes["N"], 1))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        total, used = np.zeros(rows.stop - start), np.zeros(rows.stop - start)
        for k, order in enumerate(falling):
            hit, count = pick(rows, k)
            # Equal scores enter together: only the last of each tie is a threshold.
            last = np.append(np.flatnonzero(np.diff(scores[order, k])), sizes["N"] - 1)
            hits = np.cumsum(hit[:, order], axis=1)[:, last]
            seen = np.cumsum(count[:, order], axis=1)[:, last]
            gained = np.diff(hits, axis=1, prepend=0.0)
            summed = (gained * hits / np.maximum(seen, 1)).sum(axis=1)
            has = hits[:, -1] > 0
            total[has] += summed[has] / hits[has, -1]
            used += has
        with np.errstate(invalid="ignore"):
            means[rows] = total / used
    return means
