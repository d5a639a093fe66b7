"""Ridge and banded ridge against closed forms, scikit-learn and himalaya."""

from __future__ import annotations

import numpy as np
import pytest
from himalaya.backend import get_backend
from himalaya.kernel_ridge import KernelRidgeCV
from sklearn.linear_model import Ridge as SklearnRidge

from brainreel.errors import CheckpointError, ConfigError, DataError, ShapeError
from brainreel.models.ridge import BandedRidgeConfig, RidgeConfig
from brainreel.models.ridge_solver import band_shares, himalaya_backend
from brainreel.shapes import DataSpec

BANDS = {"pictures": 12, "sound": 5, "words": 3}
SPEC = DataSpec(feature_sizes=BANDS)
WIDE = {"pictures": 90, "sound": 40, "words": 20}


def make(n_rows, n_voxels, sizes=BANDS, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    width = sum(sizes.values())
    X = rng.standard_normal((n_rows, width)) * rng.uniform(0.5, 20, width) + 3
    W = rng.standard_normal((width, n_voxels)) / X.std(axis=0)[:, None] / np.sqrt(width)
    Y = X @ W + noise * rng.standard_normal((n_rows, n_voxels)) + 2
    return X.astype(np.float32), Y.astype(np.float32)


def fit(config, X, Y, sizes=BANDS, seed=0, **options):
    model = config.build(DataSpec(feature_sizes=sizes))
    return model.fit(X, Y, rng=np.random.default_rng(seed), **options)


def standardised(X):
    return (X - X.mean(axis=0, dtype=float)) / X.std(axis=0, dtype=float)


@pytest.mark.parametrize("sizes", [BANDS, WIDE], ids=["tall", "wide"])
@pytest.mark.parametrize("alpha", [0.3, 30.0, 3000.0])
def test_one_penalty_is_scikit_learns_ridge(sizes, alpha):
    X, Y = make(80, 7, sizes)
    model = fit(RidgeConfig(alphas=(alpha,)), X, Y, sizes)
    witness = SklearnRidge(alpha=alpha).fit(standardised(X), Y.astype(float))
    np.testing.assert_allclose(model.fitted.weights, witness.coef_.T, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(
        model.predict(X), witness.predict(standardised(X)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("sizes", [BANDS, WIDE], ids=["tall", "wide"])
def test_chosen_penalty_has_the_least_left_out_error(sizes):
    X, Y = make(60, 9, sizes, noise=2.0)
    alphas = (1.0, 10.0, 100.0, 1000.0)
    config = RidgeConfig(alphas=alphas, n_folds=3, gap_trs=2, inner_folds="blocks")
    chosen = fit(config, X, Y, sizes).fitted.penalties[0]
    Z, centred = standardised(X), Y - Y.mean(axis=0, dtype=float)
    error = np.zeros((len(alphas), Y.shape[1]))
    for start in (0, 20, 40):
        left_out = np.arange(start, start + 20)
        train = np.setdiff1d(np.arange(60), np.arange(start - 2, start + 22))
        for row, alpha in enumerate(alphas):
            gram = Z[train].T @ Z[train] + alpha * np.eye(Z.shape[1])
            W = np.linalg.solve(gram, Z[train].T @ centred[train])
            error[row] += ((centred[left_out] - Z[left_out] @ W) ** 2).mean(axis=0) / 3
    np.testing.assert_allclose(chosen, np.array(alphas)[error.argmin(axis=0)], rtol=1e-4)
    assert len(set(np.round(chosen))) > 1, "one penalty for all shows nothing"
    r2 = 1 - error.min(axis=0) / centred.var(axis=0)
    np.testing.assert_allclose(fit(config, X, Y, sizes).fitted.inner_r2, r2, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sizes", [BANDS, WIDE], ids=["tall", "wide"])
def test_banded_ridge_is_the_closed_form_of_its_penalties(sizes):
    X, Y = make(100, 6, sizes)
    fitted = fit(BandedRidgeConfig(n_candidates=12), X, Y, sizes).fitted
    assert fitted.penalties.shape == (3, 6)
    Z, centred = standardised(X), Y - Y.mean(axis=0, dtype=float)
    for voxel in range(6):
        penalty = np.repeat(fitted.penalties[:, voxel].astype(float), list(sizes.values()))
        W = np.linalg.solve(Z.T @ Z + np.diag(penalty), Z.T @ centred[:, voxel])
        np.testing.assert_allclose(fitted.weights[:, voxel], W, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("solver", ["kernel", "primal"])
def test_both_solvers_choose_alike(solver):
    X, Y = make(90, 20)
    auto = fit(BandedRidgeConfig(n_candidates=10), X, Y).fitted
    other = fit(BandedRidgeConfig(n_candidates=10, solver=solver), X, Y).fitted
    np.testing.assert_allclose(auto.penalties, other.penalties, rtol=1e-3)
    np.testing.assert_allclose(auto.weights, other.weights, rtol=1e-3, atol=1e-4)


def test_equal_shares_of_equal_bands_are_plain_ridge():
    sizes = {"a": 6, "b": 6, "c": 6}
    X, Y = make(70, 5, sizes)
    plain = fit(RidgeConfig(), X, Y, sizes).fitted
    banded = fit(BandedRidgeConfig(n_candidates=1), X, Y, sizes).fitted
    np.testing.assert_allclose(banded.weights, plain.weights, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(banded.penalties, np.tile(plain.penalties, (3, 1)), rtol=1e-3)


def test_ridge_is_himalayas_own():
    X, Y = make(60, 40, WIDE, noise=2.0)
    alphas = [10.0, 100.0, 1000.0]
    config = RidgeConfig(alphas=alphas, n_folds=4, gap_trs=0, inner_folds="blocks")
    ours = fit(config, X, Y, WIDE)
    Z, mean = standardised(X).astype(np.float32), Y.mean(axis=0)
    witness = KernelRidgeCV(alphas=alphas, cv=4).fit(Z, Y - mean)
    np.testing.assert_allclose(ours.fitted.penalties[0], witness.best_alphas_, rtol=1e-4)
    np.testing.assert_allclose(ours.predict(X), witness.predict(Z) + mean, rtol=1e-3, atol=1e-3)


def test_banded_ridge_turns_off_the_band_without_signal():
    rng = np.random.default_rng(4)
    sizes = {"signal": 10, "noise": 150}
    X = rng.standard_normal((120, 160)).astype(np.float32)
    Y = X[:, :10] @ rng.standard_normal((10, 8)) + 1.5 * rng.standard_normal((120, 8))
    new = rng.standard_normal((400, 160)).astype(np.float32)
    truth = new[:, :10] @ np.linalg.lstsq(X[:, :10], Y, rcond=None)[0]
    banded = fit(BandedRidgeConfig(), X, Y, sizes)
    plain = fit(RidgeConfig(), X, Y, sizes)
    assert (banded.fitted.penalties[1] > 20 * banded.fitted.penalties[0]).all()
    error_banded = ((banded.predict(new) - truth) ** 2).mean()
    assert error_banded < 0.5 * ((plain.predict(new) - truth) ** 2).mean()


def test_state_gives_bit_equal_predictions():
    X, Y = make(64, 11)
    model = fit(BandedRidgeConfig(n_candidates=5), X, Y)
    state = model.state()
    assert all(values.dtype == np.float32 for values in state.values())
    again = BandedRidgeConfig().build(SPEC).from_state(state)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_seed_repeats_the_fit_and_another_draws_other_candidates():
    X, Y = make(64, 11)
    config = BandedRidgeConfig(n_candidates=6)
    one, same, other = (fit(config, X, Y, seed=seed).state() for seed in (1, 1, 2))
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one["penalties"], other["penalties"])


def test_batches_of_voxels_change_nothing():
    X, Y = make(50, 3000)
    whole = fit(RidgeConfig(batch_mb=1000), X, Y).fitted
    parts = fit(RidgeConfig(batch_mb=1), X, Y).fitted
    np.testing.assert_allclose(parts.penalties, whole.penalties, rtol=1e-6)
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-4, atol=1e-6)


def test_torch_backend_gives_the_same_and_is_put_back():
    X, Y = make(90, 20)
    here = fit(BandedRidgeConfig(n_candidates=6), X, Y).fitted
    torch = fit(BandedRidgeConfig(n_candidates=6, backend="torch"), X, Y).fitted
    np.testing.assert_allclose(torch.penalties, here.penalties, rtol=1e-3)
    assert get_backend().name == "numpy"
    with pytest.raises(RuntimeError, match="broken"), himalaya_backend("torch"):
        raise RuntimeError("broken")
    assert get_backend().name == "numpy"


def test_moments_come_from_training_rows_and_constant_columns_count_for_nothing():
    X, Y = make(64, 4)
    X[:, 2] = 7.1
    Y[:, 1] = 3.0
    model = fit(RidgeConfig(), X, Y)
    np.testing.assert_allclose(model.fitted.feature_mean, X.mean(axis=0, dtype=float), rtol=1e-5)
    assert model.fitted.feature_scale[2] == 0
    moved = X.copy()
    moved[:, 2] = 1e6
    np.testing.assert_array_equal(model.predict(moved), model.predict(X))
    np.testing.assert_array_equal(model.predict(X)[:, 1], np.full(64, 3.0, np.float32))
    assert model.fitted.inner_r2[1] == 0


def test_shares_are_on_the_simplex_and_begin_equal():
    shares = band_shares(4, 50, np.random.default_rng(0))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[0], 0.25)
    assert shares.min() > 0
    assert (shares.max(axis=1) > 0.95).any(), "sparse candidates are drawn too"
    np.testing.assert_array_equal(band_shares(1, 50, np.random.default_rng(0)), [[1.0]])


def test_errors_say_what_and_where():
    X, Y = make(40, 3)
    with pytest.raises(ShapeError, match="features has 19 along axis D"):
        fit(RidgeConfig(), X[:, :-1], Y)
    with pytest.raises(ShapeError, match="targets has 39 along axis T"):
        fit(RidgeConfig(), X, Y[:-1])
    broken = Y.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match=r"targets hold NaN .* first in column 1"):
        fit(RidgeConfig(), X, broken)
    with pytest.raises(DataError, match="not fitted"):
        RidgeConfig().build(SPEC).predict(X)
    with pytest.raises(DataError, match="needs stimulus features"):
        RidgeConfig().build(DataSpec())
    state = fit(RidgeConfig(), X, Y).state()
    del state["weights"]
    with pytest.raises(CheckpointError, match="lack 'weights'"):
        RidgeConfig().build(SPEC).from_state(state)
    with pytest.raises(ConfigError, match="alphas"):
        RidgeConfig.parse({"alphas": [-1.0]})
