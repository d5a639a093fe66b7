"""`brainreel reconstruct`: pictures of voxel vectors beside the truth; and what it refuses."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread

from brainreel.simulate.pictures import write_png
from tests.train.picture_run import N_TEST, N_TRAIN, SIDE, fitted_run, write_trials

from .breaking import cut, tree

STORY = "reconstructions.json"
Command = Callable[..., Any]
TEST_ROWS = f"{N_TRAIN}:{N_TRAIN + N_TEST}"


@pytest.fixture(scope="session")
def kept_trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials with pictures, in a folder as `prepare` makes it; not to be changed."""
    folder = tmp_path_factory.mktemp("store") / "trials" / "sub-01"
    path = write_trials(folder / "sub-01_trials.npz")
    inside = np.zeros((3, 4, 3), np.uint8)
    inside.flat[:14] = 1
    nib.save(nib.Nifti1Image(inside, np.diag([2.0, 2, 2, 1])), folder / "sub-01_mask.nii.gz")
    return path


@pytest.fixture(scope="session")
def kept_ridge(kept_trials: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ridge on them; not to be changed."""
    return fitted_run(tmp_path_factory.mktemp("runs") / "ridge", kept_trials, "pictures")


@pytest.fixture(scope="session")
def kept_ldm(kept_trials: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent diffusion on them; not to be changed."""
    return fitted_run(tmp_path_factory.mktemp("runs") / "ldm", kept_trials, "denoise")


def betas(path: Path, grid: tuple[int, ...] = (3, 4, 3), shift: float = 0.0) -> Path:
    values = np.random.default_rng(0).normal(100, 3, size=(*grid, 4)).astype(np.float32)
    affine = np.diag([2.0, 2, 2, 1])
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def test_pictures_samples_sheet_and_manifest(brainreel, kept_ldm, kept_trials, tmp_path):
    out = tmp_path / "out"
    asked = ("reconstruct", kept_ldm, "--fmri", kept_trials, "--rows", TEST_ROWS, "--out", out)
    asked = (*asked, "sampling.steps=2", "--samples", 2, "--seed", 7)
    told = brainreel(*asked, "--dry-run").output
    assert "0001.png to 0006.png, samples, contact_sheet.png, reconstructions.json would" in told
    assert not out.exists()
    told = brainreel(*asked).output
    assert f"6 pictures of sub-01, 6 of 26 vectors of {kept_trials} 'voxels'" in told
    assert "z-scored by the training trials" in told
    assert "2 drawn of each by ddim in 2 steps" in told
    assert "true pictures: 'pictures' of sub-01_trials.npz" in told
    assert "pixel correlation" in told
    names = [f"{i:04}" for i in range(1, 7)]
    expected = [f"{name}.png" for name in names] + ["contact_sheet.png", "reconstructions.json"]
    expected += [f"samples/{name}_{s:02}.png" for name in names for s in (1, 2)]
    assert tree(out) == sorted(expected)
    facts = json.loads((out / STORY).read_text())
    assert (facts["run"], facts["fold"]) == (str(kept_ldm.resolve()), "given")
    assert (facts["model"], facts["task"]) == ("latent_diffusion", "denoise")
    assert (facts["seed"], facts["sampling"]["steps"], facts["subject"]) == (7, 2, "sub-01")
    assert facts["transductive"] == []
    assert {one["row"] for one in facts["reconstructions"]} == set(range(20, 26))
    assert not list(tmp_path.glob(".*"))


def test_images_go_through_the_mask_that_prepare_wrote(brainreel, kept_ridge, tmp_path):
    image = betas(tmp_path / "new_betas.nii.gz")
    folder = tmp_path / "seen"
    folder.mkdir()
    for i in range(4):
        shown = np.random.default_rng(i).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        write_png(folder / f"{i}.png", shown)
    out = tmp_path / "out"
    told = brainreel(
        "reconstruct", kept_ridge, "--fmri", image, "--pictures", folder, "--out", out
    ).output
    assert "4 pictures of sub-01" in told
    assert f"those in {folder}, in the order of their names" in told
    assert len(tree(out)) == 6
    (tmp_path / "new_betas.tsv").write_text("stim_file\nstimuli/3.png\n0.png\n3.png\n1.png\n")
    asked = ("reconstruct", kept_ridge, "--fmri", image, "--pictures", folder, "--rows", "1:3")
    told = brainreel(*asked, "--out", tmp_path / "tabled").output
    assert f"those in {folder} that the table beside names" in told
    (scored,) = {
        one["pixel_correlation"]
        for one in json.loads((tmp_path / "tabled" / STORY).read_text())["reconstructions"]
        if one["row"] == 1
    }
    drawn = np.rint(imread(out / "0002.png")[..., 0] * 255)
    first = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    assert scored == pytest.approx(np.corrcoef(drawn.ravel(), first.ravel())[0, 1])
    (tmp_path / "new_betas.tsv").write_text("stim_file\n0.png\n")
    assert "1 rows, and new_betas.nii.gz has 4 volumes" in (
        brainreel(*asked, "--out", tmp_path / "no").error
    )
    (tmp_path / "new_betas.tsv").unlink()
    (folder / "3.png").unlink()
    asked = ("reconstruct", kept_ridge, "--fmri", image, "--pictures", folder)
    assert "3 pictures, and" in brainreel(*asked, "--out", tmp_path / "no").error
    told = brainreel("reconstruct", kept_ridge, "--fmri", image, "--out", tmp_path / "b").output
    assert "true pictures: none are known" in told


def test_pictures_that_the_file_names_are_found_in_a_folder(
    brainreel, kept_ridge, kept_trials, tmp_path
):
    shown = np.load(kept_trials)["pictures"][:, 0]
    names = [f"p{i}.png" for i in range(3)]
    folder = tmp_path / "stimuli"
    folder.mkdir()
    for name, picture in zip(names, shown, strict=False):
        write_png(folder / name, picture)
    arrays = {"voxels": np.load(kept_trials)["voxels"][:5], "items": np.array([2, 0, 0, 1, 2])}
    np.savez(tmp_path / "new.npz", item_names=np.array(names), **arrays)
    args = ("reconstruct", kept_ridge, "--fmri", tmp_path / "new.npz", "--rows", "0,3")
    told = brainreel(*args, "--pictures", folder, "--out", tmp_path / "out").output
    assert "that the file names" in told
    assert "2 of 2 vectors are training trials of this fit" in told
    scores = json.loads((tmp_path / "out" / STORY).read_text())
    drawn = [one["pixel_correlation"] for one in scores["reconstructions"]]
    some = {"pictures": shown[[2, 1]][:, None], "voxels": arrays["voxels"][[0, 3]]}
    np.savez(tmp_path / "known.npz", **some)
    asked = ("reconstruct", kept_ridge, "--fmri", tmp_path / "known.npz")
    assert "'pictures' of known.npz" in brainreel(*asked, "--out", tmp_path / "b").output
    again = json.loads((tmp_path / "b" / STORY).read_text())
    assert drawn == [one["pixel_correlation"] for one in again["reconstructions"]]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--rows", "30"), "--rows 30: the file has rows 0 to 25."),
        (("--rows", "5:2"), "--rows 5:2: the file has rows 0 to 25."),
        (("--rows", "a:b"), "--rows a:b: should be such as 0:10, 3, or 0,3,7."),
        (("--rows", "0:3,2"), "--rows 0:3,2: names a row twice."),
        (("--key", "voxel"), "no key 'voxel'. It holds: voxels, pictures. Did you mean 'voxels'?"),
        (("--key", "pictures"), "'pictures' has 4 axes"),
        (("--mask", "m.nii"), "--mask says something of images"),
        (("--pictures", "seen"), "--pictures seen: neither a folder nor an array of"),
        (("--pictures", "voxels"), "pixels"),
        (("--subject", "sub-02"), "knows no 'sub-02', but sub-01."),
        (("--fold", "given-2"), "has no fold 'given-2', but given."),
        (("--zscore", "mine"), "--zscore mine: should be training, own, none."),
        (("--seed", "-1"), "--seed -1: should be 0 or more."),
        (
            ("--samples", "0"),
            "reconstruct: 'sampling.samples' should be greater than or equal to 1",
        ),
        (("steps=3",), "unknown key 'steps'"),
        (("sampling.steps",), "'sampling.steps' is no override. Write key.sub=value."),
        (("sampling.sampler=euler",), "'sampling.sampler' should be 'plms', 'ddim'"),
    ],
)
def test_what_cannot_be_is_one_sentence(brainreel, kept_ldm, kept_trials, tmp_path, args, told):
    out = tmp_path / "out"
    asked = ("reconstruct", kept_ldm, "--fmri", kept_trials, "--out", out, *args)
    assert told in brainreel(*asked).error
    assert tree(tmp_path) == []


