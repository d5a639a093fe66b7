"""Scores of what is told of people: a class by its probability, or a number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from brainreel.metrics.correlation import Float64, Numbers, check_finite, pearson_r
from brainreel.shapes import check_shape

Integers = NDArray[np.integer]


def balanced_accuracy(told: Integers, true: Integers) -> float:
    """Return the mean over the classes that occur of the share of each that was told right.

    (1 / K) Σ_k #{i : told_i = true_i = k} / #{i : true_i = k}

    Any constant answer scores 1 / K. Brodersen et al. 2010.

    Parameters
    ----------
    told, true
        (N,) numbers of classes.
    """
    check_shape(told, "N", name="told", N=check_shape(true, "N", name="true")["N"])
    classes, inverse = np.unique(true, return_inverse=True)
    if not classes.size:
        return float("nan")
    right = np.bincount(inverse, np.asarray(told) == np.asarray(true))
    return float((right / np.bincount(inverse)).mean())


def auroc(scores: Numbers, positive: NDArray[np.bool_]) -> float:
    """Return the area under the receiver operating characteristic.

    P(score of a positive > score of a negative) + P(equal) / 2

    by ranks (Mann and Whitney 1947).

    Parameters
    ----------
    scores
        (N,), larger is more likely; only their order counts.
    positive
        (N,) which are of the class.

    Returns
    -------
    In [0, 1]; NaN where all are of the class, or none.
    """
    n = check_shape(scores, "N", name="scores")["N"]
    check_shape(positive, "N", name="positive", N=n)
    check_finite(scores, "scores")
    own = np.asarray(positive, dtype=bool)
    n_own = int(own.sum())
    if n_own in (0, n):
        return float("nan")
    won = rankdata(np.asarray(scores, np.float64))[own].sum() - n_own * (n_own + 1) / 2
    return float(won / (n_own * (n - n_own)))


def macro_auroc(scores: Numbers, true: Integers) -> float:
    """Return the mean over classes of the AUROC of one against the rest; that of one for two.

    Parameters
    ----------
    scores
        (N, K) probabilities of the classes.
    true
        (N,) numbers of the true classes.

    Returns
    -------
    In [0, 1]; classes that nobody or everybody is of are left out, NaN where all are.
    """
    sizes = check_shape(scores, "N K", name="scores")
    check_shape(true, "N", name="true", N=sizes["N"])
    wanted = range(sizes["K"]) if sizes["K"] > 2 else [sizes["K"] - 1]
    areas = np.array([auroc(scores[:, k], np.asarray(true) == k) for k in wanted])
    known = areas[~np.isnan(areas)]
    return float(known.mean()) if known.size else float("nan")


def roc_curve(scores: Numbers, positive: NDArray[np.bool_]) -> tuple[Float64, Float64]:
    """Return the corners of the receiver operating characteristic, from (0, 0) to (1, 1).

    Parameters
    ----------
    scores, positive
        As for `auroc`, whose area lies under the line through these points.

    Returns
    -------
    false_positives, true_positives
        Shares of the negatives and of the positives at or above each score, falling; NaN where
        there are none.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    own = np.asarray(positive, dtype=bool)[order]
    # Equal scores enter together: only the last of each tie is a threshold.
    last = np.append(np.flatnonzero(np.diff(np.asarray(scores)[order])), len(own) - 1)
    with np.errstate(invalid="ignore"):
        rising = [np.cumsum(side)[last] / np.float64(side.sum()) for side in (~own, own)]
    false, true = (np.concatenate([[0.0], side]) for side in rising)
    return false, true


def mean_absolute_error(told: Numbers, true: Numbers) -> float:
    """Return the mean of |told - true| over people, in the units of the number."""
    n = check_shape(told, "N", name="told")["N"]
    check_shape(true, "N", name="true", N=n)
    return float(np.abs(np.asarray(told, np.float64) - np.asarray(true, np.float64)).mean())


def correlation_of(told: Numbers, true: Numbers) -> float:
    """Return Pearson's r over people: 0 if `told` does not vary, NaN if the truth does not."""
    n = check_shape(told, "N", name="told")["N"]
    check_shape(true, "N", name="true", N=n)
    if n < 2:
        return float("nan")
    return float(pearson_r(np.asarray(told)[:, None], np.asarray(true)[:, None])[0])
