from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import pearsonr

from brainreel.errors import DataError
from brainreel.metrics.ceiling import (
    exact_ceiling_r,
    leave_one_out_ceiling,
    repeat_ceiling,
    share_of_ceiling,
    signal_and_noise_power,
    split_half_ceiling,
)
from brainreel.metrics.correlation import VOXEL_CHUNK, pearson_r

from .noise import ar1, haemodynamic


def _repeats(rng, n_repeats, n_rows, gain, maker=ar1):
    """Repeats of a signal of variance gain² in noise of variance 1, with their own baselines."""
    gain = np.asarray(gain)
    signal = haemodynamic(rng, n_rows, gain.size) * gain
    noise = np.stack([maker(rng, n_rows, gain.size) for _ in range(n_repeats)])
    return signal, signal + noise + 100 + rng.standard_normal((n_repeats, 1, gain.size))


@pytest.mark.parametrize("n_averaged", [1, 3])
@pytest.mark.parametrize("n_repeats", [2, 3, 5])
def test_both_estimators_meet_the_exact_ceiling(n_repeats, n_averaged):
    rng = np.random.default_rng([n_repeats, n_averaged])
    gain = np.repeat([0.5, 1.0, 2.0], 60)
    signal, repeats = _repeats(rng, n_repeats, 400, gain)
    exact = np.sqrt(gain**2 / (gain**2 + 1 / n_averaged))
    for ceiling in (
        split_half_ceiling(repeats, n_averaged=n_averaged),
        repeat_ceiling(repeats, n_averaged=n_averaged),
    ):
        found = ceiling.r.reshape(3, 60)
        expected = exact.reshape(3, 60)[:, 0]
        error = found.std(axis=1) / np.sqrt(60)
        # The root of a noisy reliability is a little low; by less than a hundredth here.
        assert np.all(np.abs(found.mean(axis=1) - expected) < 4 * error + 0.012)
        assert (ceiling.n_measurements, ceiling.n_averaged) == (n_repeats, n_averaged)
    fresh = signal + sum(ar1(rng, 400, gain.size) for _ in range(n_averaged)) / n_averaged
    reached = pearson_r(signal, fresh).reshape(3, 60).mean(axis=1)
    np.testing.assert_allclose(reached, exact.reshape(3, 60)[:, 0], atol=0.02)


@pytest.mark.parametrize("n_repeats", [2, 3, 4, 5])
def test_split_half_equals_a_loop_over_all_splits(rng, n_repeats):
    _, repeats = _repeats(rng, n_repeats, 80, np.full(3, 0.8))
    half = n_repeats // 2
    for v in range(3):
        found = []
        for first in combinations(range(n_repeats), half):
            for second in combinations(sorted(set(range(n_repeats)) - set(first)), half):
                a = np.mean([repeats[i, :, v] for i in first], axis=0)
                b = np.mean([repeats[i, :, v] for i in second], axis=0)
                found.append(pearsonr(a, b).statistic)
        r = np.mean(found)
        # Spearman-Brown down to a single repeat, from the reliability of `half` of them.
        single = r / (half - (half - 1) * r)
        assert split_half_ceiling(repeats).r[v] == pytest.approx(np.sqrt(single))
        two = 2 * r / (1 + r)
        doubled = split_half_ceiling(repeats, n_averaged=2 * half).r[v]
        assert doubled == pytest.approx(np.sqrt(two))


def test_many_repeats_are_split_at_random(rng):
    _, repeats = _repeats(rng, 10, 150, np.full(20, 1.0))
    assert split_half_ceiling(repeats, rng=rng).median().value == pytest.approx(0.707, abs=0.05)
    with pytest.raises(DataError, match="10 repeats can be halved in 126 ways"):
        split_half_ceiling(repeats)


def test_powers_equal_the_formula_in_a_loop_and_are_unbiased():
    rng = np.random.default_rng(0)
    gain = np.linspace(0, 1.5, 300)
    _, repeats = _repeats(rng, 3, 200, gain, maker=lambda g, n, v: g.standard_normal((n, v)))
    signal, noise = signal_and_noise_power(repeats)
    for v in (0, 150, 299):
        single = np.mean([np.var(repeat[:, v]) for repeat in repeats])
        expected = (3 * np.var(repeats[:, :, v].mean(axis=0)) - single) / 2
        assert signal[v] == pytest.approx(expected)
        assert noise[v] == pytest.approx(single - expected)
    nothing = [
        signal_and_noise_power(rng.standard_normal((3, 50, 200)))[0].mean() for _ in range(20)
    ]
    assert abs(np.mean(nothing)) < 4 * np.std(nothing) / np.sqrt(20)
    assert noise.mean() == pytest.approx(199 / 200, abs=0.02)


