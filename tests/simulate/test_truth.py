from collections.abc import Callable

import numpy as np
import pytest

from brainreel.errors import DataError, ShapeError
from brainreel.simulate.subject import ar1_noise
from brainreel.simulate.truth import StudyTruth, exact_ceiling, read_truth

T, V, DRAWS = 120, 6, 600
Clean = Callable[[np.ndarray], np.ndarray]


def signal() -> np.ndarray:
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(T)[:, None] * rng.uniform(0.02, 0.5, V) + rng.uniform(0, 6, V))
    return waves * np.linspace(0.5, 2, V)


def projection() -> Clean:
    """Take out cosines and six regressors, as cleaning does."""
    rng = np.random.default_rng(1)
    cosines = np.cos(np.pi * (np.arange(T)[:, None] + 0.5) * np.arange(4) / T)
    basis = np.linalg.qr(np.concatenate([cosines, rng.standard_normal((T, 6))], axis=1))[0]
    return lambda values: values - basis @ (basis.T @ values)


def smoother() -> Clean:
    """Mix neighbouring volumes: linear, and no projection."""
    return lambda values: 0.5 * values[1:] + 0.3 * values[:-1]


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


@pytest.mark.parametrize("ar", [0.0, 0.45])
@pytest.mark.parametrize(
    "clean",
    [lambda x: x, projection(), smoother(), lambda x: projection()(x)[40:100]],
    ids=["raw", "projection", "smoother", "part"],
)
@pytest.mark.parametrize("disturbed", [False, True], ids=["quiet", "nuisance"])
def test_ceiling_is_the_mean_correlation_over_draws(
    ar: float, clean: Clean, disturbed: bool
) -> None:
    s, std = signal(), np.linspace(0.6, 1.4, V)
    added = 0.7 * np.cumsum(np.random.default_rng(2).standard_normal((T, V)), axis=0) / 5
    nuisance = added if disturbed else np.zeros((T, V))
    rng = np.random.default_rng(3)
    best = clean(s)
    drawn = [
        correlation(best, clean(s + nuisance + ar1_noise(T, std, ar, rng))) for _ in range(DRAWS)
    ]
    ceiling = exact_ceiling(s, std, ar, clean=clean, nuisance=nuisance if disturbed else None)
    error = np.std(drawn, axis=0) / np.sqrt(DRAWS)
    # A nuisance can turn a correlation below 0, where there is nothing to reach.
    found = np.maximum(np.mean(drawn, axis=0), 0)
    # Mean of a ratio against ratio of means: of the order of 1 / T.
    assert (np.abs(found - ceiling) <= 4 * error + 1 / T).all()


def test_no_prediction_beats_the_ceiling_in_expectation() -> None:
    s, std, clean = signal(), np.full(V, 0.8), projection()
    rng = np.random.default_rng(4)
    ceiling = exact_ceiling(s, std, 0.3, clean=clean)
    others = [clean(s), clean(s) + 0.3 * rng.standard_normal((T, V)), clean(np.roll(s, 2, axis=0))]
    for other in others:
        r = [correlation(other, clean(s + ar1_noise(T, std, 0.3, rng))) for _ in range(200)]
        assert (np.mean(r, axis=0) <= ceiling + 0.02).all()


def test_white_noise_has_a_closed_form() -> None:
    s, std = signal(), np.full(V, 0.7)
    power = ((s - s.mean(axis=0)) ** 2).sum(axis=0)
    expected = np.sqrt(power / (power + 0.49 * (T - 1)))
    np.testing.assert_allclose(exact_ceiling(s, std, 0.0), expected, rtol=1e-12)


def test_trace_equals_the_full_matrices() -> None:
    s, std, clean, ar = signal(), np.full(V, 0.7), projection(), 0.5
    centred = np.eye(T) - 1 / T
    P = centred @ clean(np.eye(T))
    sigma = ar ** np.abs(np.arange(T)[:, None] - np.arange(T))
    power = ((P @ s) ** 2).sum(axis=0)
    expected = np.sqrt(power / (power + 0.49 * np.trace(P @ sigma @ P.T)))
    np.testing.assert_allclose(exact_ceiling(s, std, ar, clean=clean), expected, rtol=1e-9)


def test_a_voxel_without_signal_has_no_ceiling() -> None:
    s = signal()
    s[:, 2] = 0
    found = exact_ceiling(s, np.full(V, 0.7), 0.2)
    assert found[2] == 0
    assert (np.delete(found, 2) > 0).all()


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="noise_std has 5 along axis V"):
        exact_ceiling(signal(), np.ones(5), 0.2)
    with pytest.raises(ShapeError, match="nuisance has 119 along axis T"):
        exact_ceiling(signal(), np.ones(V), 0.2, nuisance=np.zeros((119, V)))


def test_truth_of_a_run_is_read_back(study: StudyTruth) -> None:
    run = study.run("sub-02_task-film_run-1")
    n_trs, n_voxels = run.signal.shape
    assert run.nuisance.shape == (n_trs, n_voxels)
    assert run.noise_std.shape == run.regions.shape == (n_voxels,)
    assert 0 <= run.ar < 1
    np.testing.assert_array_equal(run.tuned, run.signal.std(axis=0) > 0)
    ceiling = run.ceiling()
    assert (ceiling[run.tuned] > 0.2).mean() > 0.9
    np.testing.assert_array_equal(ceiling[~run.tuned], 0)


def test_a_wrong_label_or_folder_is_named(study: StudyTruth) -> None:
    with pytest.raises(DataError, match=r"no truth of a run .* Did you mean 'sub-01_task-film_run"):
        read_truth(study.root, "sub-01_task-film_run-7")
    with pytest.raises(DataError, match="no simulated study"):
        read_truth(study.root / "stimuli", "sub-01_task-film_run-1")
