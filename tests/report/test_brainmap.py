from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_fsaverage

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.report.brainmap import (
    glass_brain,
    in_mni,
    save_map,
    surface_figure,
    surface_values,
    volume_image,
)
from brainreel.report.mapviews import make_brain_views, slices_figure
from brainreel.report.runs import Maps


@pytest.fixture
def mask(ridge_run: Path) -> VoxelMask:
    image = nib.load(ridge_run / "predictions" / "mask.nii.gz")
    return VoxelMask(image.get_fdata() > 0, image.affine)


def test_a_saved_map_holds_each_value_at_its_voxel(mask: VoxelMask, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=mask.n_voxels)
    image = nib.load(save_map(tmp_path / "r.nii.gz", values, mask))
    volume = image.get_fdata()
    np.testing.assert_array_equal(image.affine, mask.affine)
    for value, (x, y, z) in zip(values, np.argwhere(mask.inside), strict=True):
        assert volume[x, y, z] == np.float32(value)
    assert np.isnan(volume[~mask.inside]).all()


def test_a_map_that_is_no_volume_is_refused(mask: VoxelMask, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"r\.png: a map is a NIfTI volume"):
        save_map(tmp_path / "r.png", np.zeros(mask.n_voxels), mask)
    with pytest.raises(DataError, match="values have 3 voxels"):
        save_map(tmp_path / "r.nii", np.zeros(3), mask)
    assert list(tmp_path.iterdir()) == []


def test_undefined_voxels_are_filled_in_images(mask: VoxelMask) -> None:
    values = np.ones(mask.n_voxels)
    values[3] = np.nan
    volume = volume_image(values, mask).get_fdata()
    assert np.isfinite(volume).all()
    assert volume.sum() == mask.n_voxels - 1


def test_an_outline_drawn_on_trust_is_said_to_be(ridge_run: Path, mask: VoxelMask) -> None:
    file = ridge_run / "predictions" / "mask.nii.gz"
    r = np.full(mask.n_voxels, 0.5)
    told = {
        space: make_brain_views([Maps("", "sub-01", r, mask=file, space=space)], "p", 1.0)[1]
        for space in ("", "MNI152NLin6Asym", "T1w")
    }
    assert "space of the images is not named" in told[""]
    assert "not named" not in told["MNI152NLin6Asym"] + told["T1w"]
    assert "no outline of a brain" in told["T1w"]


def test_mni_is_told_by_name_or_by_place(mask: VoxelMask) -> None:
    assert in_mni(mask)
    assert in_mni(VoxelMask(mask.inside, np.eye(4), "MNI152NLin2009cAsym"))
    assert not in_mni(VoxelMask(mask.inside, mask.affine, "T1w"))
    assert not in_mni(VoxelMask(mask.inside, np.eye(4)))
    far = mask.affine.copy()
    far[1, 3] += 100
    assert not in_mni(VoxelMask(mask.inside, far))


def test_a_glass_brain_shows_the_largest_value_of_each_line(mask: VoxelMask) -> None:
    places = np.argwhere(mask.inside)
    values = np.zeros(mask.n_voxels)
    middle = places.mean(axis=0)
    centre = int(np.argmin(((places - middle) ** 2).sum(axis=1)))
    values[centre], values[0], values[1] = 0.7, -0.9, np.nan
    figure = glass_brain(values, mask, "yx", vmax=1.0, size_px=(300, 100))
    drawn = [np.ma.filled(i.get_array(), 0.0) for axes in figure.axes for i in axes.images]
    assert len(drawn) == 2
    for projection in drawn:
        assert projection.max() == pytest.approx(0.7, abs=1e-6)
        assert projection.min() >= 0


def test_sides_are_lettered_where_both_are_seen(mask: VoxelMask) -> None:
    figure = glass_brain(np.ones(mask.n_voxels), mask, "lyr", vmax=1.0, size_px=(300, 100))
    words = [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]
    assert sorted(words) == ["L", "R", "left", "right"]


