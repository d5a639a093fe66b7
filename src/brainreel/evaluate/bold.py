"""Scores of predicted BOLD: r, R2, share of the ceiling and identification, for each person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainreel.evaluate.identify import identify_segments
from brainreel.evaluate.parts import Measured
from brainreel.metrics.bootstrap import bootstrap_r
from brainreel.metrics.ceiling import share_of_ceiling
from brainreel.metrics.correlation import median_of, pearson_r, r2_score_voxelwise
from brainreel.metrics.permutation import PermutationResult, block_permutation_p, fdr_bh
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import ScoringConfig

Float64 = NDArray[np.float64]
SIGNIFICANT_Q = 0.05
RELIABLE = "r_reliable"


@dataclass(frozen=True, eq=False)
class PersonScores:
    """Everything that is known of one person's predictions in one split.

    Attributes
    ----------
    scores
        Metric to its value with resamples and null.
    shares
        `"metric|estimator"` to the same of the share of a ceiling.
    ceilings
        Estimator to the median ceiling over the voxels that have one.
    maps
        Arrays over voxels: r, p, q, r2 and `ceiling_<estimator>`.
    counts
        Voxels used and excluded, and why.
    """

    scores: Mapping[str, Measured]
    shares: Mapping[str, Measured] = field(default_factory=dict)
    ceilings: Mapping[str, float] = field(default_factory=dict)
    maps: Mapping[str, Float64] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def score_person(
    prediction: Prediction,
    ceilings: Mapping[str, Float64],
    scoring: ScoringConfig,
    seed: int,
) -> PersonScores:
    """Score one person's pooled test predictions.

    The mean of every test segment is taken out of prediction and measurement first, so that a
    difference between runs earns nothing.

    Parameters
    ----------
    prediction
        (T, V) predicted and measured, folds of one split joined.
    ceilings
        Estimator to (V,) ceiling of r, NaN where it is not defined.
    scoring
        The protocol.
    seed
        Of resamples and surrogates; the same for all people of a run.
    """
    predicted = centred(prediction.predicted, prediction.segment)
    measured = centred(prediction.measured, prediction.segment)
    block_trs = max(1, round(scoring.block_s / prediction.tr_s))
    resampled, n_blocks = bootstrap_r(
        predicted,
        measured,
        block_trs=block_trs,
        n=scoring.n_bootstrap,
        rng=np.random.default_rng([seed, 2]),
        segments=prediction.segment,
    )
    samples = Resamples(np.asarray(resampled, dtype=np.float64), n_blocks)
    tested = None
    if scoring.n_permutations:
        tested = block_permutation_p(
            predicted,
            measured,
            n_permutations=scoring.n_permutations,
            block_trs=block_trs,
            rng=np.random.default_rng([seed, 1]),
            segments=prediction.segment,
        )
    maps = _maps(predicted, measured, tested)
    used = ~np.isnan(maps["r"])
    counts = {"n_voxels": used.size, "n_without_variance": int(np.count_nonzero(~used))}
    scores = {
        "r_median": samples.median(maps["r"], used, tested),
        "r2_median": Measured(median_of(maps["r2"]).value, baseline=0.0),
    }
    if tested is not None:
        scores["significant_voxels"] = Measured(float(np.mean(maps["q"][used] < SIGNIFICANT_Q)))
    shares: dict[str, Measured] = {}
    medians: dict[str, float] = {}
    for estimator, ceiling in ceilings.items():
        maps[f"ceiling_{estimator}"] = np.asarray(ceiling)
        reached = used & (np.nan_to_num(ceiling) >= scoring.ceiling_floor)
        counts[f"n_with_ceiling_{estimator}"] = int(np.count_nonzero(reached))
        if reached.any():
            name = f"{RELIABLE}|{estimator}"
            medians[estimator] = float(np.median(ceiling[reached]))
            shares[name] = samples.share(maps["r"], ceiling, scoring.ceiling_floor, reached)
            scores.setdefault(RELIABLE, samples.median(maps["r"], reached))
    scores |= identify_segments(prediction, scoring, block_trs, seed)
    return PersonScores(scores, shares, medians, maps, counts)


@dataclass(frozen=True, eq=False)
class Resamples:
    """r of every voxel in every resample of time blocks.

    Attributes
    ----------
    r
        (n, V).
    n_blocks
        Blocks in the data.
    """

    r: Float64
    n_blocks: int

    def median(
        self, r: Float64, chosen: NDArray[np.bool_], tested: PermutationResult | None = None
    ) -> Measured:
        """Return the median r over the chosen voxels."""
        null = np.zeros(0) if tested is None else tested.null_median
        chance = float(null.mean()) if null.size else 0.0
        value = median_of(r[chosen]).value if chosen.any() else float("nan")
        return Measured(value, _median_rows(self.r[:, chosen]), self.n_blocks, null, chance)

    def share(
        self, r: Float64, ceiling: Float64, floor: float, chosen: NDArray[np.bool_]
    ) -> Measured:
        """Return the median share of the ceiling over the chosen voxels."""
        value = median_of(share_of_ceiling(r, ceiling, floor=floor)[chosen]).value
        return Measured(value, _median_rows(self.r[:, chosen] / ceiling[chosen]), self.n_blocks)


def _maps(
    predicted: Float64, measured: Float64, tested: PermutationResult | None
) -> dict[str, Float64]:
    """Return the numbers of each voxel that do not depend on a ceiling."""
    r2 = r2_score_voxelwise(predicted, measured)
    if tested is None:
        return {"r": pearson_r(predicted, measured), "r2": r2}
    q = fdr_bh(tested.p)
    return {"r": tested.observed, "r2": r2, "p": tested.p, "p_max": tested.p_max, "q": q}


def centred(values: NDArray[np.floating], segment: NDArray[np.int64]) -> Float64:
    """Take the mean over time out of every test segment of (T, V) series."""
    result = np.array(values, dtype=np.float64)
    for number in np.unique(segment):
        rows = segment == number
        result[rows] -= result[rows].mean(axis=0)
    return result


def _median_rows(samples: Float64) -> Float64:
    """Median over voxels of each resample; a voxel that is constant in one is left out there."""
    if samples.shape[1] == 0:
        return np.zeros(0)
    return np.asarray(np.nanmedian(samples, axis=1), dtype=np.float64)
