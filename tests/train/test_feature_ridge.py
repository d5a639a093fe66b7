"""Feature ridge: known answers, no leak from test to fit, predictions in files."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.errors import CheckpointError, DataError
from brainreel.fmri.bold import Bold, VoxelMask
from brainreel.fmri.hrf import fir_delays
from brainreel.models.ridge import BandedRidgeConfig, RidgeConfig
from brainreel.timebase import TrGrid
from brainreel.train.feature_ridge import (
    FeatureRidgeConfig,
    constant_voxels,
    feature_spec,
    fit_feature_ridge,
    predict_feature_ridge,
)
from brainreel.train.prediction_files import load_predictions, save_predictions
from brainreel.train.predictions import pool

TR_S, N_TRS, N_VOXELS = Fraction(2), 120, 6
TASK = FeatureRidgeConfig(first_delay_s=2.0, last_delay_s=6.0, high_pass_hz=None)
FAST = RidgeConfig(alphas=(1.0, 100.0), n_folds=3)


def make_series(noise=0.3, scale=50.0):
    """Two people, three runs; BOLD = delayed features times weights, scaled and shifted."""
    rng = np.random.default_rng(0)
    mask = VoxelMask(np.arange(24).reshape(2, 3, 4) < N_VOXELS, np.diag([3.0, 3, 3, 1]), "MNI")
    stimuli = {
        run: {
            "sight": rng.standard_normal((N_TRS, 2)).astype(np.float32),
            "sound": rng.standard_normal((N_TRS, 3)).astype(np.float32),
        }
        for run in ("x", "y", "z")
    }
    recordings = []
    for subject in ("sub-01", "sub-02"):
        weights = rng.standard_normal((15, N_VOXELS))
        for run, features in stimuli.items():
            X = np.hstack([fir_delays(values, (1, 2, 3)) for values in features.values()])
            clean = X @ weights
            signal = clean + noise * clean.std() * rng.standard_normal(clean.shape)
            data = (1000 + scale * signal).astype(np.float32)
            data[:, 4] = 7.0
            bold = Bold(data, TrGrid(TR_S, N_TRS, Fraction(-6)), mask)
            recordings.append(Recording(subject, f"run-{run}", run, bold, features=features))
    return Series(tuple(recordings), ())


SERIES = make_series()
FOLD = Fold(
    "film",
    "film-z",
    train=tuple(Segment(i, 0, N_TRS) for i in (0, 1, 3, 4)),
    test=tuple(Segment(i, 0, N_TRS) for i in (2, 5)),
)
CUT = Fold(
    "time",
    "time-1",
    train=(Segment(0, 0, 70), Segment(1, 0, N_TRS)),
    test=(Segment(0, 80, N_TRS), Segment(2, 5, 40)),
)


def changed_test_bold(series, fold):
    """Other numbers in every test TR, NaN included."""
    recordings = list(series.recordings)
    for segment in fold.test:
        old = recordings[segment.recording]
        data = old.bold.data.copy()
        part = data[segment.start_tr : segment.stop_tr]
        part[:] = np.random.default_rng(9).standard_normal(part.shape) * 1e4
        part[0] = np.nan
        recordings[segment.recording] = replace(old, bold=replace(old.bold, data=data))
    return Series(tuple(recordings), series.folds)


@pytest.mark.parametrize("fold", [FOLD, CUT], ids=lambda fold: fold.split)
@pytest.mark.parametrize(
    "model",
    [FAST, BandedRidgeConfig(alphas=(1.0, 100.0), n_folds=3, n_candidates=4)],
    ids=lambda model: model.name,
)
def test_test_bold_cannot_reach_the_weights(fold, model):
    honest = fit_feature_ridge(SERIES, fold, model, TASK, seed=3)
    touched = fit_feature_ridge(changed_test_bold(SERIES, fold), fold, model, TASK, seed=3)
    assert set(honest) == set(touched)
    for name in honest:
        assert honest[name].tobytes() == touched[name].tobytes(), name


def test_train_bold_does_reach_the_weights():
    honest = fit_feature_ridge(SERIES, FOLD, FAST, TASK, seed=3)
    recordings = list(SERIES.recordings)
    data = recordings[0].bold.data.copy()
    data[50] += 100
    recordings[0] = replace(recordings[0], bold=replace(recordings[0].bold, data=data))
    touched = fit_feature_ridge(Series(tuple(recordings), ()), FOLD, FAST, TASK, seed=3)
    assert not np.array_equal(honest["sub-01/weights"], touched["sub-01/weights"])
    np.testing.assert_array_equal(honest["sub-02/weights"], touched["sub-02/weights"])


def test_fit_and_prediction_equal_scikit_learn():
    model = RidgeConfig(alphas=(20.0,), delay_prior="flat")
    state = fit_feature_ridge(SERIES, CUT, model, TASK, seed=0)
    (prediction,) = predict_feature_ridge(SERIES, CUT, model, TASK, state)
    X = [
        np.hstack([fir_delays(v, (1, 2, 3)) for v in r.features.values()])
        for r in SERIES.recordings
    ]
    Y = [recording.bold.data.astype(float) for recording in SERIES.recordings]
    X_train, Y_train = np.vstack([X[0][:70], X[1]]), np.vstack([Y[0][:70], Y[1]])
    mean, std = Y_train.mean(axis=0), Y_train.std(axis=0)
    std[std == 0] = np.inf
    centre, spread = X_train.mean(axis=0, dtype=float), X_train.std(axis=0, dtype=float)
    witness = Ridge(alpha=20.0).fit((X_train - centre) / spread, (Y_train - mean) / std)
    X_test, Y_test = np.vstack([X[0][80:], X[2][5:40]]), np.vstack([Y[0][80:], Y[2][5:40]])
    expected = witness.predict((X_test - centre) / spread)
    np.testing.assert_allclose(prediction.predicted, expected, atol=1e-4)
    np.testing.assert_allclose(prediction.measured, (Y_test - mean) / std, atol=1e-3)
    np.testing.assert_array_equal(prediction.segment, [0] * 40 + [1] * 35)
    times = [-6 + 2 * tr for tr in [*range(80, 120), *range(5, 40)]]
    np.testing.assert_array_equal(prediction.film_time_s, times)
    assert prediction.recordings == ("sub-01 run-x", "sub-01 run-z")
    assert prediction.stimuli == ("x", "z")


def test_the_signal_is_found_and_constant_voxels_stay_0():
    state = fit_feature_ridge(SERIES, FOLD, FAST, TASK, seed=0)
    predictions = predict_feature_ridge(SERIES, FOLD, FAST, TASK, state)
    assert [item.subject for item in predictions] == ["sub-01", "sub-02"]
    assert constant_voxels(state) == {"sub-01": 1, "sub-02": 1}
    for item in predictions:
        tuned = [0, 1, 2, 3, 5]
        r = [np.corrcoef(item.predicted[:, v], item.measured[:, v])[0, 1] for v in tuned]
        assert min(r) > 0.85
        np.testing.assert_array_equal(item.predicted[:, 4], 0)
        np.testing.assert_array_equal(item.measured[:, 4], 0)


def test_spec_holds_the_facts():
    spec = feature_spec(SERIES, TASK.delayed(SERIES))
    assert spec.voxels_of == {"sub-01": N_VOXELS, "sub-02": N_VOXELS}
    assert spec.feature_sizes == {"sight": 6, "sound": 9}
    assert spec.delays_s == (2.0, 4.0, 6.0)
    assert spec.tr_s == 2.0


def test_a_person_without_training_is_an_error():
    fold = replace(FOLD, train=FOLD.train[:2])
    state = fit_feature_ridge(SERIES, fold, FAST, TASK, seed=0)
    with pytest.raises(CheckpointError, match="'film-z' tests sub-02, for whom no ridge"):
        predict_feature_ridge(SERIES, fold, FAST, TASK, state)
    with pytest.raises(DataError, match="'film-z' has no training segment"):
        fit_feature_ridge(SERIES, replace(FOLD, train=()), FAST, TASK, seed=0)


def test_predictions_come_back_from_their_files(tmp_path):
    state = fit_feature_ridge(SERIES, FOLD, FAST, TASK, seed=0)
    predictions = predict_feature_ridge(SERIES, FOLD, FAST, TASK, state)
    save_predictions(tmp_path / "predictions", predictions)
    again = load_predictions(tmp_path / "predictions")
    for saved, read in zip(predictions, again, strict=True):
        for name, value in vars(saved).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, getattr(read, name))
            elif name not in ("mask", "moments"):
                assert getattr(read, name) == value
        np.testing.assert_array_equal(read.mask.inside, saved.mask.inside)
        np.testing.assert_array_equal(read.mask.affine, saved.mask.affine)
        assert read.mask.space == "MNI"
    assert not list((tmp_path / "predictions").glob(".*")), "nothing is left aside"


def test_broken_files_of_predictions_are_named(tmp_path):
    state = fit_feature_ridge(SERIES, FOLD, FAST, TASK, seed=0)
    (one, _) = predict_feature_ridge(SERIES, FOLD, FAST, TASK, state)
    with pytest.raises(DataError, match="two predictions of one fold and person"):
        save_predictions(tmp_path, [one, one])
    assert not list(tmp_path.iterdir())
    save_predictions(tmp_path, [one])
    (tmp_path / "film-z_sub-01.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataError, match=r"film-z_sub-01.npz: cannot be read"):
        load_predictions(tmp_path)
    np.savez(tmp_path / "film-z_sub-01.npz", predicted=one.predicted)
    with pytest.raises(DataError, match=r"film-z_sub-01.npz: is no file of predictions"):
        load_predictions(tmp_path)
    with pytest.raises(DataError, match="no such list of predictions"):
        load_predictions(tmp_path / "elsewhere")


def test_folds_of_a_split_are_pooled():
    folds = [replace(CUT, name=f"time-{i}") for i in (1, 2)]
    items = []
    for fold in folds:
        state = fit_feature_ridge(SERIES, fold, FAST, TASK, seed=0)
        items += predict_feature_ridge(SERIES, fold, FAST, TASK, state)
    (joined,) = pool(items)
    assert joined.fold == joined.split == "time"
    np.testing.assert_array_equal(np.unique(joined.segment), [0, 1, 2, 3])
    np.testing.assert_array_equal(joined.predicted[75:], items[1].predicted)
    assert len(joined.recordings) == 4
