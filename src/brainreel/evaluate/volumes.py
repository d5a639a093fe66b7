"""Scores of predicted volumes beside r: calibration of the spread, and correlation over space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainreel.evaluate.parts import Float64, Measured
from brainreel.metrics.bootstrap import bootstrap_means
from brainreel.metrics.calibration import interval_coverage
from brainreel.metrics.spatial import spatial_null, spatial_similarity
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import ScoringConfig


def score_spread(
    prediction: Prediction, scoring: ScoringConfig, block_trs: int, seed: int
) -> dict[str, Measured]:
    """Return how much of the measurement lies within the intervals that were predicted.

    The prediction is taken as it is, its level over each segment too. Nothing where no spread
    was predicted.
    """
    if prediction.spread is None:
        return {}
    measured: dict[str, Measured] = {}
    for level in scoring.coverage:
        sides = (prediction.predicted, prediction.spread, prediction.measured)
        covered = interval_coverage(*sides, level=level)
        if np.isnan(covered).any():
            continue
        resampled = _resampled(covered, prediction, scoring, block_trs, seed)
        measured[f"coverage_{100 * level:g}"] = Measured(
            float(covered.mean()), *resampled, target=level, bounds=(0.0, 1.0)
        )
    return measured


def score_space(
    prediction: Prediction,
    levels: Sequence[NDArray[np.floating] | None],
    scoring: ScoringConfig,
    block_trs: int,
    seed: int,
) -> dict[str, Measured]:
    """Return the mean correlation over voxels of predicted and measured volumes, if asked for.

    Volumes are as they were before they were z-scored, with what cleaning took off their level put
    back to both sides. The baseline is that of the mean volume.

    Parameters
    ----------
    prediction
        (T, V); its moments, one of each segment, undo the z-scores.
    levels
        (V,) of each segment, or None where nothing was taken off.
    scoring, block_trs, seed
        The protocol.
    """
    if not scoring.spatial or not prediction.moments:
        return {}
    base, predicted, measured = (np.empty(prediction.measured.shape) for _ in range(3))
    for number, (moments, level) in enumerate(zip(prediction.moments, levels, strict=True)):
        rows = prediction.segment == number
        base[rows] = moments.mean if level is None else moments.mean + level
        predicted[rows] = base[rows] + moments.std * prediction.predicted[rows]
        measured[rows] = base[rows] + moments.std * prediction.measured[rows]
    similarity = spatial_similarity(predicted, measured)
    items = np.diagonal(similarity)
    if np.isnan(items).any():
        return {}
    mean = np.diagonal(spatial_similarity(base, measured))
    null = np.zeros(0)
    if scoring.n_permutations:
        null = spatial_null(
            similarity,
            n_permutations=scoring.n_permutations,
            block_trs=block_trs,
            rng=np.random.default_rng([seed, 1]),
            segments=prediction.segment,
        )
    resampled = _resampled(items, prediction, scoring, block_trs, seed)
    value = Measured(float(items.mean()), *resampled, null, float(mean.mean()))
    return {"spatial_r": value}


def _resampled(
    items: Float64, prediction: Prediction, scoring: ScoringConfig, block_trs: int, seed: int
) -> tuple[Float64, int]:
    """Resample TRs by the blocks of film that r is resampled by."""
    return bootstrap_means(
        items,
        block=block_trs,
        n=scoring.n_bootstrap,
        rng=np.random.default_rng([seed, 2]),
        segments=prediction.segment,
    )
