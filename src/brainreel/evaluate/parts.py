"""Samples behind a score: the value, its resamples and its null, so that people can be averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainreel.evaluate.scorecard import Scorecard
from brainreel.metrics.bootstrap import percentile_interval
from brainreel.metrics.permutation import permutation_p

Float64 = NDArray[np.float64]
_NONE: Float64 = np.zeros(0)


@dataclass(frozen=True, eq=False)
class Measured:
    """One score of one person.

    Attributes
    ----------
    value
        The score.
    resamples
        (n,) the score in each bootstrap resample, or empty.
    n_blocks
        Independent pieces of the data that were resampled.
    null
        (n,) the score in each surrogate, or empty.
    baseline
        What is reached without knowledge, NaN if it is not defined.
    lower_is_better
        Whether it is an error.
    bounds
        Lowest and highest score there can be.
    target
        The right value, where neither more nor less is better; else NaN.
    spread
        Deviation of the score over the samples that were drawn of each brain; else NaN.
    pieces
        (n,) what each test item adds: the score is their mean; empty where it is no mean.
    """

    value: float
    resamples: Float64 = field(default_factory=lambda: _NONE)
    n_blocks: int = 0
    null: Float64 = field(default_factory=lambda: _NONE)
    baseline: float = float("nan")
    lower_is_better: bool = False
    bounds: tuple[float, float] = (-np.inf, np.inf)
    target: float = float("nan")
    spread: float = float("nan")
    pieces: Float64 = field(default_factory=lambda: _NONE)


def mean_over_people(people: Sequence[Measured]) -> Measured:
    """Average a score over people, resample by resample and surrogate by surrogate.

    Everyone's resamples must come from the same blocks, and surrogates from the same turns, so
    that the average keeps what people who saw the same film have in common.
    """
    first = people[0]
    if len(people) == 1:
        return first
    return Measured(
        float(np.mean([item.value for item in people])),
        _mean_of([item.resamples for item in people]),
        min(item.n_blocks for item in people),
        _mean_of([item.null for item in people]),
        float(np.mean([item.baseline for item in people])),
        first.lower_is_better,
        first.bounds,
        first.target,
        float(np.mean([item.spread for item in people])),
    )


def fall_of(value: Measured, control: Measured) -> Measured:
    """Return how much better a score is than that of a control, resampled together."""
    sign = -1.0 if value.lower_is_better else 1.0
    paired = len(value.resamples) == len(control.resamples)
    return Measured(
        sign * (value.value - control.value),
        sign * (value.resamples - control.resamples) if paired else np.zeros(0),
        min(value.n_blocks, control.n_blocks),
        bounds=(value.bounds[0] - value.bounds[1], value.bounds[1] - value.bounds[0]),
    )


def _mean_of(samples: Sequence[Float64]) -> Float64:
    n = min(len(item) for item in samples)
    return np.asarray(np.mean([item[:n] for item in samples], axis=0))


def resampled_means(items: Float64, n: int, seed: int) -> Float64:
    """Return the mean of (N,) items in each of `n` resamples with replacement; empty for one."""
    if len(items) < 2:
        return np.zeros(0)
    rng = np.random.default_rng([seed, 3])
    return np.asarray(items[rng.integers(len(items), size=(n, len(items)))].mean(axis=1))


def card_of(
    title: str, scores: Mapping[str, Measured], *, level: float, prefix: str = ""
) -> Scorecard:
    """Return a scorecard of some scores: values, intervals, p-values and baselines."""
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    p_values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    targets: dict[str, float] = {}
    spreads: dict[str, float] = {}
    for name, score in scores.items():
        key = f"{prefix}{name}"
        values[key] = score.value
        if score.resamples.size:
            found = percentile_interval(
                score.value,
                score.resamples,
                n_blocks=score.n_blocks,
                level=level,
                bounds=score.bounds,
            )
            intervals[key] = (found.low, found.high)
        if score.null.size:
            sign = -1.0 if score.lower_is_better else 1.0
            p_values[key] = permutation_p(sign * score.value, sign * score.null)
        if not np.isnan(score.baseline):
            baselines[key] = score.baseline
        if not np.isnan(score.target):
            targets[key] = score.target
        if not np.isnan(score.spread):
            spreads[key] = score.spread
    return Scorecard(
        title, values, intervals, {}, p_values, baselines, targets=targets, spreads=spreads
    )
