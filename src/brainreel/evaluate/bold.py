"""Scores of predicted BOLD: r, R2, share of the ceiling and identification, for each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainreel.evaluate.identify import identify_segments
from brainreel.evaluate.parts import Measured
from brainreel.evaluate.volumes import score_space, score_spread
from brainreel.metrics.bootstrap import bootstrap_r
from brainreel.metrics.ceiling import share_of_ceiling
from brainreel.metrics.correlation import (
    median_of,
    pearson_r,
    r2_score_voxelwise,
    unit_columns,
)
from brainreel.metrics.permutation import PermutationResult, block_permutation_p, fdr_bh
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import ScoringConfig

Float64 = NDArray[np.float64]
SIGNIFICANT_Q = 0.05
# Over voxels that have a ceiling by the first estimator at hand: exact before inter-subject.
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
        Arrays over voxels: r, p, q, r2, `ceiling_<estimator>`, and the mean predicted `spread`.
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
    *,
    levels: Sequence[NDArray[np.floating] | None] = (),
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
    levels
        (V,) what cleaning took off the level of each segment, for scores of whole volumes.
    """
    sides = Sides.of(prediction, scoring, seed)
    tested = sides.tested(np.ones(prediction.measured.shape[1], dtype=np.bool_))
    maps = sides.maps(tested)
    if prediction.spread is not None:
        maps["spread"] = prediction.spread.mean(axis=0, dtype=np.float64)
    used = ~np.isnan(maps["r"])
    still = used & ~sides.predicted.any(axis=0)
    counts = {
        "n_voxels": used.size,
        "n_without_variance": int(np.count_nonzero(~used)),
        "n_predicted_constant": int(np.count_nonzero(still)),
    }
    scores: dict[str, Measured] = {}
    shares: dict[str, Measured] = {}
    medians: dict[str, float] = {}
    for estimator, ceiling in ceilings.items():
        maps[f"ceiling_{estimator}"] = np.asarray(ceiling)
        reached = used & (np.nan_to_num(ceiling) >= scoring.ceiling_floor)
        counts[f"n_with_ceiling_{estimator}"] = int(np.count_nonzero(reached))
        if not reached.any():
            continue
        medians[estimator] = float(np.median(ceiling[reached]))
        shares[f"{RELIABLE}|{estimator}"] = sides.share(maps["r"], ceiling, reached)
        if not scores:
            scores[RELIABLE] = sides.median_r(maps["r"], reached, sides.tested(reached))
            scores["r2_reliable"] = Measured(median_of(maps["r2"][reached]).value, baseline=0.0)
    scores["r_median"] = sides.median_r(maps["r"], used, tested)
    scores["r2_median"] = Measured(median_of(maps["r2"]).value, baseline=0.0)
    if tested is not None and used.any():
        found = float(np.mean(maps["q"][used] < SIGNIFICANT_Q))
        scores["significant_voxels"] = Measured(found, baseline=0.0)
    scores |= identify_segments(prediction, scoring, sides.block_trs, seed)
    scores |= score_spread(prediction, scoring, sides.block_trs, seed)
    scores |= score_space(prediction, levels, scoring, sides.block_trs, seed)
    return PersonScores(scores, shares, medians, maps, counts)


@dataclass(frozen=True, eq=False)
class Sides:
    """Predicted and measured BOLD without the segments' means, and r in resamples of time blocks.

    Attributes
    ----------
    predicted, measured
        (T, V).
    segment
        (T,) number of the test segment of each TR.
    resampled
        (n, V) r of every voxel in every resample.
    n_blocks, block_trs
        Blocks in the data, and their length.
    scoring, seed
        The protocol.
    """

    predicted: Float64
    measured: Float64
    segment: NDArray[np.int64]
    resampled: Float64
    n_blocks: int
    block_trs: int
    scoring: ScoringConfig
    seed: int

    @classmethod
    def of(cls, prediction: Prediction, scoring: ScoringConfig, seed: int) -> Sides:
        """Centre and resample one person's predictions."""
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
        wide = np.asarray(resampled, dtype=np.float64)
        return cls(
            predicted, measured, prediction.segment, wide, n_blocks, block_trs, scoring, seed
        )

    def tested(self, chosen: NDArray[np.bool_]) -> PermutationResult | None:
        """Test the chosen voxels against surrogates; None where none are asked for."""
        if not self.scoring.n_permutations:
            return None
        return block_permutation_p(
            self.predicted[:, chosen],
            self.measured[:, chosen],
            n_permutations=self.scoring.n_permutations,
            block_trs=self.block_trs,
            rng=np.random.default_rng([self.seed, 1]),
            segments=self.segment,
        )

    def maps(self, tested: PermutationResult | None) -> dict[str, Float64]:
        """Return the numbers of each voxel that do not depend on a ceiling."""
        r2 = r2_score_voxelwise(self.predicted, self.measured)
        if tested is None:
            return {"r": pearson_r(self.predicted, self.measured), "r2": r2}
        q = fdr_bh(tested.p)
        return {"r": tested.observed, "r2": r2, "p": tested.p, "p_max": tested.p_max, "q": q}

    def median_r(
        self, r: Float64, chosen: NDArray[np.bool_], tested: PermutationResult | None
    ) -> Measured:
        """Return the median r over the chosen voxels."""
        null = np.zeros(0) if tested is None else tested.null_median
        chance = float(null.mean()) if null.size else 0.0
        value = median_of(r[chosen]).value if chosen.any() else float("nan")
        return Measured(value, _median_rows(self.resampled[:, chosen]), self.n_blocks, null, chance)

    def share(self, r: Float64, ceiling: Float64, chosen: NDArray[np.bool_]) -> Measured:
        """Return the median share of the ceiling over the chosen voxels."""
        shares = share_of_ceiling(r, ceiling, floor=self.scoring.ceiling_floor)
        resampled = _median_rows(self.resampled[:, chosen] / ceiling[chosen])
        return Measured(median_of(shares[chosen]).value, resampled, self.n_blocks)


def centred(values: NDArray[np.floating], segment: NDArray[np.int64]) -> Float64:
    """Take the mean over time out of every test segment of (T, V) series.

    What does not vary within a segment, by more than the rounding of its numbers, becomes 0.
    """
    result = np.array(values, dtype=np.float64)
    for number in np.unique(segment):
        rows = segment == number
        varies = unit_columns(values[rows])[1]
        result[rows] = (result[rows] - result[rows].mean(axis=0)) * varies
    return result


def _median_rows(samples: Float64) -> Float64:
    """Median over voxels of each resample; a voxel that is constant in one is left out there."""
    if samples.shape[1] == 0:
        return np.zeros(0)
    return np.asarray(np.nanmedian(samples, axis=1), dtype=np.float64)
