import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.maskers import NiftiLabelsMasker

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.rois import (
    average_rois,
    read_region_names,
    regions_from_atlas,
    regions_from_masks,
)

from .conftest import AFFINE, GRID, bold_array, mask_array, save, write_table


@pytest.fixture
def mask() -> VoxelMask:
    return VoxelMask(mask_array(), AFFINE)


@pytest.fixture
def labels() -> np.ndarray:
    values = np.zeros(GRID, np.int16)
    values[:3], values[3:] = 7, 2
    values[0] = 5  # outside the mask altogether
    return values


def test_region_means_equal_nilearn(tmp_path, mask, labels, bold_file, mask_file):
    atlas = save(tmp_path / "atlas.nii.gz", labels)
    regions = regions_from_atlas(atlas, mask, {2: "front", 7: "back", 5: "edge"})
    assert list(regions) == ["front", "back"]
    means, names = average_rois(bold_array()[mask.inside].T, regions)
    inside = nib.Nifti1Image(np.where(mask.inside, labels, 0).astype(np.int16), AFFINE)
    masker = NiftiLabelsMasker(inside, standardize=None).fit()
    np.testing.assert_allclose(means, masker.transform(str(bold_file)), rtol=1e-6)
    assert names == ("front", "back")


def test_atlas_on_a_finer_grid_is_brought_over(tmp_path, mask, labels):
    finer = np.kron(labels, np.ones((2, 2, 2), np.int16))
    affine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] += AFFINE[:3, :3] @ [-0.25, -0.25, -0.25]
    nib.save(nib.Nifti1Image(finer, affine), tmp_path / "finer.nii.gz")
    moved = regions_from_atlas(tmp_path / "finer.nii.gz", mask)
    direct = regions_from_atlas(save(tmp_path / "same.nii.gz", labels), mask)
    assert list(direct) == ["2", "7"]
    assert list(moved) == ["2", "7"]
    for name in direct:
        np.testing.assert_array_equal(moved[name], direct[name])


def test_names_from_a_table(tmp_path):
    table = write_table(
        tmp_path / "dseg.tsv", pd.DataFrame({"index": [1, 2], "name": ["V1", "A1"]})
    )
    assert read_region_names(table) == {1: "V1", 2: "A1"}
    wrong = write_table(tmp_path / "wrong.tsv", pd.DataFrame({"id": [1]}))
    with pytest.raises(DataError, match="columns id; it needs 'index' and 'name'"):
        read_region_names(wrong)


def test_mask_images_as_regions(tmp_path, mask):
    half = mask_array()
    half[2:] = False
    path = save(tmp_path / "half.nii.gz", half.astype(np.uint8))
    regions = regions_from_masks({"half": path}, mask)
    np.testing.assert_array_equal(regions["half"], half[mask.inside])
    outside = save(tmp_path / "out.nii.gz", (~mask_array()).astype(np.uint8))
    with pytest.raises(DataError, match="region 'far' has no voxel in the mask"):
        regions_from_masks({"far": outside}, mask)
    small = save(tmp_path / "small.nii.gz", np.ones((2, 2, 2), np.uint8))
    with pytest.raises(DataError, match=r"another grid \(2, 2, 2\) than the mask \(5, 6, 4\)"):
        regions_from_masks({"small": small}, mask)


def test_atlases_that_cannot_be_used(tmp_path, mask, labels):
    soft = save(tmp_path / "soft.nii.gz", labels * np.float32(0.3))
    with pytest.raises(DataError, match="holds fractions"):
        regions_from_atlas(soft, mask)
    deep = save(tmp_path / "deep.nii.gz", labels[..., None].repeat(2, 3))
    with pytest.raises(DataError, match="this image is 4-D"):
        regions_from_atlas(deep, mask)
    with pytest.raises(DataError, match="no region has a voxel in the mask"):
        regions_from_atlas(save(tmp_path / "a.nii.gz", labels), mask, {5: "edge"})


def test_an_empty_region_has_no_mean(mask):
    with pytest.raises(DataError, match="region 'none' has no voxel"):
        average_rois(np.zeros((3, 24)), {"none": np.zeros(24, bool)})
