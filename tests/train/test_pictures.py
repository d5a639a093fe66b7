"""Task `pictures`: fits training trials alone, and its predictions come back from files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainreel.data.samples import Fold, Trials
from brainreel.errors import DataError
from brainreel.models.picture_ridge import PictureRidgeConfig
from brainreel.train.pictures import fit_pictures, predict_pictures
from brainreel.train.prediction_files import load_predictions, save_predictions

MODEL = PictureRidgeConfig(n_components=(2, 4), alphas=(1.0, 100.0), n_folds=4)
FOLD = Fold("given", "given", train_trials=tuple(range(32)), test_trials=(35, 33, 39))


def make_trials(shuffled=False):
    rng = np.random.default_rng(1)
    pictures = 1 / (1 + np.exp(-rng.standard_normal((40, 3)) @ rng.standard_normal((3, 24))))
    voxels = pictures @ rng.standard_normal((24, 30)) + 0.1 * rng.standard_normal((40, 30))
    if shuffled:
        pictures = pictures[rng.permutation(40)]
    return Trials(
        voxels.astype(np.float32),
        pictures.reshape(40, 1, 4, 6).astype(np.float32),
        np.arange(40) % 2,
        (FOLD,),
        ("sub-07",),
    )


def correlation(prediction):
    rows = zip(prediction.predicted, prediction.true, strict=True)
    return np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in rows])


def test_pictures_are_reconstructed_and_a_shuffled_pairing_is_not():
    trials, wrong = make_trials(), make_trials(shuffled=True)
    right = predict_pictures(trials, FOLD, MODEL, fit_pictures(trials, FOLD, MODEL, 0))
    assert correlation(right) > 0.95
    np.testing.assert_array_equal(right.true, trials.pictures[[35, 33, 39]])
    np.testing.assert_array_equal(right.labels, [1, 1, 1])
    np.testing.assert_array_equal(right.trials, [35, 33, 39])
    np.testing.assert_allclose(right.baseline, trials.pictures[:32].mean(axis=0), rtol=1e-5)
    many = replace(FOLD, test_trials=tuple(range(32, 40)))
    state = fit_pictures(wrong, many, MODEL, 0)
    shuffled = predict_pictures(wrong, many, MODEL, state)
    assert correlation(shuffled) < correlation(right) - 0.2


def test_test_trials_cannot_reach_the_weights():
    trials = make_trials()
    voxels, pictures = trials.voxels.copy(), trials.pictures.copy()
    voxels[32:] = 1e5
    pictures[32:] = 0.5
    honest = fit_pictures(trials, FOLD, MODEL, 0)
    touched = fit_pictures(replace(trials, voxels=voxels, pictures=pictures), FOLD, MODEL, 0)
    for name in honest:
        assert honest[name].tobytes() == touched[name].tobytes(), name


def test_predictions_come_back_from_their_files(tmp_path):
    trials = make_trials()
    state = fit_pictures(trials, FOLD, MODEL, 0)
    saved = predict_pictures(trials, FOLD, MODEL, state)
    save_predictions(tmp_path, [saved])
    (read,) = load_predictions(tmp_path)
    for name, value in vars(saved).items():
        np.testing.assert_array_equal(getattr(read, name), value)


def test_trials_without_labels_are_marked():
    trials = replace(make_trials(), labels=None)
    state = fit_pictures(trials, FOLD, MODEL, 0)
    np.testing.assert_array_equal(predict_pictures(trials, FOLD, MODEL, state).labels, [-1] * 3)


def test_errors_say_what_is_missing():
    trials = make_trials()
    with pytest.raises(DataError, match="fold 'given' has no training trial"):
        fit_pictures(trials, replace(FOLD, train_trials=()), MODEL, 0)
    several = replace(trials, subjects=("a", "b"), sizes=(30, 30))
    with pytest.raises(DataError, match=r"fits one person, and the data has a, b\. Name one"):
        fit_pictures(several, FOLD, MODEL, 0)
    with pytest.raises(DataError, match="picture_ridge needs pictures"):
        fit_pictures(replace(trials, pictures=None), FOLD, MODEL, 0)
