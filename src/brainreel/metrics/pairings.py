"""Identification and class scores of every reconstruction, were any of the pictures its truth.

Entry (i, j) is the expected score of row i with picture j as its truth: the diagonal is the score,
and a permuted diagonal is a draw from its null.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.metrics.correlation import Float64, Numbers, check_finite
from brainreel.metrics.ranking import check_ways, expected_share
from brainreel.shapes import check_shape


def identification_pairs(similarity: Numbers, n_way: int, *, top_k: int = 1) -> Float64:
    """Return the accuracy of every row, were each column its true one.

    Parameters
    ----------
    similarity
        (N, N): row i is what was decoded, column j a candidate; larger is more alike.
    n_way, top_k
        As in `n_way_identification`, whose accuracies are the diagonal.

    Returns
    -------
    (N, N) in [0, 1].
    """
    values = np.asarray(similarity)
    n = values.shape[0]
    if values.shape != (n, n):
        raise DataError(f"similarity is {values.shape}; pairs need as many candidates as items.")
    check_finite(similarity, "similarity")
    check_ways(n_way, top_k, n)
    return _found(values, values, n_way, top_k)


def classification_pairs(
    scores: Numbers, true_class: NDArray[np.integer], n_way: int, *, top_k: int = 1
) -> Float64:
    """Return the n-way top-k score of every reconstruction, were each picture its truth.

    Parameters
    ----------
    scores
        (N, K) class scores of the reconstructions.
    true_class
        (M,) class of each true picture.
    n_way, top_k
        As in `n_way_classification`, whose scores are the diagonal.

    Returns
    -------
    (N, M) in [0, 1].
    """
    sizes = check_shape(scores, "N K", name="scores")
    check_shape(true_class, "M", name="true_class")
    check_finite(scores, "scores")
    classes = np.asarray(true_class)
    if classes.size and (classes.min() < 0 or classes.max() >= sizes["K"]):
        raise DataError(
            f"true_class runs from {classes.min()} to {classes.max()}; scores have the classes 0 "
            f"to {sizes['K'] - 1}."
        )
    check_ways(n_way, top_k, sizes["K"])
    values = np.asarray(scores)
    return _found(values, values[:, classes], n_way, top_k)


def _found(values: Numbers, asked: Numbers, n_way: int, top_k: int) -> Float64:
    """Return how often each asked value of a row, (N, M), comes first among the row's (N, K)."""
    n, k = values.shape
    found = np.empty(asked.shape)
    for i in range(n):
        ranked = np.sort(values[i])
        after = np.searchsorted(ranked, asked[i], side="right")
        level = after - np.searchsorted(ranked, asked[i], side="left") - 1
        found[i] = expected_share(k - after, level, k - 1, n_way, top_k)
    return found
