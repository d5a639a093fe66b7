from __future__ import annotations

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.image import resample_img

from brainreel.errors import ConfigError, DataError
from brainreel.fmri import volumes
from brainreel.fmri.bids import Run
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.grids import GridConfig, placed
from brainreel.fmri.images import open_bold_image
from brainreel.fmri.normalize import CleanConfig
from brainreel.fmri.prepare import PrepareConfig, prepare, read_store
from brainreel.fmri.volumes import read_volumes

from .conftest import AFFINE, GRID, N_TRS, bold_array, mask_array, save

CROP = ((1, 0), (0, 2), (1, 1))
TILTED = np.array(
    [[2.125, 0.25, 0, -5], [-0.25, 2.375, 0.125, -7], [0, 0.1875, 2, -3], [0, 0, 0, 1]]
)
FAR = np.array([[1, 0, 0, 500], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ TILTED


def nilearn_resampled(values: np.ndarray, affine, target, shape, how: str) -> np.ndarray:
    image = nib.Nifti1Image(values, affine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers without a form
        resampled = resample_img(image, target, shape, interpolation=how, clip=False)
    return np.asarray(resampled.dataobj)


def like(path: Path, shape=(4, 5, 3), affine=TILTED) -> Path:
    nib.save(nib.Nifti1Image(np.ones(shape, np.float32), affine), path)
    return path


def all_of(path: Path, config: GridConfig, **options) -> tuple[np.ndarray, VoxelMask]:
    """All kept volumes (t, V) of a file, every voxel of the kept grid."""
    image = placed(open_bold_image(path), config)
    mask = VoxelMask(np.ones(image.grid, bool), image.affine)
    parts = list(read_volumes(path, mask, placement=image.placement, **options))
    assert [start for start, _ in parts] == [sum(len(p) for _, p in parts[:i])
                                             for i in range(len(parts))]  # fmt: skip
    return np.concatenate([part for _, part in parts]), mask


def test_cropping_keeps_a_box_and_where_it_lies(bold_file: Path) -> None:
    found, mask = all_of(bold_file, GridConfig(crop=CROP))
    assert mask.grid == (4, 4, 2)
    expected = bold_array()[1:, :-2, 1:-1]
    np.testing.assert_array_equal(found, expected.reshape(-1, N_TRS).T)
    np.testing.assert_allclose(mask.affine @ [0, 0, 0, 1], AFFINE @ [1, 0, 1, 1])


@pytest.mark.parametrize("how", ["linear", "continuous"])
@pytest.mark.parametrize("block_bytes", [1, 4000, 1 << 24])
def test_another_grid_equals_nilearn(
    bold_file: Path, tmp_path: Path, how: str, block_bytes: int
) -> None:
    config = GridConfig(like=like(tmp_path / "like.nii.gz"), interpolation=how)
    found, mask = all_of(bold_file, config, block_bytes=block_bytes)
    assert mask.grid == (4, 5, 3)
    np.testing.assert_allclose(mask.affine, TILTED, atol=1e-6)
    expected = nilearn_resampled(bold_array(), AFFINE, TILTED, (4, 5, 3), how)
    np.testing.assert_allclose(found, expected.reshape(-1, N_TRS).T, rtol=1e-4, atol=1e-2)
    assert (found > 300).mean() > 0.3


@pytest.mark.parametrize("voxel_mm", [1.5, 4.0, 6.0, 9.0])
def test_another_voxel_size_fills_the_same_box(bold_file: Path, voxel_mm: float) -> None:
    found, mask = all_of(bold_file, GridConfig(crop=CROP, voxel_mm=voxel_mm))
    scale = voxel_mm / 3
    assert mask.grid == tuple(max(1, round(n / scale)) for n in (4, 4, 2))
    np.testing.assert_allclose(np.linalg.norm(mask.affine[:3, :3], axis=0), voxel_mm)
    corner = AFFINE @ [0.5, -0.5, 0.5, 1]
    np.testing.assert_allclose(mask.affine @ [-0.5, -0.5, -0.5, 1], corner, atol=1e-9)
    cropped = bold_array()[1:, :-2, 1:-1]
    moved = AFFINE.copy()
    moved[:, 3] = AFFINE @ [1, 0, 1, 1]
    expected = nilearn_resampled(cropped, moved, mask.affine, mask.grid, "linear")
    np.testing.assert_allclose(found, expected.reshape(-1, N_TRS).T, rtol=1e-4, atol=1e-2)


def test_the_grid_that_a_file_has_already_changes_nothing(bold_file: Path, tmp_path: Path) -> None:
    same = GridConfig(like=like(tmp_path / "same.nii", GRID, AFFINE))
    assert placed(open_bold_image(bold_file), same).placement is None
    assert placed(open_bold_image(bold_file), GridConfig(voxel_mm=3)).placement is None


def test_voxels_that_come_from_a_broken_one_are_broken(tmp_path: Path) -> None:
    values = bold_array(n_trs=3)
    values[2, 3, 1, 1] = np.nan
    found, mask = all_of(save(tmp_path / "nan.nii.gz", values), GridConfig(voxel_mm=4))
    whole, _ = all_of(save(tmp_path / "ok.nii.gz", bold_array(n_trs=3)), GridConfig(voxel_mm=4))
    broken = ~np.isfinite(found)
    assert broken.any(axis=1).tolist() == [False, True, False]
    np.testing.assert_array_equal(found[~broken], whole[~broken])
    to_file = np.linalg.inv(AFFINE) @ mask.affine
    for voxel, is_broken in zip(np.ndindex(mask.grid), broken[1], strict=True):
        near = np.abs((to_file @ [*voxel, 1])[:3] - [2, 3, 1])
        assert is_broken == bool((near < 1 - 1e-9).all())


def test_no_more_than_a_block_is_held(bold_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    usual = volumes._scaled
    monkeypatch.setattr(volumes, "_scaled", lambda raw, image: held.append(len(raw))
                        or usual(raw, image))  # fmt: skip
    grid = placed(open_bold_image(bold_file), GridConfig(voxel_mm=1)).grid
    all_of(bold_file, GridConfig(voxel_mm=1), block_bytes=5 * 4 * int(np.prod(grid)))
    assert set(held) == {5}


@pytest.fixture
def run(bold_file: Path, mask_file: Path) -> Run:
    return Run.single(bold_file, mask=mask_file)


def test_prepare_crops_volumes_and_masks_alike(run: Run, tmp_path: Path) -> None:
    plain = prepare([run], tmp_path / "store")
    assert read_store(tmp_path / "store")[0].folder == plain[0]
    whole = read_store(tmp_path / "store")[0]
    options = PrepareConfig(grid=GridConfig(crop=CROP), n_dummy=4)
    (folder,) = prepare([run], tmp_path / "store", options)
    assert folder != plain[0]
    cropped = read_store(tmp_path / "store")[0]
    assert cropped.folder == folder
    assert cropped.mask.grid == (4, 4, 2)
    np.testing.assert_array_equal(cropped.mask.inside, mask_array()[1:, :-2, 1:-1])
    assert cropped.grid.n_trs == N_TRS - 4
    kept = whole.mask.unmask(whole.raw_mean)[1:, :-2, 1:-1]
    got = cropped.mask.unmask(cropped.raw_mean)
    assert np.abs(got - kept).max() < 5  # four volumes less
    assert cropped.manifest["config"]["grid"]["crop"] == [list(pair) for pair in CROP]


def test_prepare_resamples_volumes_and_masks(run: Run, tmp_path: Path) -> None:
    grid = GridConfig(like=like(tmp_path / "like.nii.gz"))
    clean = CleanConfig(smoothing_mm=4)
    prepare([run], tmp_path / "store", PrepareConfig(grid=grid, clean=clean))
    prepared = read_store(tmp_path / "store")[0]
    nearest = nilearn_resampled(mask_array().astype(np.int8), AFFINE, TILTED, (4, 5, 3), "nearest")
    np.testing.assert_array_equal(prepared.mask.inside, nearest > 0)
    np.testing.assert_allclose(prepared.mask.affine, TILTED, atol=1e-6)
    assert prepared.bold().data.std() > 2
    assert prepared.n_constant == 0


def test_the_brain_is_found_on_the_kept_grid(tmp_path: Path) -> None:
    grid = (16, 18, 14)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid), indexing="ij")
    brain = sum(axis**2 for axis in axes) < 0.6
    values = bold_array(n_trs=30, grid=grid) * np.where(brain, 1.0, 0.05)[..., None]
    run = Run.single(save(tmp_path / "b.nii.gz", values.astype(np.float32)))
    config = PrepareConfig(grid=GridConfig(crop=((1, 0), (0, 1), (0, 0)), voxel_mm=2))
    prepare([run], tmp_path / "store", config)
    mask = read_store(tmp_path / "store")[0].mask
    assert mask.grid == (22, 26, 21)
    expected = nilearn_resampled(brain.astype(np.float32), AFFINE, mask.affine, mask.grid, "linear")
    assert ((expected > 0.5) & mask.inside).sum() / ((expected > 0.5) | mask.inside).sum() > 0.65


def test_a_given_mask_may_lie_on_the_files_grid_or_the_kept_one(run: Run, tmp_path: Path) -> None:
    grid = GridConfig(crop=CROP)
    stores = []
    for name, values in (("file", mask_array()), ("kept", mask_array()[1:, :-2, 1:-1])):
        affine = AFFINE.copy()
        if name == "kept":
            affine[:, 3] = AFFINE @ [1, 0, 1, 1]
        path = tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(values.astype(np.uint8), affine), path)
        prepare([run], tmp_path / name, PrepareConfig(grid=grid, mask=path))
        stores.append(read_store(tmp_path / name)[0])
    assert stores[0].folder.name == stores[1].folder.name
    np.testing.assert_array_equal(stores[0].mask.inside, stores[1].mask.inside)


def test_the_options_digest_knows_the_grid_of_an_image_not_its_name(tmp_path: Path) -> None:
    one, same = like(tmp_path / "a.nii.gz"), like(tmp_path / "b.nii.gz")
    other = like(tmp_path / "c.nii.gz", affine=FAR)
    digests = [
        PrepareConfig(grid=GridConfig(like=path)).options_digest() for path in (one, same, other)
    ]
    assert digests[0] == digests[1] != digests[2]
    plain = PrepareConfig()
    assert "grid" not in plain.options()
    assert len({plain.options_digest(), *digests}) == 3


def test_what_leaves_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    for grid, match in (
        (GridConfig(crop=((3, 2), (0, 0), (0, 0))), r"\(5, 6, 4\), and cropping by .* nothing"),
        (GridConfig(crop=((4, 0), (0, 0), (0, 0))), "leaves nothing of the mask run_mask"),
        (GridConfig(like=like(tmp_path / "far.nii", affine=FAR)),
         "leaves nothing of the mask run_mask"),
        (GridConfig(like=tmp_path / "none.nii.gz"), r"none\.nii\.gz: no such image"),
        (GridConfig(like=like(tmp_path / "flat.nii", shape=(4, 5))), "2-D; a grid to resample to"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=match):
            prepare([run], tmp_path / "store", PrepareConfig(grid=grid))
    assert not (tmp_path / "store").exists()
    with pytest.raises(ConfigError, match="two grids to resample to; give one"):
        PrepareConfig.parse({"grid": {"voxel_mm": 3, "like": "x.nii"}})
