"""Identification and ranking: how often the true one is found among others.

All counts are exact expectations over the random choice of the others, unless trials are asked
for. Ties are broken at random, in expectation: a constant prediction scores chance, not 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from brainreel.errors import DataError
from brainreel.metrics.correlation import Float64, Numbers, Summary, check_finite
from brainreel.shapes import check_shape

Int64 = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Identification:
    """How often each item was picked out among `n_way` candidates.

    Attributes
    ----------
    per_item
        (N,) share of trials in which the item was in the top k.
    influence
        (N,) jackknife pseudo-values of the mean: what the item adds as the one looked for and
        as a distractor of all others. Their mean is the accuracy (exactly for 2-way); their
        spread is what an interval must be made of.
    n_way, top_k
        Candidates in a trial, and how many of the best count as found.
    n_candidates
        Candidates that distractors are drawn from, the true one included.
    """

    per_item: Float64
    influence: Float64
    n_way: int
    top_k: int
    n_candidates: int

    @property
    def accuracy(self) -> float:
        """Mean over items."""
        return float(self.per_item.mean())

    @property
    def chance(self) -> float:
        """Accuracy of a guess."""
        return self.top_k / self.n_way


def n_way_identification(
    similarity: Numbers,
    n_way: int,
    *,
    top_k: int = 1,
    n_trials: int | None = None,
    rng: np.random.Generator | None = None,
) -> Identification:
    """Identify each item among itself and `n_way` - 1 others drawn without replacement.

    accuracy_i = P(fewer than k of the n_way - 1 distractors are more similar)
               = Σ_{a<k} C(b, a) C(M - 1 - b, n_way - 1 - a) / C(M - 1, n_way - 1)

    for an item that b of its M - 1 possible distractors beat; ties are averaged over their
    orders. For n_way = 2 this is the share of pairs won, ties half.

    Parameters
    ----------
    similarity
        (N, M): row i is what was decoded, column j a candidate, column i the true one; M >= N,
        columns from N on are candidates that are never true. Larger is more alike.
    n_way
        Candidates in a trial, from 2 to M.
    top_k
        Found if among the k most similar.
    n_trials, rng
        Draw so many trials for each item instead of the exact expectation, as published
        protocols do.

    Raises
    ------
    DataError
        Where the sizes cannot be, a similarity is not finite, or trials come without `rng`.

    Notes
    -----
    Kay et al. (2008) for identification; Arvesen (1969) for the jackknife of such means.
    """
    sizes = check_shape(similarity, "N M", name="similarity")
    check_finite(similarity, "similarity")
    n, m = sizes["N"], sizes["M"]
    if m < n:
        raise DataError(f"similarity has {m} candidates for {n} items; it needs one for each.")
    check_ways(n_way, top_k, m)
    wins, ties = wins_and_ties(similarity)
    if n_trials is not None:
        per_item = _sampled(wins, ties, m - 1, n_way, top_k, n_trials, rng)
    else:
        per_item = expected_share(wins, ties, m - 1, n_way, top_k)
    return Identification(
        per_item=per_item,
        influence=_pseudo_values(similarity, n_way, top_k),
        n_way=n_way,
        top_k=top_k,
        n_candidates=m,
    )


def wins_and_ties(similarity: Numbers) -> tuple[Int64, Int64]:
    """Return how many candidates of (N, M) rows are above and level with the true one, (N,)."""
    better, tied = _compared(similarity)
    return np.count_nonzero(better, axis=1), np.count_nonzero(tied, axis=1)


def pairwise_identification(similarity: Numbers) -> Identification:
    """Identify each item against every other one, one at a time (2-way).

    accuracy_i = (#{j : s_ij < s_ii} + #{j : s_ij = s_ii} / 2) / (M - 1)

    Parameters
    ----------
    similarity
        (N, M) as for `n_way_identification`.
    """
    return n_way_identification(similarity, 2)


def n_way_classification(
    scores: Numbers,
    true_class: Int64,
    n_way: int,
    *,
    top_k: int = 1,
    n_trials: int | None = None,
    rng: np.random.Generator | None = None,
) -> Float64:
    """Ask whether a classifier ranks the true class first among itself and random others.

    Parameters
    ----------
    scores
        (B, K) class scores of each reconstruction.
    true_class
        (B,) class of each true picture, by the same classifier or by label.
    n_way, top_k, n_trials, rng
        As for `n_way_identification`; distractors are drawn from the K - 1 other classes.

    Returns
    -------
    (B,) accuracy of each picture; chance is top_k / n_way.

    Notes
    -----
    The n-way top-k score of Chen et al. (2023, MinD-Vis), whose 1000 trials estimate this
    expectation.
    """
    wins, ties, n_classes = _ranks(scores, true_class)
    check_ways(n_way, top_k, n_classes)
    if n_trials is not None:
        return _sampled(wins, ties, n_classes - 1, n_way, top_k, n_trials, rng)
    return expected_share(wins, ties, n_classes - 1, n_way, top_k)


def topk_accuracy(scores: Numbers, true_class: Int64, k: int = 1) -> Float64:
    """Return whether the true class is among the k highest scores.

    credit_i = clip((k - b_i) / (t_i + 1), 0, 1)

    with b_i classes above the true one and t_i level with it.

    Parameters
    ----------
    scores
        (B, K).
    true_class
        (B,) integers from 0 to K - 1.
    k
        From 1 to K.

    Returns
    -------
    (B,) 0 or 1, between them only at ties; the mean is the accuracy.
    """
    wins, ties, n_classes = _ranks(scores, true_class)
    if not 1 <= k <= n_classes:
        raise DataError(f"top {k} of {n_classes} classes cannot be; k lies from 1 to {n_classes}.")
    credit: Float64 = np.clip((k - wins) / (ties + 1), 0.0, 1.0)
    return credit


def average_precision(scores: Numbers, targets: NDArray[np.generic]) -> Float64:
    """Return the average precision of each class.

    AP_k = Σ_n (R_n - R_{n-1}) P_n over the distinct scores, from the highest down

    Parameters
    ----------
    scores
        (B, K), larger is more likely; only their order counts.
    targets
        (B, K) 0 or 1.

    Returns
    -------
    (K,) in [0, 1]; NaN for a class without a positive example.
    """
    sizes = check_shape(scores, "B K", name="scores")
    check_shape(targets, "B K", name="targets", **sizes)
    check_finite(scores, "scores")
    if not np.isin(targets, (0, 1)).all():
        raise DataError("targets must be 0 or 1.")
    result = np.full(sizes["K"], np.nan)
    for k in range(sizes["K"]):
        order = np.argsort(-np.asarray(scores[:, k], dtype=np.float64), kind="stable")
        hits = np.cumsum(np.asarray(targets[order, k], dtype=np.float64))
        if hits[-1] == 0:
            continue
        # Equal scores enter together: only the last of each tie is a threshold.
        last = np.append(np.flatnonzero(np.diff(scores[order, k])), sizes["B"] - 1)
        precision = hits[last] / (last + 1)
        recall = hits[last] / hits[-1]
        result[k] = np.sum(np.diff(recall, prepend=0.0) * precision)
    return result


def mean_average_precision(scores: Numbers, targets: NDArray[np.generic]) -> Summary:
    """Return the mean of `average_precision` over classes that have a positive example.

    Parameters
    ----------
    scores, targets
        (B, K) as for `average_precision`.

    Returns
    -------
    Summary
        With the classes without a positive example counted as excluded.
    """
    precision = average_precision(scores, targets)
    used = precision[~np.isnan(precision)]
    value = float(used.mean()) if used.size else float("nan")
    return Summary(value, int(used.size), int(precision.size - used.size))


def _ranks(scores: Numbers, true_class: Int64) -> tuple[Int64, Int64, int]:
    """Return how many classes are above and level with the true one, and K."""
    sizes = check_shape(scores, "B K", name="scores")
    check_shape(true_class, "B", name="true_class", B=sizes["B"])
    check_finite(scores, "scores")
    labels = np.asarray(true_class)
    if labels.size and (labels.min() < 0 or labels.max() >= sizes["K"]):
        raise DataError(
            f"true_class runs from {labels.min()} to {labels.max()}; scores have the classes 0 to "
            f"{sizes['K'] - 1}."
        )
    true = np.take_along_axis(np.asarray(scores), labels[:, None], axis=1)
    wins = np.count_nonzero(scores > true, axis=1)
    return wins, np.count_nonzero(scores == true, axis=1) - 1, sizes["K"]


def check_ways(n_way: int, top_k: int, n_candidates: int) -> None:
    """Raise a `DataError` where so many candidates, or so many of the best, cannot be."""
    if not 2 <= n_way <= n_candidates:
        raise DataError(
            f"{n_way}-way identification cannot be made with {n_candidates} candidates; "
            f"choose from 2 to {n_candidates}."
        )
    if not 1 <= top_k < n_way:
        raise DataError(f"top {top_k} of {n_way} is no test; choose from 1 to {n_way - 1}.")


@lru_cache(maxsize=64)
def _found_up_to(n_others: int, n_way: int, top_k: int) -> Float64:
    """Return the running sum, over b = 0, 1, .., of P(found | b of the others are better)."""
    found = hypergeom.cdf(top_k - 1, n_others, np.arange(n_others + 1), n_way - 1)
    summed = np.concatenate([[0.0], np.cumsum(np.clip(found, 0.0, 1.0))])
    summed.flags.writeable = False
    return summed


def expected_share(wins: Int64, ties: Int64, n_others: int, n_way: int, top_k: int) -> Float64:
    """Return the exact share of draws in which fewer than k distractors come out above.

    `wins` and `ties` (N,) count, of `n_others` possible distractors, those above and level.
    """
    summed = _found_up_to(n_others, n_way, top_k)
    # Of t ties any number from 0 to t comes first with equal chance: a mean over ranks.
    share: Float64 = (summed[wins + ties + 1] - summed[wins]) / (ties + 1)
    return np.clip(share, 0.0, 1.0)


def _sampled(
    wins: Int64,
    ties: Int64,
    n_others: int,
    n_way: int,
    top_k: int,
    n_trials: int,
    rng: np.random.Generator | None,
) -> Float64:
    """Return the share of drawn trials; only how many of the drawn are above matters."""
    if rng is None or n_trials < 1:
        raise DataError("trials need a count above 0 and a random generator: give n_trials, rng.")
    size = (n_trials, wins.size)
    ahead = wins + rng.integers(0, ties + 1, size=size)
    drawn = rng.hypergeometric(ahead, n_others - ahead, n_way - 1, size=size)
    share: Float64 = np.mean(drawn < top_k, axis=0)
    return share


def _compared(similarity: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which candidates are above the true one of each row, and which others level."""
    values = np.asarray(similarity)
    true = np.diagonal(values)[:, None]
    tied = values == true
    np.fill_diagonal(tied, False)
    return values > true, tied


def _pseudo_values(similarity: Numbers, n_way: int, top_k: int) -> Float64:
    """Return N A - (N - 1) A_(i), A_(i) the accuracy without item i as item and as distractor."""
    n, m = similarity.shape
    better, tied = _compared(similarity)
    wins, ties = wins_and_ties(similarity)
    if n < 2 or m < 3:
        return expected_share(wins, ties, m - 1, n_way, top_k)
    # All candidates minus one cannot give all candidates: then one fewer takes part.
    ways = min(n_way, m - 1)
    k = min(top_k, ways - 1)

    def without(wins: Int64, ties: Int64) -> Float64:
        above = np.clip(wins, 0, m - 2)
        return expected_share(above, np.clip(ties, 0, m - 2 - above), m - 2, ways, k)

    whole = expected_share(wins, ties, m - 1, ways, k).mean()
    worse, higher, level = without(wins, ties), without(wins - 1, ties), without(wins, ties - 1)
    left = worse.sum() - worse + (higher - worse) @ better[:, :n] + (level - worse) @ tied[:, :n]
    pseudo: Float64 = n * whole - left
    return pseudo
