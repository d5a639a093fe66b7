import numpy as np
import pytest

from brainreel.simulate.nuisance import MOTION_NAMES, Nuisance, confounds_table, draw_nuisance

N_TRS, TR_S = 160, 1.5


@pytest.fixture
def nuisance() -> Nuisance:
    rng = np.random.default_rng(0)
    return draw_nuisance(N_TRS, TR_S, np.full(200, 5.0), drift=1.0, motion=0.5, rng=rng)


def test_cleaning_takes_drift_and_motion_away_whole(nuisance: Nuisance) -> None:
    # The regressors of a 128 s high-pass, the mean, and six motion parameters.
    order = np.arange(int(2 * N_TRS * TR_S / 128) + 1)
    cosines = np.cos(np.pi * (np.arange(N_TRS)[:, None] + 0.5) * order / N_TRS)
    basis = np.linalg.qr(np.concatenate([cosines, nuisance.motion], axis=1))[0]
    left = nuisance.signal - basis @ (basis.T @ nuisance.signal)
    assert np.abs(left).max() < 1e-9
    assert nuisance.signal.std() > 3


def test_sizes_are_in_units_of_the_noise(nuisance: Nuisance) -> None:
    moved, slow = (
        (nuisance.design[:, part] @ nuisance.weights[part]).std()
        for part in (slice(0, 6), slice(6, None))
    )
    assert moved == pytest.approx(0.5 * 5, rel=0.15)
    assert slow == pytest.approx(1.0 * 5, rel=0.15)


def test_a_short_run_has_no_drift() -> None:
    rng = np.random.default_rng(1)
    short = draw_nuisance(20, 1.5, np.ones(4), drift=1.0, motion=0.5, rng=rng)
    assert short.design.shape == (20, 6)


def test_confounds_have_the_columns_of_fmriprep(nuisance: Nuisance) -> None:
    rng = np.random.default_rng(2)
    bold = 1000 + rng.standard_normal((N_TRS, 30))
    inner = np.arange(30) < 20
    table, sidecar = confounds_table(nuisance, bold.mean(axis=1), bold[:, inner])
    for number, name in enumerate(MOTION_NAMES):
        moved = nuisance.motion[:, number]
        np.testing.assert_array_equal(table[name], moved)
        np.testing.assert_allclose(table[f"{name}_derivative1"][1:], np.diff(moved))
        np.testing.assert_allclose(table[f"{name}_derivative1_power2"][1:], np.diff(moved) ** 2)
        np.testing.assert_allclose(table[f"{name}_power2"], moved**2)
    assert np.isnan(table["framewise_displacement"][0])
    jump = np.abs(np.diff(nuisance.motion, axis=0))[3]
    by_hand = jump[:3].sum() + 50 * jump[3:].sum()
    assert table["framewise_displacement"][4] == pytest.approx(by_hand)
    np.testing.assert_allclose(table["global_signal"], bold.mean(axis=1))
    components = table[[f"a_comp_cor_{n:02d}" for n in range(5)]].to_numpy()
    np.testing.assert_allclose(components.T @ components, np.eye(5), atol=1e-9)
    assert set(sidecar) == {f"a_comp_cor_{n:02d}" for n in range(5)}
