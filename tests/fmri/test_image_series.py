"""4-D images written volume by volume, against nibabel."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.derivatives import PredictedNames, task_of_film
from brainreel.fmri.image_series import ImageSeries
from brainreel.fmri.images import open_bold_image, save_volume


@pytest.fixture
def mask() -> VoxelMask:
    rng = np.random.default_rng(0)
    inside = rng.random((4, 5, 3)) > 0.5
    affine = np.array([[0, -3.0, 0, 9], [2.5, 0, 0, -4], [0, 0, 2, 1], [0, 0, 0, 1]])
    return VoxelMask(inside, affine)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_it_is_what_nibabel_writes_at_once(tmp_path: Path, mask: VoxelMask, name: str) -> None:
    values = np.random.default_rng(1).normal(size=(7, mask.n_voxels)).astype(np.float32)
    with ImageSeries(tmp_path / name, mask, 7, "0.608") as series:
        for start in (0, 3, 4):
            series.write(values[start : {0: 3, 3: 4, 4: 7}[start]])
    whole = nib.load(save_volume(tmp_path / f"whole_{name}", values, mask, "0.608"))
    found = nib.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(whole.dataobj))
    np.testing.assert_array_equal(found.affine, whole.affine)
    assert found.header.binaryblock == whole.header.binaryblock
    assert open_bold_image(tmp_path / name).n_volumes == 7


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path, mask: VoxelMask) -> None:
    written = []
    for name in ("one.nii.gz", "two.nii.gz"):
        with ImageSeries(tmp_path / name, mask, 2, 1) as series:
            series.write(np.ones((2, mask.n_voxels)))
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_another_number_of_volumes_than_promised_is_refused(
    tmp_path: Path, mask: VoxelMask
) -> None:
    with (
        pytest.raises(DataError, match="1 volumes were written, its header promises 2"),
        ImageSeries(tmp_path / "a.nii", mask, 2, 1) as series,
    ):
        series.write(np.ones((1, mask.n_voxels)))


def test_more_volumes_than_nifti_holds_are_refused(tmp_path: Path, mask: VoxelMask) -> None:
    with pytest.raises(DataError, match="40000 volumes do not fit in a NIfTI file"):
        ImageSeries(tmp_path / "a.nii", mask, 40000, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("film", "task"),
    [
        ("task-cartoon.mp4", "cartoon"),
        ("new_film-1.mp4", "newfilm1"),
        ("電影.mp4", "film"),
        ("Bö-é (2).mp4", "Boe2"),
    ],
)
def test_a_film_names_its_task(film: str, task: str) -> None:
    assert task_of_film(Path(film)) == task


def test_names_are_those_of_bids() -> None:
    plain, spaced = PredictedNames("sub-30", "x"), PredictedNames("sub-30", "x", "MNI:res-2")
    assert plain.image("predicted").as_posix() == (
        "sub-30/func/sub-30_task-x_desc-predicted_bold.nii.gz"
    )
    assert spaced.sidecar("spread").name == "sub-30_task-x_space-MNI_res-2_desc-spread_bold.json"
