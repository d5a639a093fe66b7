import numpy as np
import pytest
from nilearn.glm.first_level.design_matrix import create_cosine_drift
from nilearn.signal import clean as nilearn_clean
from pydantic import ValidationError

from brainreel.errors import DataError, ShapeError
from brainreel.fmri.normalize import (
    CleanConfig,
    Moments,
    clean,
    cosine_drifts,
    zscore_global,
    zscore_voxelwise,
)


@pytest.fixture
def runs() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    level = rng.uniform(1e3, 1e5, 7)
    made = [rng.normal(level, 5, (n, 7)).astype(np.float32) for n in (300, 11, 517)]
    for run in made:
        run[:, 3] = 0.1
    return made


def test_moments_equal_numpy_over_all_runs(runs):
    moments, joined = Moments.of(runs), np.concatenate(runs).astype(np.float64)
    assert moments.n == 828
    np.testing.assert_allclose(moments.mean, joined.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(np.delete(moments.std, 3), np.delete(joined.std(axis=0), 3))
    assert moments.std[3] == 0
    assert moments.global_mean == pytest.approx(joined.mean(), rel=1e-12)
    assert moments.global_std == pytest.approx(joined.std(), rel=1e-9)


def test_moments_merge_as_if_seen_at_once(runs):
    merged = Moments.of(runs[:1]).merge(Moments.of(runs[1:]))
    np.testing.assert_allclose(merged.mean, Moments.of(runs).mean, rtol=1e-13)
    np.testing.assert_allclose(merged.std, Moments.of(runs).std, rtol=1e-10, atol=1e-9)


def test_moments_of_nothing_or_of_other_voxels(runs):
    with pytest.raises(DataError, match="at least one training run"):
        Moments.of([])
    with pytest.raises(ShapeError, match="along axis V"):
        Moments.of([runs[0], runs[1][:, :5]])


def test_voxelwise_zscore(runs):
    scaled = zscore_voxelwise(np.concatenate(runs), Moments.of(runs))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=0, dtype=np.float64), 0, atol=1e-4)
    np.testing.assert_allclose(np.delete(scaled.std(axis=0), 3), 1, rtol=1e-4)
    assert not scaled[:, 3].any()


def test_global_zscore_keeps_differences_between_voxels(runs):
    moments, joined = Moments.of(runs), np.concatenate(runs).astype(np.float64)
    scaled = zscore_global(np.concatenate(runs), moments)
    expected = (joined - joined.mean()) / joined.std()
    np.testing.assert_allclose(np.delete(scaled, 3, 1), np.delete(expected, 3, 1), atol=1e-5)
    assert not scaled[:, 3].any()
    with pytest.raises(ShapeError, match="along axis V"):
        zscore_global(joined[:, :2], moments)


@pytest.mark.parametrize(("n_trs", "tr_s", "high_pass_hz"), [(200, 1.5, 1 / 128), (97, 0.8, 0.02)])
def test_cosines_equal_nilearn(n_trs, tr_s, high_pass_hz):
    expected = create_cosine_drift(high_pass_hz, np.arange(n_trs) * tr_s)[:, :-1]
    np.testing.assert_allclose(cosine_drifts(n_trs, tr_s, high_pass_hz), expected, atol=1e-12)


def test_a_short_run_has_no_slow_cosines():
    assert cosine_drifts(20, 2.0, 1 / 128).shape == (20, 0)


@pytest.mark.parametrize("detrend", [True, False])
@pytest.mark.parametrize("with_confounds", [True, False])
@pytest.mark.parametrize(
    ("kind", "low_pass_hz"), [("cosine", None), ("butterworth", None), ("butterworth", 0.1)]
)
def test_clean_equals_nilearn(kind, low_pass_hz, with_confounds, detrend):
    rng = np.random.default_rng(3)
    data = 1000 + np.cumsum(rng.normal(size=(180, 9)), axis=0)
    confounds = rng.normal(3, 2, size=(180, 5)) if with_confounds else None
    config = CleanConfig(filter=kind, low_pass_hz=low_pass_hz, detrend=detrend)
    expected = nilearn_clean(
        data,
        detrend=detrend,
        standardize=None,
        confounds=confounds,
        filter=kind,
        high_pass=1 / 128,
        low_pass=low_pass_hz,
        t_r=1.5,
    )
    cleaned = clean(data, 1.5, config, confounds)
    np.testing.assert_allclose(cleaned, expected, atol=1e-4)
    assert np.abs(data - expected).max() > 1


def test_clean_is_linear_and_in_pieces_what_it_is_at_once(monkeypatch):
    rng = np.random.default_rng(4)
    one, two, confounds = rng.normal(size=(3, 90, 6))
    config = CleanConfig()
    together = clean(2 * one - 3 * two, 2.0, config, confounds)
    apart = 2 * clean(one, 2.0, config, confounds) - 3 * clean(two, 2.0, config, confounds)
    np.testing.assert_allclose(together, apart, atol=1e-5)
    monkeypatch.setattr("brainreel.fmri.normalize._COLUMNS_AT_ONCE", 4)
    np.testing.assert_allclose(
        clean(one, 2.0, config, confounds), clean(one, 2.0, CleanConfig(), confounds), atol=1e-6
    )


def test_confounds_that_say_the_same_count_once():
    rng = np.random.default_rng(5)
    data, confounds = rng.normal(size=(60, 4)), rng.normal(size=(60, 3))
    line = np.linspace(0, 1, 60)[:, None]
    twice = np.hstack([confounds, confounds * 1e4, confounds[:, :1] + line, line, 1 + 0 * line])
    config = CleanConfig(high_pass_hz=None)
    np.testing.assert_allclose(
        clean(data, 1, config, twice), clean(data, 1, config, confounds), atol=1e-5
    )


def test_a_confound_like_a_cosine_does_not_switch_the_filter_off():
    data = cosine_drifts(200, 1.5, 1 / 128) * 100
    like_the_first = data[:, :1] + np.random.default_rng(6).normal(0, 0.5, (200, 1))
    cleaned = clean(data, 1.5, CleanConfig(), like_the_first)
    np.testing.assert_allclose(cleaned, 0, atol=1e-4)


def test_nothing_to_remove_changes_nothing():
    data = np.random.default_rng(7).normal(size=(30, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        clean(data, 1, CleanConfig(detrend=False, high_pass_hz=None)), data
    )


def test_more_confounds_than_volumes():
    rng = np.random.default_rng(8)
    with pytest.raises(DataError, match="sub-01: 29 confounds and drifts leave nothing of 30"):
        clean(
            rng.normal(size=(30, 2)),
            1,
            CleanConfig(detrend=False),
            rng.normal(size=(30, 40)),
            where="sub-01",
        )


def test_a_run_too_short_to_filter():
    config = CleanConfig(filter="butterworth")
    with pytest.raises(DataError, match=r"sub-01: cannot be filtered \(The length"):
        clean(np.random.default_rng(9).normal(size=(9, 2)), 1, config, where="sub-01")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"low_pass_hz": 0.1}, "low_pass_hz needs filter: butterworth"),
        ({"low_pass_hz": 0.01, "high_pass_hz": 0.1, "filter": "butterworth"}, "must lie below"),
    ],
)
def test_filters_that_contradict(options, match):
    with pytest.raises(ValidationError, match=match):
        CleanConfig(**options)
