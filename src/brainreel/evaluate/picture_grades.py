"""Every score of one set of reconstructions, and of several sets: each, and the best of them.

A score is a matrix: entry (i, j) is the score of reconstruction i were picture j its truth. Its
diagonal is the score, a permuted diagonal a draw of its null, and its rows are what identification
ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainreel.evaluate.picture_looks import Look
from brainreel.metrics.image_pairs import (
    correlation_pairs,
    mse_pairs,
    squared_distance_pairs,
    ssim_pairs,
)
from brainreel.metrics.images import SSIM_WINDOW, psnr, ssim
from brainreel.metrics.pairings import classification_pairs, identification_pairs
from brainreel.metrics.ranking import n_way_classification, n_way_identification
from brainreel.train.picture_scoring import PictureScoringConfig

Float64 = NDArray[np.float64]
_NAN = float("nan")
# Pixels of all pairs for which SSIM's identification and null are made: half a minute of one core.
MOST_PAIRED_PIXELS = 1_000_000_000
# Names of the two ways to score several pictures of one brain.
EACH, BEST = "_each", "_best"


@dataclass(frozen=True, eq=False)
class Graded:
    """One score of one set of reconstructions, or of several.

    Attributes
    ----------
    own
        (N,) score of each reconstruction, NaN where it has none.
    every
        (N, M) score of each, were picture j its truth; None where that is not asked.
    pieces
        (N,) what each picture adds to the mean, if that is not its own score.
    chance
        What a guess reaches, or NaN where the mean picture stands for that.
    lower_is_better, bounds
        As in `Measured`.
    spread
        Deviation, over the sets, of the score of a set; NaN for one set.
    """

    own: Float64
    every: Float64 | None = None
    pieces: Float64 | None = None
    chance: float = _NAN
    lower_is_better: bool = False
    bounds: tuple[float, float] = (-np.inf, np.inf)
    spread: float = _NAN


def pair_scores(
    look: Look, truth: Look, config: PictureScoringConfig, *, ssim_too: bool = True
) -> dict[str, Graded]:
    """Score every reconstruction against every true picture.

    Parameters
    ----------
    look, truth
        N reconstructions and M pictures.
    config
        Which scores.
    ssim_too
        Whether SSIM is made of all pairs; it is left out of pictures too small for it.
    """
    found = {
        "pixel_correlation": _of(correlation_pairs(look.pictures, truth.pictures)),
        "mse": _of(mse_pairs(look.pictures, truth.pictures), lower=True),
    }
    large = min(truth.pictures.shape[2:]) >= SSIM_WINDOW
    if ssim_too and large:
        found["ssim"] = _of(ssim_pairs(look.pictures, truth.pictures))
    if look.perceptual is not None and truth.perceptual is not None:
        found["lpips"] = _of(squared_distance_pairs(look.perceptual, truth.perceptual), lower=True)
    for tag, seen in look.features.items():
        distance = 1.0 - correlation_pairs(seen, truth.features[tag])
        found[f"feature_distance_{tag}"] = _of(distance, lower=True)
    if look.probabilities is not None and truth.probabilities is not None:
        label = truth.probabilities.argmax(axis=1)
        for n in config.n_way:
            for k in config.top_k:
                every = classification_pairs(look.probabilities, label, n, top_k=k)
                # Where few classes were seen, a picture of the commonest one beats k / n.
                found[f"class_{n}way_top{k}"] = _of(
                    every, chance=by_chance(every), bounds=(0.0, 1.0)
                )
    return found


def grade(
    look: Look, truth: Look, config: PictureScoringConfig, n_way: Sequence[int], seed: int
) -> dict[str, Graded]:
    """Return every score of N reconstructions of N pictures.

    Parameters
    ----------
    look, truth
        Reconstructions and their pictures.
    config
        Which scores.
    n_way
        Of identification; an n that there are too few pictures for is left out.
    seed
        Of the classifier's trials, if they are drawn.
    """
    n = len(truth.pictures)
    paired = n * truth.pictures.size <= MOST_PAIRED_PIXELS
    found = pair_scores(look, truth, config, ssim_too=paired)
    if not paired and min(truth.pictures.shape[2:]) >= SSIM_WINDOW:
        found["ssim"] = Graded(ssim(look.pictures, truth.pictures))
    found["psnr"] = Graded(psnr(look.pictures, truth.pictures))
    if config.trials and look.probabilities is not None and truth.probabilities is not None:
        found |= _drawn(look.probabilities, truth.probabilities, config, found, seed)
    order = ("pixel_correlation", "mse", "ssim", "psnr")
    ordered = {name: found[name] for name in order if name in found} | found
    ways = [ways for ways in n_way if ways <= n]
    return ordered | _identified(found, config, ways)


def by_chance(every: Float64) -> float:
    """Return the mean score over all pairs: of reconstructions dealt out at random."""
    known = every[~np.isnan(every)]
    return float(known.mean()) if known.size else _NAN


def _of(
    every: Float64,
    *,
    lower: bool = False,
    chance: float = _NAN,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Graded:
    own = np.diagonal(every).copy()
    return Graded(own, every, chance=chance, lower_is_better=lower, bounds=bounds)


def _drawn(
    seen: NDArray[np.floating],
    true: NDArray[np.floating],
    config: PictureScoringConfig,
    exact: Mapping[str, Graded],
    seed: int,
) -> dict[str, Graded]:
    """Return the class scores with drawn trials in place of their expectation."""
    label, found = true.argmax(axis=1), {}
    for n in config.n_way:
        for k in config.top_k:
            rng = np.random.default_rng([seed, 8, n, k])
            own = n_way_classification(seen, label, n, top_k=k, n_trials=config.trials, rng=rng)
            name = f"class_{n}way_top{k}"
            found[name] = replace(exact[name], own=own)
    return found


def _identified(
    found: Mapping[str, Graded], config: PictureScoringConfig, n_way: Sequence[int]
) -> dict[str, Graded]:
    """Return how often each reconstruction picks out its own picture, by each likeness.

    By pixel correlation it has no further name; by features it is 2-way, as published.
    """
    asked: list[tuple[str, Graded, Sequence[int]]] = [
        (name, found[name], n_way) for name in config.identify_by if name in found
    ]
    asked += [
        (name.removeprefix("feature_distance_"), score, [n for n in (2,) if len(score.own) > 1])
        for name, score in found.items()
        if name.startswith("feature_distance_")
    ]
    result = {}
    for name, score, ways in asked:
        if score.every is None:
            continue
        # What does not vary has r 0 with all others, and distance 1: it can only be guessed.
        likeness = np.nan_to_num(score.every, nan=float(score.lower_is_better))
        if score.lower_is_better:
            likeness = -likeness
        for n in ways:
            by = "" if name == "pixel_correlation" else f"_by_{name}"
            every = identification_pairs(likeness, n)
            pieces = n_way_identification(likeness, n)
            result[f"identification_{n}way{by}"] = Graded(
                np.diagonal(every).copy(),
                every,
                pieces.influence - pieces.influence.mean() + pieces.accuracy,
                chance=pieces.chance,
                bounds=(0.0, 1.0),
            )
    return result


class OverSamples:
    """Scores of several sets of reconstructions, joined set by set: their mean, and the best."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def add(self, scores: Mapping[str, Graded]) -> None:
        """Take in the scores of one more set."""
        for name, score in scores.items():
            self._sums.setdefault(name, _Sum()).add(score)

    def scores(self) -> dict[str, Graded]:
        """Return `<score>_each`, the mean over sets, and `<score>_best`, the best of each picture.

        The best is chosen with the true picture in sight, in the null as in the score; its chance
        is therefore the mean over all pairs, not that of one guess.
        """
        each = {f"{name}{EACH}": one.each() for name, one in self._sums.items()}
        return each | {f"{name}{BEST}": one.best() for name, one in self._sums.items()}


