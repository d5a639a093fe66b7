"""Slices of a brain: which voxel each picture element is, however the volume is stored."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from brainreel.fmri.bold import VoxelMask
from brainreel.report.slices import OUTSIDE, axial_slices, sliced, three_slices

SIZES_MM = (2.0, 2.0, 4.0)


def placed_mask() -> VoxelMask:
    inside = np.random.default_rng(0).random((7, 8, 5)) < 0.7
    inside[3, 4, 2] = True
    affine = np.diag([*SIZES_MM, 1.0])
    affine[:3, 3] = (-6, -10, 0)
    return VoxelMask(inside, affine)


def places(mask: VoxelMask) -> np.ndarray:
    """(V, 3) millimetres of every voxel."""
    return np.argwhere(mask.inside) @ mask.affine[:3, :3].T + mask.affine[:3, 3]


def turned(mask: VoxelMask, codes: str) -> VoxelMask:
    """The same brain, its axes stored in another order and direction."""
    image = nib.Nifti1Image(mask.inside.astype(np.uint8), mask.affine)
    want = nib.orientations.axcodes2ornt(tuple(codes))
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(mask.affine), want)
    image = image.as_reoriented(turn)
    return VoxelMask(np.asarray(image.dataobj) > 0, image.affine)


def column_at(mask: VoxelMask, place: np.ndarray) -> int:
    return int(np.argmin(((places(mask) - place) ** 2).sum(axis=1)))


def test_three_slices_go_through_the_voxel_and_lie_as_a_head_does() -> None:
    mask = placed_mask()
    where = places(mask)
    at = np.array([0.0, -2.0, 8.0])
    picture = three_slices(mask, column_at(mask, at))
    # 5 slices of 4 mm are 10 elements of 2 mm; the axial slice has 8.
    assert picture.shape == (10, 8 + 2 + 7 + 2 + 7)
    sides = (picture[:, :8], picture[:, 10:17], picture[:, 19:])
    for side, (fixed, across, up) in zip(sides, ((0, 1, 2), (1, 0, 2), (2, 0, 1)), strict=True):
        rows, columns = np.nonzero(side != OUTSIDE)
        found = where[side[rows, columns]]
        assert set(found[:, fixed]) == {at[fixed]}
        starts = where.min(axis=0)
        assert found[:, across] == pytest.approx(starts[across] + 2 * columns)
        height = 8 if up == 1 else 10
        from_below = (height - 1 + (10 - height) // 2 - rows) * 2
        level = from_below // SIZES_MM[up] * SIZES_MM[up]
        assert found[:, up] == pytest.approx(starts[up] + level)
        # Every voxel of the plane is there, as many times as it is long.
        wanted = {i for i, place in enumerate(where) if place[fixed] == at[fixed]}
        assert set(side[side != OUTSIDE]) == wanted
    assert (picture[:, 8:10] == OUTSIDE).all()


@pytest.mark.parametrize("codes", ["LAS", "PSR", "IRA"])
def test_the_picture_does_not_depend_on_how_the_volume_is_stored(codes: str) -> None:
    mask, at = placed_mask(), np.array([0.0, -2.0, 8.0])
    other = turned(mask, codes)
    one, two = places(mask), places(other)
    for cut in (three_slices(mask, column_at(mask, at)), axial_slices(mask, 4)):
        again = (
            three_slices(other, column_at(other, at))
            if cut.shape[1] == 26
            else axial_slices(other, 4)
        )
        assert np.array_equal(cut == OUTSIDE, again == OUTSIDE)
        shown = cut != OUTSIDE
        assert one[cut[shown]] == pytest.approx(two[again[shown]])


def test_axial_slices_come_evenly_from_below() -> None:
    mask = placed_mask()
    picture = axial_slices(mask, 3)
    levels = [
        set(places(mask)[part[part != OUTSIDE], 2])
        for part in (picture[:, :7], picture[:, 9:16], picture[:, 18:])
    ]
    assert levels == [{4.0}, {8.0}, {12.0}]
    assert axial_slices(mask, 40).shape == (8, 5 * 7 + 4 * 2)


def test_values_stand_where_their_voxels_are() -> None:
    mask = placed_mask()
    columns = axial_slices(mask, 2)
    values = np.random.default_rng(1).random((3, mask.n_voxels))
    found = sliced(values, columns)
    assert found.shape == (3, *columns.shape)
    for (row, column), voxel in np.ndenumerate(columns):
        if voxel == OUTSIDE:
            assert np.isnan(found[:, row, column]).all()
        else:
            assert found[:, row, column] == pytest.approx(values[:, voxel], rel=1e-6)


def test_one_voxel_is_a_picture() -> None:
    inside = np.zeros((4, 4, 4), bool)
    inside[1, 2, 3] = True
    mask = VoxelMask(inside, np.eye(4))
    assert three_slices(mask, 0).tolist() == [[0, -1, -1, 0, -1, -1, 0]]
    assert axial_slices(mask, 5).tolist() == [[0]]
