from __future__ import annotations

import numpy as np
import pytest

from brainreel.data.volume_moments import VolumeMoments
from brainreel.data.volume_views import VolumeViews
from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.normalize import zscore_voxelwise


def half_mask() -> VoxelMask:
    inside = np.zeros((3, 4, 5), bool)
    inside[1:, :3, 2:] = True
    return VoxelMask(inside, np.eye(4))


def run(n_trs: int, mask: VoxelMask) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(100, 5, (n_trs, mask.n_voxels)).astype(np.float32)


def test_both_views_equal_the_formulas_volume_by_volume() -> None:
    mask = half_mask()
    data = run(7, mask)
    data[:, 2] = 80.0
    views = VolumeViews.of(data, mask)(data)
    assert views.shape == (7, 2, 3, 4, 5)
    assert views.dtype == np.float32
    whole = mask.unmask(data.astype(np.float64), fill=np.nan)
    mean, std = np.nanmean(whole), np.nanstd(whole, ddof=1)
    expected = np.where(mask.inside, (whole - mean) / std, (0 - mean) / std)
    np.testing.assert_allclose(views[:, 0], expected, rtol=1e-4, atol=1e-5)
    own = np.zeros_like(whole)
    for x, y, z in zip(*np.nonzero(mask.inside), strict=True):
        series = whole[:, x, y, z]
        if series.std() > 0:
            own[:, x, y, z] = (series - series.mean()) / series.std(ddof=1)
    np.testing.assert_allclose(views[:, 1], own, rtol=1e-4, atol=1e-4)
    assert (views[:, 1, *np.argwhere(mask.inside)[2]] == 0).all()


def test_moments_of_other_runs_are_used_as_they_are() -> None:
    mask = half_mask()
    seen, new = run(9, mask), run(4, mask) + 3
    views = VolumeViews(VolumeMoments.of(seen), mask)(new)
    assert views[:, 1][:, mask.inside].mean() > 0.3
    assert views[0, 0, 0, 0, 0] == pytest.approx(-seen.mean() / seen.std(), rel=1e-2)


def test_outside_is_as_dark_as_the_darkest_voxel_of_signed_data() -> None:
    mask = half_mask()
    data = run(5, mask) - 100
    views = VolumeViews.of(data, mask)(data)
    assert (views[:, 0][:, ~mask.inside] == views[:, 0].min()).all()


def test_data_without_any_spread_is_refused() -> None:
    mask = half_mask()
    with pytest.raises(DataError, match="one and the same value"):
        VolumeViews.of(np.ones((3, mask.n_voxels), np.float32), mask)
    with pytest.raises(DataError, match="moments of one volume have no deviation"):
        VolumeViews.of(run(1, mask), mask)


def test_cleaned_signal_with_its_level_gives_the_views_of_the_volumes_that_were_seen() -> None:
    mask = half_mask()
    seen = run(8, mask).astype(np.float64)
    level = seen.mean(axis=0)
    cleaned = (seen - level).astype(np.float32)
    views = VolumeViews(VolumeMoments.of(cleaned, level), mask, level)
    np.testing.assert_allclose(views(cleaned), VolumeViews.of(seen, mask)(seen), atol=2e-5)
    without = VolumeViews(VolumeMoments.of(cleaned), mask)(cleaned)
    np.testing.assert_allclose(without[:, 1], views(cleaned)[:, 1], atol=1e-5)
    assert np.abs(without[:, 0] - views(cleaned)[:, 0]).max() > 0.5


def test_a_volume_goes_back_to_the_z_scores_that_measured_signal_has() -> None:
    mask = half_mask()
    level = np.random.default_rng(1).uniform(80, 120, mask.n_voxels)
    cleaned = run(9, mask) - 100
    cleaned[:, 4] = 0
    moments = VolumeMoments.of(cleaned[:6], level)
    views = VolumeViews(moments, mask, level)
    scores = views.scores(views(cleaned)[:, 0])
    expected = zscore_voxelwise(cleaned, moments.voxelwise)
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert not scores[:, 4].any()
    # One unit of view 0 is a spread of s in the signal, s / s_v in z.
    spreads = views.spreads(np.ones((2, *mask.grid)))
    stepped = views.scores(views(cleaned)[:2, 0] + 1)
    np.testing.assert_allclose(spreads, stepped - scores[:2], rtol=1e-4, atol=1e-4)


def test_a_level_of_other_voxels_is_refused() -> None:
    mask = half_mask()
    with pytest.raises(DataError, match="level has 3 along axis V"):
        VolumeViews(VolumeMoments.of(run(4, mask)), mask, np.zeros(3))