def test_ceilings_of_noise_are_near_nothing_and_never_nan(rng):
    noise = rng.standard_normal((4, 300, 50))
    for ceiling in (split_half_ceiling(noise), repeat_ceiling(noise)):
        assert np.isfinite(ceiling.r).all()
        assert ceiling.median().value < 0.25


def test_inter_subject_r_equals_a_loop(rng):
    people = haemodynamic(rng, 90, 4) + np.stack([ar1(rng, 90, 4) for _ in range(5)])
    people *= np.arange(1, 6)[:, None, None]
    ceiling = leave_one_out_ceiling(people)
    assert ceiling.estimator == "leave_one_out"
    for p in range(5):
        for v in range(4):
            others = [people[q, :, v] for q in range(5) if q != p]
            mean = np.mean([(o - o.mean()) / o.std() for o in others], axis=0)
            assert ceiling.r[p, v] == pytest.approx(pearsonr(people[p, :, v], mean).statistic)


def test_a_constant_person_is_nan_and_leaves_the_others_as_they_were(rng):
    people = haemodynamic(rng, 60, 3) + np.stack([ar1(rng, 60, 3) for _ in range(4)])
    with_dead = np.insert(people, 2, 7.3, axis=0)
    found = leave_one_out_ceiling(with_dead)
    assert np.isnan(found.r[2]).all()
    np.testing.assert_allclose(
        np.delete(found.r, 2, axis=0), leave_one_out_ceiling(people).r, rtol=1e-10
    )
    assert found.median().n_excluded == 3
    alone = leave_one_out_ceiling(np.stack([people[0], np.full((60, 3), 2.0)]))
    assert np.isnan(alone.r).all()


def test_many_voxels_are_worked_in_pieces(rng):
    n_voxels = VOXEL_CHUNK + 5
    repeats = rng.standard_normal((3, 8, n_voxels)).astype(np.float32)
    assert leave_one_out_ceiling(repeats).r.shape == (3, n_voxels)
    signal, _ = signal_and_noise_power(repeats)
    last, _ = signal_and_noise_power(repeats[:, :, -1:])
    assert signal[-1] == pytest.approx(last[0])


def test_voxels_that_do_not_vary_in_a_repeat_are_nan(rng):
    _, repeats = _repeats(rng, 4, 60, np.ones(3))
    repeats[1, :, 2] = 0.0
    for ceiling in (split_half_ceiling(repeats), repeat_ceiling(repeats)):
        np.testing.assert_array_equal(np.isnan(ceiling.r), [False, False, True])
        assert ceiling.median().n_excluded == 1


def test_exact_ceiling_by_hand():
    found = exact_ceiling_r(np.array([3.0, 0.0, -1.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, [np.sqrt(0.75), 0.0, 0.0, np.nan])


def test_share_is_given_only_above_the_floor():
    r = np.array([0.3, 0.3, np.nan, 0.5, 0.2])
    ceiling = np.array([0.6, 0.05, 0.6, 0.4, np.nan])
    np.testing.assert_allclose(share_of_ceiling(r, ceiling), [0.5, np.nan, np.nan, 1.25, np.nan])
    assert share_of_ceiling(r, ceiling, floor=0.01)[1] == pytest.approx(6.0)
    assert share_of_ceiling(np.ones((3, 5)), ceiling).shape == (3, 5)


def test_bad_input_is_named(rng):
    one = rng.standard_normal((1, 9, 2))
    with pytest.raises(DataError, match="at least 2 of them"):
        repeat_ceiling(one)
    with pytest.raises(DataError, match="at least 2 people"):
        leave_one_out_ceiling(one)
    with pytest.raises(DataError, match="average of 0 measurements"):
        split_half_ceiling(rng.standard_normal((2, 9, 2)), n_averaged=0)
    with pytest.raises(DataError, match="floor of 0 cannot be used"):
        share_of_ceiling(np.ones(2), np.ones(2), floor=0)
    broken = rng.standard_normal((3, 9, 2))
    broken[0, 0, 0] = np.inf
    with pytest.raises(DataError, match="people holds 1 NaN or infinite"):
        leave_one_out_ceiling(broken)
