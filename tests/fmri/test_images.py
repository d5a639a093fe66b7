import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.maskers import NiftiMasker
from nilearn.masking import apply_mask

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.images import (
    check_same_grid,
    load_mask,
    open_bold_image,
    save_volume,
)
from brainreel.fmri.volumes import read_volumes

from .conftest import AFFINE, GRID, N_TRS, bold_array, mask_array, save


def joined(path: Path, mask: VoxelMask, **options) -> np.ndarray:
    parts = list(read_volumes(path, mask, **options))
    assert [start for start, _ in parts] == np.cumsum([0, *(len(p) for _, p in parts)])[
        :-1
    ].tolist()
    return np.concatenate([part for _, part in parts])


@pytest.mark.parametrize("block_bytes", [1, 5000, 1 << 26])
def test_volumes_equal_nilearn_apply_mask(bold_file, mask_file, block_bytes):
    streamed = joined(bold_file, load_mask(mask_file), block_bytes=block_bytes)
    assert streamed.dtype == np.float32
    np.testing.assert_array_equal(streamed, apply_mask(str(bold_file), str(mask_file)))


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f8", ">f4", "<u1"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_any_number_type_byte_order_slope_and_intercept(tmp_path, mask_file, dtype, ending):
    stored = np.random.default_rng(1).integers(0, 200, (*GRID, 7)).astype(dtype)
    header = nib.Nifti1Header(endianness=dtype[0])
    header.set_data_dtype(np.dtype(dtype))
    image = nib.Nifti1Image(stored, AFFINE, header)
    image.header.set_slope_inter(0.25, 1000.0)
    path = tmp_path / f"scaled{ending}"
    nib.save(image, path)
    mask = load_mask(mask_file)
    expected = nib.load(path).get_fdata()[mask.inside].T
    np.testing.assert_allclose(joined(path, mask), expected, rtol=1e-7)
    assert expected.max() > 1000


def test_gzip_of_two_members(two_member_gzip, mask_file):
    mask = load_mask(mask_file)
    np.testing.assert_array_equal(joined(two_member_gzip, mask), bold_array()[mask.inside].T)


def test_smoothing_equals_nilearn_masker(bold_file, mask_file):
    masker = NiftiMasker(str(mask_file), smoothing_fwhm=6.0, standardize=None).fit()
    expected = masker.transform(str(bold_file))
    streamed = joined(bold_file, load_mask(mask_file), smoothing_mm=6.0, block_bytes=9000)
    np.testing.assert_allclose(streamed, expected, rtol=1e-5)


def test_smoothing_keeps_broken_voxels_broken(tmp_path, mask_file):
    values = bold_array(n_trs=4)
    values[2, 2, 2, 1] = np.nan
    streamed = joined(save(tmp_path / "nan.nii", values), load_mask(mask_file), smoothing_mm=6.0)
    assert np.argwhere(~np.isfinite(streamed))[:, 0].tolist() == [1]


def test_header_tr_in_milliseconds(tmp_path):
    image = nib.Nifti1Image(bold_array(n_trs=3), AFFINE)
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 608
    nib.save(image, tmp_path / "ms.nii.gz")
    assert str(open_bold_image(tmp_path / "ms.nii.gz").tr_s) == "76/125"


def test_header_facts(bold_file):
    image = open_bold_image(bold_file, tr_s=1.5)
    assert (image.grid, image.n_volumes, float(image.tr_s)) == (GRID, N_TRS, 1.5)
    np.testing.assert_array_equal(image.affine, AFFINE)


@pytest.mark.parametrize(
    ("tr_header", "tr_sidecar", "match"),
    [
        (0.0, None, "no TR; the header says 0. Give RepetitionTime"),
        (1.5, 2.0, "header says a TR of 1.5 s, the sidecar 2 s. Mend one"),
        (1.5, 0.0, "a TR of 0 s cannot be used"),
    ],
)
def test_tr_that_cannot_be_used(tmp_path, tr_header, tr_sidecar, match):
    path = save(tmp_path / "tr.nii.gz", bold_array(n_trs=3), tr_s=tr_header)
    with pytest.raises(DataError, match=match):
        open_bold_image(path, tr_s=tr_sidecar)


def test_sidecar_serves_where_the_header_is_silent_or_overruled(tmp_path):
    silent = save(tmp_path / "silent.nii.gz", bold_array(n_trs=3), tr_s=0.0)
    assert float(open_bold_image(silent, tr_s=2).tr_s) == 2
    told = save(tmp_path / "told.nii.gz", bold_array(n_trs=3), tr_s=1.0)
    assert float(open_bold_image(told, tr_s=2, trust_tr=True).tr_s) == 2


