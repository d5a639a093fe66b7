"""Noise ceilings, each under the name of its estimator: the r that a perfect model would reach.

All ceilings are correlations, so that `r / ceiling` is a share. They answer different questions:

- `split_half`, `repeats`: the same person saw the stimulus several times. The ceiling of any
  model of the stimulus, for this person.
- `leave_one_out`: other people saw it once. What the others' responses tell about this person:
  neither an upper nor a lower bound for a model fitted to the person.
- `exact`: the person is simulated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.metrics.correlation import (
    VOXEL_CHUNK,
    Float64,
    Numbers,
    Summary,
    check_finite,
    median_of,
    pearson_r,
    unit_columns,
)
from brainreel.shapes import check_shape

# Below this many ways to halve the repeats all are used; above, as many are drawn.
_MOST_SPLITS = 100


@dataclass(frozen=True, eq=False)
class Ceiling:
    """A noise ceiling that never stands without the name of its estimator.

    Attributes
    ----------
    estimator
        "split_half", "repeats" or "leave_one_out".
    r
        (V,) or (P, V) highest r that is expected; NaN where a voxel has no variance.
    n_measurements
        Repeats or people that it was estimated from.
    n_averaged
        Measurements averaged in the test data that the ceiling holds for.
    """

    estimator: str
    r: Float64
    n_measurements: int
    n_averaged: int

    def median(self) -> Summary:
        """Return the median over voxels, with how many are NaN."""
        return median_of(self.r)


def split_half_ceiling(
    repeats: Numbers,
    *,
    n_averaged: int = 1,
    rng: np.random.Generator | None = None,
) -> Ceiling:
    """Estimate the ceiling from how well halves of the repeats agree.

    ρ_h = mean over splits of r(mean of h repeats, mean of h others)
    ρ_m = (m/h) ρ_h / (1 + (m/h - 1) ρ_h)        (Spearman-Brown)
    ceiling = √ρ_m

    where m = `n_averaged`. A negative ρ_h counts as 0.

    Parameters
    ----------
    repeats
        (R, T, V): R >= 2 measurements of the same stimulus. People in the place of repeats give
        the ceiling of a group mean.
    n_averaged
        Measurements averaged in the data that the model is tested on; 1 for a single run.
    rng
        Draws 100 splits; needed only where there are more ways to halve (from 9 repeats on).

    Returns
    -------
    Ceiling
        With r of shape (V,).

    Raises
    ------
    DataError
        With fewer than two repeats, values that are not finite, or no `rng` where one is needed.

    Notes
    -----
    Spearman (1910) and Brown (1910); Lescroart and Gallant (2019) use it for voxelwise models.
    With an odd R one repeat is left out of each split.
    """
    sizes = _check_repeats(repeats, n_averaged)
    half = sizes["R"] // 2
    total, n_splits = np.zeros(sizes["V"]), 0
    for first, second in _splits(sizes["R"], half, rng):
        total += pearson_r(repeats[first].mean(axis=0), repeats[second].mean(axis=0))
        n_splits += 1
    agreement = np.clip(total / n_splits, 0.0, None)
    longer = n_averaged / half
    reliability = longer * agreement / (1 + (longer - 1) * agreement)
    r = np.where(_varying(repeats), np.sqrt(reliability), np.nan)
    return Ceiling("split_half", r, sizes["R"], n_averaged)


def repeat_ceiling(repeats: Numbers, *, n_averaged: int = 1) -> Ceiling:
    """Estimate the ceiling from signal and noise power.

    ceiling = √(S / (S + N / m)),  S and N from `signal_and_noise_power`, m = `n_averaged`

    Parameters
    ----------
    repeats
        (R, T, V): R >= 2 measurements of the same stimulus.
    n_averaged
        Measurements averaged in the data that the model is tested on.

    Returns
    -------
    Ceiling
        With r of shape (V,); 0 where the signal power comes out negative.

    Raises
    ------
    DataError
        With fewer than two repeats, or values that are not finite.

    Notes
    -----
    Sahani and Linden (2003); as a correlation: Hsu, Borst and Theunissen (2004); Schoppe et al.
    (2016), CC_max.
    """
    sizes = _check_repeats(repeats, n_averaged)
    signal, noise = signal_and_noise_power(repeats)
    return Ceiling("repeats", exact_ceiling_r(signal, noise / n_averaged), sizes["R"], n_averaged)


def signal_and_noise_power(repeats: Numbers) -> tuple[Float64, Float64]:
    """Split the variance over time into what repeats and what does not.

    S = (R P(mean of repeats) - mean of P(repeat)) / (R - 1),  N = mean of P(repeat) - S

    where P is the variance over time. S is unbiased and may come out negative.

    Parameters
    ----------
    repeats
        (R, T, V): R >= 2.

    Returns
    -------
    S and N, (V,) each, in squared units of the data; NaN where a repeat has no variance.

    Notes
    -----
    Sahani and Linden (2003), equations 1 and 2.
    """
    sizes = _check_repeats(repeats, 1)
    signal, noise = np.empty(sizes["V"]), np.empty(sizes["V"])
    n = sizes["R"]
    for columns in _voxels(sizes["V"], n):
        part = np.asarray(repeats[:, :, columns], dtype=np.float64)
        single = part.var(axis=1).mean(axis=0)
        signal[columns] = (n * part.mean(axis=0).var(axis=0) - single) / (n - 1)
        noise[columns] = single - signal[columns]
    blank = ~_varying(repeats)
    signal[blank], noise[blank] = np.nan, np.nan
    return signal, noise


def leave_one_out_ceiling(people: Numbers) -> Ceiling:
    """Correlate each person with the mean of all the others (inter-subject correlation).

    r_pv = r(y_pv, Σ_{q != p} z(y_qv))

    Parameters
    ----------
    people
        (P, T, V): at least two people, the same stimulus, the same time points and the same
        regions or a common space. z is the z-score over time, so that nobody's amplitude counts
        more.

    Returns
    -------
    Ceiling
        With r of shape (P, V); NaN where the person, or all the others, are constant. A constant
        person does not enter the mean of the others.

    Raises
    ------
    DataError
        With fewer than two people, or values that are not finite.

    Notes
    -----
    Hasson et al. (2004); leave-one-out form and its use as a ceiling: Nastase et al. (2019). With
    equally good people it is √(ρ_1 ρ_{P-1}) of the shared signal: below the √ρ_1 that a perfect
    model of the shared signal reaches, and blind to what is the person's own.
    """
    sizes = check_shape(people, "P T V", name="people")
    if sizes["P"] < 2:
        raise DataError("an inter-subject ceiling needs at least 2 people; 1 was given.")
    check_finite(people, "people")
    r = np.empty((sizes["P"], sizes["V"]))
    for columns in _voxels(sizes["V"], sizes["P"]):
        units, varies = zip(*(unit_columns(one[:, columns]) for one in people), strict=True)
        everyone = np.sum(units, axis=0)
        n_varying = np.sum(varies, axis=0)
        for person, (own, varying) in enumerate(zip(units, varies, strict=True)):
            with_others = pearson_r(own, everyone - own)
            alone = n_varying - varying < 1
            r[person, columns] = np.where(alone | ~varying, np.nan, with_others)
    return Ceiling("leave_one_out", r, sizes["P"], 1)


def exact_ceiling_r(signal_power: Numbers, noise_power: Numbers) -> Float64:
    """Return the r between a signal and the same signal with independent noise.

    ceiling = √(S / (S + N))

    Parameters
    ----------
    signal_power, noise_power
        (V,) variance over time of the signal and of the noise; a negative S counts as 0.

    Returns
    -------
    (V,) in [0, 1]; NaN where there is neither signal nor noise.
    """
    signal = np.clip(np.asarray(signal_power, dtype=np.float64), 0.0, None)
    total = signal + np.clip(np.asarray(noise_power, dtype=np.float64), 0.0, None)
    share = np.full(np.broadcast(signal, total).shape, np.nan)
    np.divide(signal, total, out=share, where=total > 0)
    ceiling: Float64 = np.sqrt(share)
    return ceiling


def share_of_ceiling(r: Numbers, ceiling: Numbers, *, floor: float = 0.1) -> Float64:
    """Return r as a share of the ceiling, where the ceiling is high enough to divide by.

    share_v = r_v / ceiling_v if ceiling_v >= floor, else NaN

    Parameters
    ----------
    r, ceiling
        (V,) correlations; axes broadcast, such as (P, V) with (V,).
    floor
        Lowest ceiling that is divided by: below it the share is mostly the ceiling's own error.

    Returns
    -------
    (V,) float64. It may pass 1 by chance, and beyond chance where the estimator is not an upper
    bound (leave_one_out); it is never cut off.
    """
    if floor <= 0:
        raise DataError(f"a floor of {floor:g} cannot be used; it must be above 0.")
    top = np.asarray(ceiling, dtype=np.float64)
    reached = np.asarray(r, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        high = top >= floor
    share = np.full(np.broadcast(reached, top).shape, np.nan)
    np.divide(reached, top, out=share, where=high)
    return share


def _splits(
    n: int, half: int, rng: np.random.Generator | None
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield pairs of disjoint halves, each pair once if all are listed."""
    n_ways = math.comb(n, half) * math.comb(n - half, half) // 2
    if n_ways > _MOST_SPLITS:
        if rng is None:
            raise DataError(f"{n} repeats can be halved in {n_ways} ways; give rng to draw some.")
        for _ in range(_MOST_SPLITS):
            order = [int(i) for i in rng.permutation(n)]
            yield order[:half], order[half : 2 * half]
        return
    for first in combinations(range(n), half):
        rest = [i for i in range(n) if i not in first]
        for second in combinations(rest, half):
            if first[0] < second[0]:
                yield list(first), list(second)


def _check_repeats(repeats: Numbers, n_averaged: int) -> dict[str, int]:
    sizes = check_shape(repeats, "R T V", name="repeats")
    if sizes["R"] < 2:
        raise DataError("a ceiling from repeats needs at least 2 of them; 1 was given.")
    if n_averaged < 1:
        raise DataError(f"an average of {n_averaged} measurements is none; give 1 or more.")
    check_finite(repeats, "repeats")
    return sizes


def _varying(repeats: Numbers) -> NDArray[np.bool_]:
    """Return which voxels (V,) vary over time in every repeat."""
    varies: NDArray[np.bool_] = np.all([unit_columns(one)[1] for one in repeats], axis=0)
    return varies


def _voxels(n_voxels: int, n_measurements: int) -> Iterator[slice]:
    """Yield slices of voxels so that all measurements of one slice fit in memory."""
    step = max(1, VOXEL_CHUNK // n_measurements)
    for start in range(0, n_voxels, step):
        yield slice(start, start + step)
