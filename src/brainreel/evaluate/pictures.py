"""Scores of reconstructed pictures, each beside what the mean training picture reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Trials
from brainreel.evaluate.identify import identify_pictures
from brainreel.evaluate.parts import Float64, Measured, card_of, resampled_means
from brainreel.evaluate.scorecard import Scorecard
from brainreel.metrics.correlation import correlation_similarity
from brainreel.metrics.images import mse, pixel_correlation, psnr, ssim
from brainreel.train.fit import FittedRun
from brainreel.train.predictions import AnyPrediction, PicturePrediction
from brainreel.train.recipe import ScoringConfig

Score = Callable[[NDArray[np.floating], NDArray[np.floating]], Float64]
SCORES: dict[str, Score] = {
    "pixel_correlation": pixel_correlation,
    "mse": mse,
    "ssim": ssim,
    "psnr": psnr,
}
# Every prediction against every truth: beyond this many pictures SSIM's null takes minutes.
MOST_PAIRED_SSIM = 128


def score_trials(
    run: FittedRun, predictions: Sequence[AnyPrediction], home: Path
) -> list[Scorecard]:
    """Return one card for each split."""
    pictures = [item for item in predictions if isinstance(item, PicturePrediction)]
    scoring = run.config.scoring
    splits = list(dict.fromkeys(item.split for item in pictures))
    cards = []
    for split in splits:
        folds = [item for item in pictures if item.split == split]
        scores = score_pictures(folds, scoring, run.config.seed)
        prefix = f"{split}:" if len(splits) > 1 else ""
        cards.append(card_of("", scores, level=scoring.level, prefix=prefix))
    return cards


def trials_facts(trials: Trials) -> dict[str, Any]:
    """Return who was scored, on what."""
    return {
        "people": list(trials.subjects),
        "n_trials": len(trials.voxels),
        "n_voxels": trials.sizes[0] if len(trials.sizes) == 1 else list(trials.sizes),
    }


def score_pictures(
    folds: Sequence[PicturePrediction], scoring: ScoringConfig, seed: int
) -> dict[str, Measured]:
    """Score one person's reconstructions, the folds of a split joined.

    Parameters
    ----------
    folds
        Predictions of the folds; each brings the mean picture of its own training trials.
    scoring
        The protocol.
    seed
        Of resamples of pictures and of surrogates, which pair reconstructions with other pictures.
    """
    predicted = np.concatenate([fold.predicted for fold in folds])
    true = np.concatenate([fold.true for fold in folds])
    mean = np.concatenate([np.broadcast_to(f.baseline, f.true.shape) for f in folds])
    measured = {
        name: _measured(name, score, (predicted, true, mean), scoring, seed)
        for name, score in SCORES.items()
    }
    n = len(true)
    similarity = correlation_similarity(predicted.reshape(n, -1), true.reshape(n, -1))
    return measured | identify_pictures(similarity, scoring, seed)


def _measured(
    name: str,
    score: Score,
    pictures: tuple[NDArray[np.floating], ...],
    scoring: ScoringConfig,
    seed: int,
) -> Measured:
    predicted, true, mean = pictures
    items = score(predicted, true)
    null = np.zeros(0)
    if name != "psnr" and (name != "ssim" or len(true) <= MOST_PAIRED_SSIM):
        null = _pairing_null(score, predicted, true, scoring.n_permutations, seed)
    return Measured(
        _mean(items),
        resampled_means(items[~np.isnan(items)], scoring.n_bootstrap, seed),
        int(np.count_nonzero(~np.isnan(items))),
        null,
        _mean(score(mean, true)),
        lower_is_better=name == "mse",
    )


def _mean(items: Float64) -> float:
    """Mean over pictures that have the score; NaN where none has."""
    return float("nan") if np.isnan(items).all() else float(np.nanmean(items))


def _pairing_null(
    score: Score,
    predicted: NDArray[np.floating],
    true: NDArray[np.floating],
    n: int,
    seed: int,
) -> Float64:
    """Return the mean score in each of `n` random pairings of reconstructions and pictures."""
    size = len(true)
    if size < 2:
        return np.zeros(0)
    columns = [score(predicted, np.broadcast_to(one, predicted.shape)) for one in true]
    every = np.stack(columns, axis=1)
    rng = np.random.default_rng([seed, 4])
    pairings = rng.permuted(np.tile(np.arange(size), (n, 1)), axis=1)
    # A plain picture has no correlation with any other: left out here as it is of the score.
    if np.isnan(every).all(axis=1).all():
        return np.zeros(0)
    return np.asarray(np.nanmean(every[np.arange(size), pairings], axis=1))