class _Sum:
    """Running sums and bests of one score over sets; what a set does not have counts for none."""

    def __init__(self) -> None:
        self.sets: list[float] = []
        self.last = Graded(np.zeros(0))
        self.own, self.every, self.pieces = _Running(), _Running(), _Running()

    def add(self, score: Graded) -> None:
        """Take in one set."""
        known = score.own[~np.isnan(score.own)]
        self.sets.append(float(known.mean()) if known.size else _NAN)
        self.last = score
        self.own.add(score.own, score)
        self.every.add(score.every, score)
        self.pieces.add(score.pieces, score)

    def each(self) -> Graded:
        """Return the mean over sets."""
        spread = float(np.std(self.sets, ddof=1)) if len(self.sets) > 1 else _NAN
        own = self.own.mean()
        assert own is not None
        return replace(
            self.last, own=own, every=self.every.mean(), pieces=self.pieces.mean(), spread=spread
        )

    def best(self) -> Graded:
        """Return the best set of each picture."""
        own, every = self.own.best, self.every.best
        assert own is not None
        chance = _NAN if every is None else by_chance(every)
        return replace(self.last, own=own, every=every, pieces=None, chance=chance)


class _Running:
    """The mean and the best of arrays, entry by entry, without those that are NaN."""

    def __init__(self) -> None:
        self.total: Float64 | None = None
        self.n: Float64 | None = None
        self.best: Float64 | None = None

    def add(self, values: Float64 | None, score: Graded) -> None:
        if values is None:
            return
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0)
        if self.total is None or self.n is None or self.best is None:
            self.total, self.n, self.best = filled, known.astype(np.float64), values
            return
        pick = np.fmin if score.lower_is_better else np.fmax
        self.total, self.n = self.total + filled, self.n + known
        self.best = pick(self.best, values)

    def mean(self) -> Float64 | None:
        if self.total is None or self.n is None:
            return None
        return np.where(self.n > 0, self.total / np.maximum(self.n, 1), np.nan)