def test_truncated_files_are_named(tmp_path, mask_file, cut):
    plain = cut(save(tmp_path / "short.nii", bold_array()))
    with pytest.raises(DataError, match=r"short\.nii: truncated; the header promises 29152 bytes"):
        open_bold_image(plain)
    packed = cut(save(tmp_path / "short.nii.gz", bold_array()))
    with pytest.raises(DataError, match=r"short\.nii\.gz: truncated; the header promises more"):
        joined(packed, load_mask(mask_file))
    with pytest.raises(DataError, match="truncated or broken"):
        load_mask(packed)


def test_broken_gzip_is_named(bold_file, mask_file):
    content = bytearray(bold_file.read_bytes())
    content[2000:2400] = bytes(400)
    bold_file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"run_bold.nii.gz: the gzip data is broken"):
        joined(bold_file, load_mask(mask_file))


@pytest.mark.parametrize("name", ["text.nii", "text.nii.gz", "picture.png"])
def test_what_is_no_image(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is not an image" * 50)
    with pytest.raises(DataError, match="not an image that can be read"):
        open_bold_image(tmp_path / name)


def test_other_things_that_are_no_run(tmp_path, mask_file):
    with pytest.raises(DataError, match="no such image"):
        open_bold_image(tmp_path / "absent.nii.gz")
    with pytest.raises(DataError, match=r"3-D \(5, 6, 4\); a run is 4-D"):
        open_bold_image(mask_file)
    surface = tmp_path / "brain.mgz"
    nib.save(nib.MGHImage(np.zeros(GRID, np.float32), AFFINE), surface)
    with pytest.raises(DataError, match="a MGHImage, not a NIfTI volume"):
        open_bold_image(surface)
    coloured = np.zeros(GRID, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(coloured, AFFINE), tmp_path / "rgb.nii")
    with pytest.raises(DataError, match="save them as integers or floats"):
        open_bold_image(tmp_path / "rgb.nii")
    nib.save(nib.Nifti1Image(bold_array(n_trs=3), AFFINE), tmp_path / "run.nii.bz2")
    with pytest.raises(DataError, match=r"Save it as \.nii\.gz"):
        open_bold_image(tmp_path / "run.nii.bz2")


def test_masks_that_cannot_be_used(tmp_path):
    zero = save(tmp_path / "zero.nii.gz", np.zeros(GRID, np.uint8))
    with pytest.raises(DataError, match=r"zero\.nii\.gz: the mask is all zero"):
        load_mask(zero)
    soft = save(tmp_path / "soft.nii.gz", np.random.default_rng(0).random(GRID, np.float32))
    with pytest.raises(DataError, match="120 different values; a mask has 0 outside"):
        load_mask(soft)
    long = save(tmp_path / "long.nii.gz", np.ones((*GRID, 2), np.uint8))
    with pytest.raises(DataError, match="a mask is 3-D; this image is 4-D"):
        load_mask(long)


def test_mask_on_another_grid(bold_file):
    image = open_bold_image(bold_file)
    smaller = VoxelMask(np.ones((4, 6, 4), bool), AFFINE)
    with pytest.raises(DataError, match=r"volumes are \(5, 6, 4\), the mask is \(4, 6, 4\)"):
        check_same_grid(smaller, image)
    moved = VoxelMask(np.ones(GRID, bool), AFFINE + np.eye(4)[:, [3, 0, 1, 2]] * 2)
    with pytest.raises(DataError, match="lies elsewhere .affines differ by up to 2 mm"):
        check_same_grid(moved, image, mask_name="m")


def test_saved_volumes_come_back(tmp_path):
    mask = VoxelMask(mask_array(), AFFINE)
    values = np.random.default_rng(2).normal(size=(4, mask.n_voxels)).astype(np.float32)
    path = save_volume(tmp_path / "out.nii.gz", values, mask, tr_s="0.608")
    np.testing.assert_array_equal(joined(path, mask), values)
    assert str(open_bold_image(path).tr_s) == "76/125"
    single = nib.load(save_volume(tmp_path / "map.nii.gz", values[0], mask))
    assert single.shape == GRID
    np.testing.assert_array_equal(single.get_fdata()[mask.inside], values[0])
    assert not single.get_fdata()[~mask.inside].any()


def test_stream_stops_early_without_waiting_for_the_rest(bold_file, mask_file):
    volumes = read_volumes(bold_file, load_mask(mask_file), block_bytes=1)
    start, block = next(volumes)
    volumes.close()
    assert (start, block.shape) == (0, (1, 24))


def test_gzip_ends_where_a_volume_ends(tmp_path, mask_file):
    plain = save(tmp_path / "plain.nii", bold_array()).read_bytes()
    path = tmp_path / "short.nii.gz"
    path.write_bytes(gzip.compress(plain[: 352 + 4 * 120 * 30]))
    with pytest.raises(DataError, match="promises more volumes"):
        joined(path, load_mask(mask_file), block_bytes=480)
