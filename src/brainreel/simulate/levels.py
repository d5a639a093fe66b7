"""How the film's time is cut, and how the levels of its parts are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cuts_between(
    duration_s: float, shortest_s: float, longest_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return times 0 = t_0 < ... < t_n = duration_s whose gaps are uniform in the given range.

    The last gap takes what is left: it may be up to `shortest_s` longer than the longest.
    """
    cuts = [0.0]
    while duration_s - cuts[-1] > longest_s + shortest_s:
        cuts.append(cuts[-1] + float(rng.uniform(shortest_s, longest_s)))
    left = duration_s - cuts[-1]
    if left > longest_s:
        cuts.append(cuts[-1] + left / 2)
    return np.array([*cuts, duration_s])


def spread(n: int, low: float, high: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return n levels spaced evenly over [low, high], in an order without slow swings.

    Even spacing gives every film the same range, so that one film tells of another. Each run of
    four neighbours holds one level of every quarter of the range, in random order: a level then
    changes at the pace of scenes, which fMRI can follow, and hardly at the pace of drifts,
    which a high-pass filter takes away.
    """
    quarters = [rng.permutation(part) for part in np.array_split(np.linspace(low, high, n), 4)]
    levels: list[float] = []
    for turn in range(-(-n // 4)):
        block = [quarter[turn] for quarter in quarters if turn < len(quarter)]
        levels += rng.permutation(block).tolist()
    return np.array(levels)
