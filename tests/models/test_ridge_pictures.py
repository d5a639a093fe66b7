"""Pictures from voxels: against scikit-learn, by known answers, and on real digits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat
from skimage.metrics import structural_similarity
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from brainreel.errors import CheckpointError, DataError, ShapeError
from brainreel.models.picture_ridge import PictureRidgeConfig
from brainreel.shapes import DataSpec

SHAPE = (1, 6, 5)
SPEC = DataSpec(picture_shape=SHAPE)


def make(n_trials=40, n_voxels=60, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((4, 30))
    pictures = 1 / (1 + np.exp(-rng.standard_normal((n_trials, 4)) @ basis))
    voxels = pictures @ rng.standard_normal((30, n_voxels)) * rng.uniform(0.1, 9, n_voxels) + 5
    voxels += noise * voxels.std(axis=0) * rng.standard_normal(voxels.shape)
    return voxels.astype(np.float32), pictures.reshape(-1, *SHAPE).astype(np.float32)


def fit(config, voxels, pictures, seed=0):
    return config.build(SPEC).fit(voxels, pictures, rng=np.random.default_rng(seed))


def test_given_options_are_scikit_learns_pca_and_ridge():
    voxels, pictures = make()
    model = fit(PictureRidgeConfig(n_components=(6,), alphas=(50.0,)), voxels[:30], pictures[:30])
    mean, std = voxels[:30].mean(axis=0, dtype=float), voxels[:30].std(axis=0, dtype=float)
    pca = PCA(6, svd_solver="full").fit(pictures[:30].reshape(30, -1).astype(float))
    ridge = Ridge(alpha=50.0, fit_intercept=False)
    ridge.fit((voxels[:30] - mean) / std, pca.transform(pictures[:30].reshape(30, -1)))
    rows = pca.inverse_transform(ridge.predict((voxels[30:] - mean) / std))
    expected = np.clip(rows, 0, 1).reshape(-1, *SHAPE)
    np.testing.assert_allclose(model.predict(voxels[30:]), expected, atol=2e-5)


def test_chosen_options_have_the_least_left_out_error():
    voxels, pictures = make(noise=1.5)
    config = PictureRidgeConfig(n_components=(1, 2, 8), alphas=(1.0, 100.0, 1e4), n_folds=4)
    model = fit(config, voxels, pictures, seed=3)
    parts = np.array_split(np.random.default_rng(3).permutation(40), 4)
    error = {}
    for count in config.n_components:
        for alpha in config.alphas:
            given = PictureRidgeConfig(n_components=(count,), alphas=(alpha,))
            error[count, alpha] = 0.0
            for part in parts:
                train = np.setdiff1d(np.arange(40), part)
                guess = fit(given, voxels[train], pictures[train]).predict(voxels[part])
                error[count, alpha] += ((guess - pictures[part]) ** 2).sum()
    best = min(error, key=lambda key: error[key])
    assert (model.fitted.components.shape[0], float(model.fitted.alpha)) == best


def test_pictures_come_back_without_noise():
    voxels, pictures = make(n_trials=120, noise=0.0)
    model = fit(PictureRidgeConfig(n_components=(29,), alphas=(1e-3,)), voxels[:80], pictures[:80])
    assert np.abs(model.predict(voxels[80:]) - pictures[80:]).mean() < 0.01


def test_state_gives_bit_equal_pictures_in_the_unit_range():
    voxels, pictures = make()
    model = fit(PictureRidgeConfig(alphas=(1.0,)), voxels, pictures)
    wild = (voxels * 5).astype(np.float32)
    shown = model.predict(wild)
    assert shown.min() == 0
    assert shown.max() == 1
    again = PictureRidgeConfig().build(SPEC).from_state(model.state())
    np.testing.assert_array_equal(again.predict(wild), shown)


def test_repeated_pictures_and_constant_voxels_are_survived():
    voxels, pictures = make()
    voxels[:, 7] = 2.0
    pictures[:] = pictures[np.arange(40) % 3]
    model = fit(PictureRidgeConfig(), voxels, pictures)
    assert np.isfinite(model.predict(voxels)).all()
    moved = voxels.copy()
    moved[:, 7] = 1e5
    np.testing.assert_array_equal(model.predict(moved), model.predict(voxels))


def test_errors_say_what_and_where():
    voxels, pictures = make()
    with pytest.raises(DataError, match="needs pictures"):
        PictureRidgeConfig().build(DataSpec())
    with pytest.raises(ShapeError, match="pictures has 5 along axis H"):
        fit(PictureRidgeConfig(), voxels, pictures[:, :, :5])
    with pytest.raises(DataError, match="not fitted"):
        PictureRidgeConfig().build(SPEC).predict(voxels)
    voxels[2, 3] = np.inf
    with pytest.raises(DataError, match=r"voxels hold NaN or infinite .* column 3"):
        fit(PictureRidgeConfig(), voxels, pictures)
    with pytest.raises(CheckpointError, match="lack 'alpha'"):
        PictureRidgeConfig().build(SPEC).from_state({})


def test_digits_on_the_published_split(real_data):
    file = loadmat(real_data / "digits69" / "digit69_28x28.mat")

    def pictures(key):
        rows = file[key].reshape(-1, 28, 28).transpose(0, 2, 1) / 255
        return rows[:, None].astype(np.float32)

    true = pictures("stimTest")
    model = PictureRidgeConfig().build(DataSpec(picture_shape=(1, 28, 28)))
    model.fit(file["fmriTrn"], pictures("stimTrn"), rng=np.random.default_rng(0))
    shown = model.predict(file["fmriTest"])
    between = np.corrcoef(shown.reshape(10, -1), true.reshape(10, -1))[:10, 10:]
    right = np.diag(between)
    ssim = [
        structural_similarity(a[0], b[0], data_range=1.0) for a, b in zip(shown, true, strict=True)
    ]
    assert right.mean() >= 0.79
    assert ((shown - true) ** 2).mean() <= 0.038
    assert np.mean(ssim) >= 0.50
    assert (between < right[:, None]).sum() / 90 >= 0.93


def test_voxels_weigh_by_the_variance_that_pictures_tell_of_them():
    voxels, pictures = make(noise=0.5)
    rng = np.random.default_rng(1)
    voxels = np.concatenate([voxels, rng.standard_normal((40, 300), dtype=np.float32)], axis=1)
    rows = pictures.reshape(40, -1).astype(float)
    Z = (voxels - voxels.mean(axis=0)) / voxels.std(axis=0)
    pca = PCA(10, svd_solver="full").fit(rows)
    scores, shares = pca.transform(rows), pca.explained_variance_
    told = [
        sum(s * np.corrcoef(z, scores[:, k])[0, 1] ** 2 for k, s in enumerate(shares)) for z in Z.T
    ]
    weights = np.array(told) / np.sqrt(np.mean(np.square(told)))
    ridge = Ridge(alpha=50.0, fit_intercept=False).fit(Z * weights, pca.transform(rows)[:, :6])
    rows_found = ridge.predict(Z * weights) @ pca.components_[:6] + pca.mean_
    config = PictureRidgeConfig(n_components=(6,), alphas=(50.0,), voxels="by_what_they_tell")
    found = fit(config, voxels, pictures).predict(voxels)
    np.testing.assert_allclose(found.reshape(40, -1), np.clip(rows_found, 0, 1), atol=2e-4)


def test_weighing_voxels_helps_where_few_of_many_answer_to_pictures():
    voxels, pictures = make(n_trials=80, n_voxels=20, noise=0.7)
    rng = np.random.default_rng(1)
    voxels = np.concatenate([voxels, rng.standard_normal((80, 3000), dtype=np.float32)], axis=1)
    error = {}
    for how in ("alike", "by_what_they_tell"):
        model = fit(PictureRidgeConfig(voxels=how), voxels[:60], pictures[:60])
        error[how] = np.mean((model.predict(voxels[60:]) - pictures[60:]) ** 2)
    assert error["by_what_they_tell"] < 0.9 * error["alike"]


def test_pictures_that_no_voxel_tells_of_leave_all_voxels_alike():
    voxels, pictures = make()
    plain = np.repeat(pictures[:1], 40, axis=0)
    found = fit(PictureRidgeConfig(voxels="by_what_they_tell"), voxels, plain).predict(voxels)
    np.testing.assert_allclose(found, plain, atol=1e-6)
