from dataclasses import replace

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from brainreel.evaluate.pictures import score_pictures
from brainreel.train.predictions import PicturePrediction
from brainreel.train.recipe import ScoringConfig

N = 24
SCORING = ScoringConfig(n_permutations=200, n_bootstrap=200, n_way=(2, 5))


def folds(noise: float, shuffled: bool = False) -> list[PicturePrediction]:
    rng = np.random.default_rng(0)
    true = rng.random((N, 1, 12, 12)).astype(np.float32)
    predicted = np.clip(true + noise * rng.standard_normal(true.shape), 0, 1).astype(np.float32)
    if shuffled:
        predicted = rng.permutation(predicted)
    halves = np.array_split(np.arange(N), 2)
    return [
        PicturePrediction(
            split="folds",
            fold=f"folds-{i}",
            subject="sub-01",
            predicted=predicted[rows],
            true=true[rows],
            labels=np.zeros(len(rows), np.int64),
            trials=rows,
            baseline=true[halves[1 - i]].mean(axis=0),
        )
        for i, rows in enumerate(halves)
    ]


def test_scores_are_means_over_all_folds_pictures() -> None:
    parts = folds(0.3)
    predicted = np.concatenate([p.predicted for p in parts])
    true = np.concatenate([p.true for p in parts])
    scores = score_pictures(parts, SCORING, seed=0)
    r = [np.corrcoef(p.ravel(), t.ravel())[0, 1] for p, t in zip(predicted, true, strict=True)]
    similar = [
        structural_similarity(p[0], t[0], data_range=1.0)
        for p, t in zip(predicted, true, strict=True)
    ]
    assert scores["pixel_correlation"].value == pytest.approx(np.mean(r), abs=1e-6)
    assert scores["mse"].value == pytest.approx(np.mean((predicted - true) ** 2), abs=1e-6)
    assert scores["ssim"].value == pytest.approx(np.mean(similar), abs=1e-6)
    wins = [
        np.corrcoef(predicted[i].ravel(), true[i].ravel())[0, 1]
        > np.corrcoef(predicted[i].ravel(), true[j].ravel())[0, 1]
        for i in range(N)
        for j in range(N)
        if i != j
    ]
    assert scores["identification_2way"].value == pytest.approx(np.mean(wins))


def test_baseline_is_the_mean_picture_of_each_folds_own_training() -> None:
    parts = folds(0.3)
    expected = np.mean([np.mean((t - p.baseline) ** 2) for p in parts for t in p.true])
    assert score_pictures(parts, SCORING, 0)["mse"].baseline == pytest.approx(expected, abs=1e-6)


def test_a_shuffled_pairing_falls_to_chance() -> None:
    right = score_pictures(folds(0.3), SCORING, seed=0)
    wrong = score_pictures(folds(0.3, shuffled=True), SCORING, seed=0)
    assert right["identification_2way"].value > 0.95
    assert wrong["identification_2way"].value == pytest.approx(0.5, abs=0.15)
    # Each null is the score of random pairings: the right pairing lies beyond all of it.
    assert right["mse"].value < right["mse"].null.min()
    assert right["pixel_correlation"].value > right["pixel_correlation"].null.max()
    low, high = np.quantile(wrong["pixel_correlation"].null, [0.001, 0.999])
    assert low <= wrong["pixel_correlation"].value <= high


def test_trials_of_one_picture_are_resampled_together() -> None:
    """Ten more trials of each picture are no ten times the evidence on other pictures."""
    rng = np.random.default_rng(2)
    true = np.repeat(rng.random((6, 1, 8, 8)).astype(np.float32), 10, axis=0)
    # How well a picture is told lies in the picture.
    mix = np.repeat(np.linspace(0.1, 0.9, 6), 10)[:, None, None, None]
    predicted = (mix * true + (1 - mix) * rng.random(true.shape)).astype(np.float32)
    labels, trials = np.zeros(60, np.int64), np.arange(60)
    part = PicturePrediction("s", "s", "a", predicted, true, labels, trials, true.mean(axis=0))
    found = score_pictures([part], SCORING, seed=0)["mse"]
    means = ((predicted - true) ** 2).mean(axis=(1, 2, 3)).reshape(6, 10).mean(axis=1)
    assert found.n_blocks == 6
    rows = np.random.default_rng([0, 3]).integers(6, size=(200, 6))
    np.testing.assert_allclose(found.resamples, means[rows].mean(axis=1), rtol=1e-5)


def test_pictures_too_small_for_ssim_have_the_other_scores() -> None:
    small = [
        replace(
            p, **{name: getattr(p, name)[..., :4, :4] for name in ("predicted", "true", "baseline")}
        )
        for p in folds(0.3)
    ]
    found = score_pictures(small, SCORING, seed=0)
    assert "ssim" not in found
    assert {"pixel_correlation", "mse", "psnr", "identification_2way"} <= set(found)
    assert not any("ssim" in name for name in found)


def test_pictures_that_are_met_exactly_have_no_interval_of_an_infinite_score() -> None:
    same = [replace(p, predicted=p.true) for p in folds(0.3)]
    found = score_pictures(same, SCORING, seed=0)["psnr"]
    assert np.isinf(found.value)
    assert not found.resamples.size


def test_a_plain_picture_is_no_piece_of_the_interval() -> None:
    """It has no correlation, so it may not make the interval look better founded."""
    parts = folds(0.3)
    parts[0].true[0] = 0.5
    scores = score_pictures(parts, SCORING, seed=0)
    assert scores["pixel_correlation"].n_blocks == N - 1
    assert scores["mse"].n_blocks == N