def test_outside_mni_the_grid_is_projected(mask: VoxelMask) -> None:
    own = VoxelMask(mask.inside, mask.affine, "T1w")
    values = np.random.default_rng(1).uniform(0.1, 1, mask.n_voxels)
    figure = glass_brain(values, own, "lr", vmax=1.0, size_px=(300, 100))
    volume = mask.unmask(values)
    for axes, axis in zip(figure.axes, (0, 2), strict=True):
        shown = np.ma.filled(axes.images[0].get_array(), 0.0)
        np.testing.assert_allclose(shown, volume.max(axis=axis).T)


def test_a_vertex_takes_the_voxel_that_holds_it(mask: VoxelMask) -> None:
    values = np.random.default_rng(2).normal(size=mask.n_voxels)
    found = surface_values(values, mask)
    assert found is not None
    order = {tuple(place): i for i, place in enumerate(np.argwhere(mask.inside))}
    mesh = load_fsaverage("fsaverage5")
    for side in ("left", "right"):
        for vertex in range(0, 10242, 97):
            ends = [mesh[kind].parts[side].coordinates[vertex] for kind in ("white_matter", "pial")]
            offset = (ends[0] + ends[1]) / 2 - mask.affine[:3, 3]
            at = order.get(tuple(round(x) for x in offset / np.diag(mask.affine)[:3]))
            expected = np.nan if at is None else values[at]
            np.testing.assert_equal(found[side][vertex], expected)


def test_a_surface_with_little_on_it_is_left_out(mask: VoxelMask) -> None:
    few = np.zeros_like(mask.inside)
    few[tuple(np.argwhere(mask.inside)[:40].T)] = True
    assert surface_values(np.ones(40), VoxelMask(few, mask.affine)) is None
    own = VoxelMask(mask.inside, mask.affine, "T1w")
    assert surface_values(np.ones(mask.n_voxels), own) is None


def test_a_surface_is_drawn_from_outside_and_inside(mask: VoxelMask) -> None:
    found = surface_values(np.ones(mask.n_voxels), mask)
    assert found is not None
    figure = surface_figure(found["left"], "left", vmax=1.0, size_px=(300, 100))
    assert len(figure.axes) == 2
    assert all(part.get_rasterized() for axes in figure.axes for part in axes.collections)
    assert figure.axes[0].azim != figure.axes[1].azim


def test_the_predicted_deviation_is_drawn_in_slices(tmp_path: Path) -> None:
    inside = np.random.default_rng(0).random((6, 7, 5)) < 0.6
    affine = np.diag([3.0, 3, 3, 1])
    file = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), affine), file)
    place = VoxelMask(inside, affine)
    rng = np.random.default_rng(1)
    r = rng.uniform(0, 1, place.n_voxels)
    spreads = [rng.uniform(0.5, 1.5, place.n_voxels) for _ in range(2)]
    people = [
        Maps("", f"sub-0{i}", r, mask=file, space="T1w", spread=spread)
        for i, spread in enumerate(spreads)
    ]
    views, caption, _ = make_brain_views(people, "p", 1.0)
    view = views[-1]
    mean = np.mean(spreads, axis=0)
    assert view.title == "Predicted deviation, mean over 2 people"
    ends = [f"{end:.3f}" for end in np.percentile(mean, [2, 98])]
    assert [view.key_start, view.key_end] == [ends[0], f"{ends[1]} SD"]
    assert "The predicted deviation is the mean over the test" in caption
    (axes,) = slices_figure(mean, place, 0.5, 1.5).axes
    shown = axes.images[0].get_array()
    assert axes.images[0].get_clim() == (0.5, 1.5)
    volume = np.full(inside.shape, np.nan)
    volume[inside] = mean
    found = np.ma.filled(shown, np.nan)
    for level in range(5):
        # Two clear columns lie between slices of six.
        part = found[:, 8 * level : 8 * level + 6]
        for x in range(6):
            for y in range(7):
                assert part[6 - y, x] == pytest.approx(volume[x, y, level], nan_ok=True)
    without = [replace(people[0], spread=None), people[1]]
    assert len(make_brain_views(without, "p", 1.0)[0]) == len(views) - 1