def test_ridge_draws_nothing(brainreel, kept_ridge, kept_trials, tmp_path):
    asked = ("reconstruct", kept_ridge, "--fmri", kept_trials, "--out", tmp_path / "out")
    for args in (("--samples", 2), ("--seed", 2), ("sampling.steps=3",)):
        told = brainreel(*asked, *args).error
        assert told.endswith(
            "picture_ridge gives one picture of a brain and draws nothing. Leave it out."
        )


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def _nan(path: Path) -> None:
    voxels = np.ones((3, 14), np.float32)
    voxels[1, 4] = np.nan
    np.save(path, voxels)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: None, "no such file of voxel vectors"),
        (_nan, "1 of 42 values are NaN or infinite, the first at (1, 4)"),
        (lambda p: np.save(p, np.ones((3, 13), np.float32)), "vectors of 13 voxels, and the"),
        (lambda p: np.save(p, np.zeros((0, 14), np.float32)), "holds no vector"),
        (lambda p: np.save(p, np.array([["a"] * 14])), "holds text where numbers are needed"),
        (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00"), "cannot be read as .npy"),
        (lambda p: p.write_bytes(pickle.dumps(Evil(p.with_name("executed")))), "pickled objects"),
    ],
)
def test_files_that_cannot_be_used(brainreel, kept_ridge, tmp_path, make, told):
    path = tmp_path / "x.npy"
    make(path)
    before = tree(tmp_path)
    asked = ("reconstruct", kept_ridge, "--fmri", path, "--out", tmp_path / "out")
    assert told in brainreel(*asked).error
    assert tree(tmp_path) == before


