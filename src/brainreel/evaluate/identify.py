"""Which moment of the film was it, as a score with its resamples and its null."""

from __future__ import annotations

import numpy as np

from brainreel.evaluate.parts import Float64, Measured, resampled_means
from brainreel.metrics.identification import (
    segment_identification,
    segment_identification_null,
)
from brainreel.metrics.ranking import Identification
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import ScoringConfig


def identify_segments(
    prediction: Prediction, scoring: ScoringConfig, block_trs: int, seed: int
) -> dict[str, Measured]:
    """Return how often the BOLD of a film segment picks out its own prediction among n.

    An n that there are too few segments for is left out.
    """
    window_trs = max(1, round(scoring.segment_s / prediction.tr_s))
    lengths = np.unique(prediction.segment, return_counts=True)[1]
    n_windows = int(np.sum(lengths // window_trs))
    sides = (prediction.predicted, prediction.measured)
    measured: dict[str, Measured] = {}
    for n_way in (n for n in scoring.n_way if n <= n_windows):
        found = segment_identification(
            *sides, segment_trs=window_trs, n_way=n_way, segments=prediction.segment
        )
        null = np.zeros(0)
        if scoring.n_permutations:
            null = segment_identification_null(
                *sides,
                segment_trs=window_trs,
                n_way=n_way,
                n_permutations=scoring.n_permutations,
                block_trs=block_trs,
                rng=np.random.default_rng([seed, 5]),
                segments=prediction.segment,
            )
        name = f"identification_{n_way}way"
        measured[name] = _measured(found.identification, null, scoring, seed)
    return measured


def _measured(found: Identification, null: Float64, scoring: ScoringConfig, seed: int) -> Measured:
    """Join accuracy, chance and null with resamples of what each item adds to the accuracy."""
    items = found.influence - found.influence.mean() + found.accuracy
    resamples = resampled_means(items, scoring.n_bootstrap, seed)
    return Measured(found.accuracy, resamples, len(items), null, found.chance, bounds=(0.0, 1.0))
