"""A sweep's scores: mean over seeds with its spread, and the difference to the base, in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from brainreel.evaluate.parts import Float64
from brainreel.evaluate.pieces import ITEM
from brainreel.evaluate.scorecard import Interval, Scorecard
from brainreel.metrics.bootstrap import percentile_interval

_NAN = float("nan")
_SEED = 0  # of resamples, the same for all runs


@dataclass(frozen=True, eq=False)
class Scored:
    """One finished run of a sweep.

    Attributes
    ----------
    variant, seed
        Which one.
    card
        Its scores.
    pieces
        Split to what each test item adds to each score; empty where that is not known.
    """

    variant: str
    seed: int
    card: Scorecard
    pieces: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """One score of one variant, over seeds.

    Attributes
    ----------
    variant, score
        Which; the score by its key on the card.
    n_seeds
        Runs that have it.
    mean
        Over seeds.
    spread
        Standard deviation over seeds; NaN for one.
    interval
        Mean of the seeds' intervals: of one seed its own, of several no narrower than it should
        be; None where the cards have none.
    difference
        Mean difference to the base, over the seeds that both have; NaN for the base itself, and
        for a variant that was tested on something else.
    difference_interval
        Its interval, or None.
    over
        What the interval of the difference speaks of: "items" (other test items, with these
        seeds), "seeds" (other seeds, with these test items), or "" without one.
    n
        Number of these; of items, the different pictures that the person who saw fewest saw.
    """

    variant: str
    score: str
    n_seeds: int
    mean: float
    spread: float
    interval: Interval | None
    difference: float = _NAN
    difference_interval: Interval | None = None
    over: str = ""
    n: int = 0


def summarise(runs: Sequence[Scored], base: str) -> list[Summary]:
    """Return every score, other than of single people, of every variant.

    Parameters
    ----------
    runs
        The finished runs, of any number of variants and seeds.
    base
        The variant that the others are compared with.
    """
    variants = list(dict.fromkeys(run.variant for run in runs))
    of = {name: {run.seed: run for run in runs if run.variant == name} for name in variants}
    scores = dict.fromkeys(key for run in runs for key in run.card.scores if "/" not in key)
    return [
        _summary(of[variant], of.get(base, {}) if variant != base else {}, score)
        for score in scores
        for variant in variants
        if any(score in run.card.scores for run in of[variant].values())
    ]


def same_test(a: Scorecard, b: Scorecard) -> bool:
    """Whether two runs were tested on the same part of the same data."""

    def test(card: Scorecard) -> list[Any]:
        return [card.data.get("sources"), card.data.get("tests"), card.protocol.get("splits")]

    return test(a) == test(b)


def _summary(own: Mapping[int, Scored], base: Mapping[int, Scored], score: str) -> Summary:
    runs = [run for run in own.values() if score in run.card.scores]
    values = np.array([run.card.scores[score] for run in runs])
    found = Summary(
        runs[0].variant,
        score,
        len(runs),
        mean=float(values.mean()),
        spread=float(values.std(ddof=1)) if len(runs) > 1 else _NAN,
        interval=_mean_interval([run.card.intervals.get(score) for run in runs]),
    )
    pairs = [
        (run, base[run.seed])
        for run in runs
        if run.seed in base and score in base[run.seed].card.scores
    ]
    if not pairs or not all(same_test(a.card, b.card) for a, b in pairs):
        return found
    return replace(found, **_difference(pairs, score))


def _mean_interval(intervals: Sequence[Interval | None]) -> Interval | None:
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals) or np.isnan(known).any():
        return None
    low, high = np.mean(known, axis=0)
    return float(low), float(high)


def _difference(pairs: Sequence[tuple[Scored, Scored]], score: str) -> dict[str, Any]:
    """Return d = mean over seeds of (variant - base), and its interval.

    Over items where all runs know what each of them adds: d_i = mean over seeds, resampled over i
    within each person, trials of one picture together. Else over seeds: d ± t s / √S.
    """
    apart = np.array([a.card.scores[score] - b.card.scores[score] for a, b in pairs])
    value = float(apart.mean())
    scoring = pairs[0][1].card.protocol.get("scoring", {})
    level, n = float(scoring.get("level", 0.95)), int(scoring.get("n_bootstrap", 1000))
    items = _item_differences(pairs, score)
    if items:
        resamples = np.mean([_resampled(part, n) for part in items], axis=0)
        least = min(_n_pictures(part) for part in items)
        low, high, *_ = percentile_interval(value, resamples, n_blocks=least, level=level)
        if low < high:
            told = {"difference_interval": (low, high), "over": "items", "n": least}
            return {"difference": value, **told}
    elif len(apart) > 1 and apart.std() > 0:
        reach = t.ppf((1 + level) / 2, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
        around = (value - float(reach), value + float(reach))
        return {
            "difference": value,
            "difference_interval": around,
            "over": "seeds",
            "n": len(apart),
        }
    return {"difference": value}


def _item_differences(pairs: Sequence[tuple[Scored, Scored]], score: str) -> list[pd.Series[float]]:
    """Return each person's (N,) differences, item by item; none if items are not the same ones."""
    split, _, name = score.rpartition(":")
    tables = []
    for a, b in pairs:
        ours, theirs = (_table(run, split, name) for run in (a, b))
        if ours is None or theirs is None or not ours.index.equals(theirs.index):
            return []
        tables.append(ours - theirs)
    if any(not table.index.equals(tables[0].index) for table in tables):
        return []
    mean = pd.concat(tables, axis=1).mean(axis=1, skipna=False).dropna()
    if not np.isfinite(mean).all():
        return []
    parts = [part for _, part in mean.groupby(level=ITEM[0], sort=False)]
    return parts if parts and min(map(_n_pictures, parts)) > 1 else []


def _n_pictures(items: pd.Series[float]) -> int:
    return int(items.index.get_level_values(ITEM[-1]).nunique())


def _resampled(items: pd.Series[float], n: int) -> Float64:
    """Return the mean of items in each of `n` resamples of their pictures."""
    pictures = items.groupby(level=ITEM[-1], sort=False)
    sums, sizes = pictures.sum().to_numpy(np.float64), pictures.size().to_numpy()
    drawn = np.random.default_rng([_SEED, 3]).integers(len(sums), size=(n, len(sums)))
    return np.asarray(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))


def _table(run: Scored, split: str, name: str) -> pd.Series[float] | None:
    """Return a score's pieces; where there is but one split, keys do not name it."""
    only = next(iter(run.pieces.values()), None) if len(run.pieces) == 1 and not split else None
    table = run.pieces.get(split, only)
    return None if table is None or name not in table else table[name]