def test_several_arrays_and_none_that_the_fit_knows(brainreel, kept_ridge, tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones((2, 14)), b=np.ones((2, 14)))
    asked = ("reconstruct", kept_ridge, "--fmri", tmp_path / "x.npz", "--out", tmp_path / "out")
    assert (
        "which array are the voxel vectors? It holds a, b. Give --key." in brainreel(*asked).error
    )
    cut(tmp_path / "x.npz")
    assert "cannot be read as .npz" in brainreel(*asked).error


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (lambda p: betas(p, grid=(3, 4, 4)), "do not lie on the grid (3, 4, 3) of the mask"),
        (lambda p: betas(p, shift=5.0), "do not lie on the grid (3, 4, 3) of the mask"),
        (lambda p: cut(betas(p)), "x.nii"),
        (lambda p: _broken(betas(p)), "1 of 14 voxels in the mask hold NaN"),
    ],
)
def test_images_that_cannot_be_used(brainreel, kept_ridge, tmp_path, image, told):
    image(tmp_path / "x.nii")
    asked = ("reconstruct", kept_ridge, "--fmri", tmp_path / "x.nii", "--out", tmp_path / "out")
    assert told in brainreel(*asked).error
    assert tree(tmp_path) == ["x.nii"]


def _broken(path: Path) -> None:
    image = nib.load(path)
    values = image.get_fdata()
    values[0, 1, 1, 2] = np.inf
    nib.save(nib.Nifti1Image(values.astype(np.float32), image.affine), path)


def test_an_image_needs_a_mask_and_no_key(brainreel, kept_trials, tmp_path):
    data = shutil.copy(kept_trials, tmp_path / "trials.npz")
    run = fitted_run(tmp_path / "run", Path(data), "pictures")
    image = betas(tmp_path / "x.nii.gz")
    asked = ("reconstruct", run, "--fmri", image, "--out", tmp_path / "out")
    assert "Give the mask that the fit's vectors were taken with: --mask IMAGE." in (
        brainreel(*asked).error
    )
    empty = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 3), np.uint8), np.diag([2.0, 2, 2, 1])), empty)
    assert "the mask is all zero" in brainreel(*asked, "--mask", empty).error
    assert "an image has no keys. Leave --key out." in brainreel(*asked, "--key", "a").error


def test_runs_that_draw_no_pictures_and_folders_in_use(
    brainreel, kept_run, kept_ridge, kept_trials, tmp_path
):
    out = tmp_path / "out"
    told = brainreel("reconstruct", kept_run, "--fmri", kept_trials, "--out", out).error
    assert "task 'feature_ridge' reconstructs no pictures. Give a run of task pictures or" in told
    told = brainreel("reconstruct", tmp_path, "--fmri", kept_trials, "--out", out).error
    assert "so it is no fitted run" in told
    (tmp_path / "thesis.doc").touch()
    told = brainreel("reconstruct", kept_ridge, "--fmri", kept_trials, "--out", tmp_path).error
    assert "already in use" in told
    assert tree(tmp_path) == ["thesis.doc"]


def test_a_full_disk_leaves_nothing(brainreel, kept_ridge, kept_trials, tmp_path, monkeypatch):

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brainreel.train.reconstructed_pictures.save_sheet", full)
    asked = ("reconstruct", kept_ridge, "--fmri", kept_trials, "--out", tmp_path / "out")
    assert "cannot be written (No space left on device)" in brainreel(*asked).error
    assert tree(tmp_path) == []
