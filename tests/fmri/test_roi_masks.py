"""Masks narrowed to regions: which columns, in which order, members of what."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brainreel.errors import DataError
from brainreel.fmri.bids import find_runs
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.prepare import PrepareConfig, prepare, read_run, read_store
from brainreel.fmri.roi_masks import RoiConfig, keep_rois
from brainreel.fmri.rois import read_region_names

from .conftest import AFFINE, GRID, mask_array, save, write_table


@pytest.fixture
def labels() -> np.ndarray:
    values = np.zeros(GRID, np.int16)
    values[1:3], values[3:] = 7, 2
    values[0] = 5  # outside the mask altogether
    return values


@pytest.fixture
def atlas(tmp_path, labels):
    table = pd.DataFrame({"index": [2, 5, 7], "name": ["front", "edge", "back"]})
    write_table(tmp_path / "own_dseg.tsv", table)
    return save(tmp_path / "own_dseg.nii.gz", labels)


@pytest.fixture
def mask() -> VoxelMask:
    return VoxelMask(mask_array(), AFFINE, "MNI152NLin2009cAsym:res-2")


def test_columns_are_in_order_and_members_of_their_regions(tmp_path, atlas, labels, mask):
    both = np.zeros(GRID, np.uint8)
    both[2:4, 2, 1] = 1
    path = save(tmp_path / "spot.nii.gz", both)
    rois = RoiConfig(atlas=atlas, masks={"spot": path}, take=("spot", "back"))
    narrow, regions = keep_rois(mask, rois, "01")
    voxels = [v for v in np.ndindex(*GRID) if mask_array()[v] and (both[v] or labels[v] == 7)]
    assert np.argwhere(narrow.inside).tolist() == [list(v) for v in voxels]
    assert list(regions) == ["spot", "back"]
    assert regions["spot"].tolist() == [bool(both[v]) for v in voxels]
    assert regions["back"].tolist() == [bool(labels[v] == 7) for v in voxels]
    assert (regions["spot"] & regions["back"]).sum() == 1  # one column, two regions
    assert narrow.space == mask.space
    assert keep_rois(mask, RoiConfig(), "01") == (mask, {})


def test_names_beside_the_atlas(tmp_path, atlas, mask):
    assert list(keep_rois(mask, RoiConfig(atlas=atlas), "01")[1]) == ["front", "back"]
    (tmp_path / "own_dseg.tsv").unlink()
    assert list(keep_rois(mask, RoiConfig(atlas=atlas), "01")[1]) == ["2", "7"]
    sidecar = tmp_path / "own_dseg.json"
    sidecar.write_text(json.dumps({"Space": "here"}))
    assert list(keep_rois(mask, RoiConfig(atlas=atlas), "01")[1]) == ["2", "7"]
    sidecar.write_text(json.dumps({"7": "V1", "2": "V2"}))
    assert list(keep_rois(mask, RoiConfig(atlas=atlas), "01")[1]) == ["V2", "V1"]
    table = tmp_path / "names.csv"
    table.write_text("name,index\nA1,7\n")
    assert list(keep_rois(mask, RoiConfig(atlas=atlas, names=table), "01")[1]) == ["A1"]


def test_each_person_has_regions_of_their_own(tmp_path, study, mask):
    for subject, x in (("01", 1), ("02", 3)):
        own = np.zeros(GRID, np.uint8)
        own[x] = 1
        save(tmp_path / f"sub-{subject}_V1.nii.gz", own)
    rois = RoiConfig(masks={"V1": tmp_path / "{subject}_V1.nii.gz"})
    prepare(find_runs(study), tmp_path / "store", PrepareConfig(rois=rois))
    for run in read_store(tmp_path / "store"):
        x = {"sub-01": 1, "sub-02": 3}[run.subject]
        wanted = np.zeros(GRID, bool)
        wanted[x] = mask_array()[x]
        np.testing.assert_array_equal(run.mask.inside, wanted)
        assert run.regions["V1"].all()
        assert run.manifest["regions"] == {"V1": int(wanted.sum())}


def test_a_region_is_prepared_as_in_the_whole(tmp_path, study, atlas):
    """The same numbers as the columns of all voxels; other names are another run."""
    run = find_runs(study)[:1]
    whole = read_run(prepare(run, tmp_path / "store")[0])
    rois = RoiConfig(atlas=atlas, take=("back",))
    part = read_run(prepare(run, tmp_path / "store", PrepareConfig(rois=rois))[0])
    inside = part.mask.inside[whole.mask.inside]
    np.testing.assert_allclose(part.bold().data, whole.bold().data[:, inside], atol=1e-5)
    assert (whole.regions, whole.manifest["regions"]) == ({}, {})
    assert whole.config_digest == part.config_digest
    names = tmp_path / "other.json"
    names.write_text(json.dumps({"7": "rear"}))
    other = PrepareConfig(rois=RoiConfig(atlas=atlas, names=names))
    folder = prepare(run, tmp_path / "store", other)[0]
    assert folder != part.folder
    assert list(read_run(folder).regions) == ["rear"]


def test_regions_on_the_file_s_grid_follow_a_crop(tmp_path, study, atlas, labels):
    back = save(tmp_path / "back.nii.gz", (labels == 7).astype(np.uint8))
    told = {"grid": {"crop": [[1, 0], [0, 0], [0, 0]]}, "rois": {"masks": {"back": back}}}
    folder = prepare(find_runs(study)[:1], tmp_path / "store", PrepareConfig.parse(told))[0]
    wanted = (mask_array() & (labels == 7))[1:]
    np.testing.assert_array_equal(read_run(folder).mask.inside, wanted)


def faults(tmp_path, atlas):
    outside = save(tmp_path / "out.nii.gz", (~mask_array()).astype(np.uint8))
    coarse = tmp_path / "coarse.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), AFFINE), coarse)
    other = save(tmp_path / "space-MNI305_V1.nii.gz", mask_array().astype(np.uint8))
    return {
        "empty": ({"atlas": atlas, "take": ["edge"]}, "region 'edge' has no voxel in the mask of"),
        "unknown": ({"atlas": atlas, "take": ["bakc"]}, "no region is called 'bakc'. Did you mean"),
        "outside": ({"masks": {"out": outside}}, "region 'out' has no voxel in the mask"),
        "grid": ({"masks": {"c": coarse}}, r"region 'c' lies on another grid \(2, 2, 2\)"),
        "space": ({"masks": {"V1": other}}, "is in the space MNI305 by its name, the data in MNI1"),
        "twice": ({"atlas": atlas, "masks": {"back": other}}, "'back' is in the atlas and a mask"),
        "gone": ({"masks": {"x": tmp_path / "no.nii.gz"}}, "no.nii.gz: no such image"),
    }


@pytest.mark.parametrize("fault", ["empty", "unknown", "outside", "grid", "space", "twice", "gone"])
def test_regions_that_cannot_be_kept(tmp_path, atlas, mask, fault):
    told, message = faults(tmp_path, atlas)[fault]
    with pytest.raises(DataError, match=message):
        keep_rois(mask, RoiConfig.parse(told), "01")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", "[1]", "names of regions are told as"),
        ("a.json", '{"one": "V1"}', "'one' is no number of a region"),
        ("a.tsv", "index\tname\n1\tV1\n2\tV1\n", "two regions are called 'V1'"),
        ("a.csv", "", "not a table that can be read"),
    ],
)
def test_tables_of_names_that_cannot_be_used(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=told):
        read_region_names(tmp_path / name)
