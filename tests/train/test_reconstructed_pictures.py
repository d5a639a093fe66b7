"""Pictures of given voxel vectors: as in the evaluation, the same in any company, and scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from skimage.metrics import structural_similarity

from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.data.given_vectors import VectorChoice
from brainreel.errors import CheckpointError, ConfigError, DataError
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.shapes import DataSpec
from brainreel.train.fit import load_fitted
from brainreel.train.predictions import PicturePrediction
from brainreel.train.reconstructed_pictures import (
    ReconstructedPictures,
    ReconstructOptions,
    reconstruct_pictures,
)

from ..contracts.cases_diffusion import TINY
from .picture_run import N_TEST, N_TRAIN, SIDE, fitted_run, write_trials

TEST_ROWS = f"{N_TRAIN}:{N_TRAIN + N_TEST}"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials, with a fit of ridge and one of diffusion; not to be changed."""
    root = tmp_path_factory.mktemp("kept")
    data = write_trials(root / "a.npz")
    fitted_run(root / "ridge", data, "pictures")
    fitted_run(root / "ldm", data, "denoise", first_guess=True, first_stage={"name": "pixels"})
    return root


def vectors(path: Path, name: str = "voxels") -> np.ndarray:
    with np.load(path) as kept_arrays:
        return np.asarray(kept_arrays[name])


def reconstruct(run: Path, out: Path, path: Path, **asked: Any) -> ReconstructedPictures:
    given = {name: asked.pop(name) for name in ("key", "mask", "rows") if name in asked}
    return reconstruct_pictures(run, out, ReconstructOptions(VectorChoice(path, **given), **asked))


def png(path: Path) -> np.ndarray:
    """(H, W) whole numbers of a grey picture."""
    read = np.rint(imread(path) * 255).astype(int)[..., :3]
    assert (read == read[..., :1]).all()
    return np.asarray(read[..., 0])


def story(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "reconstructions.json").read_text()))


def evaluated(run: Path) -> PicturePrediction:
    (found,) = load_fitted(run).predict()
    assert isinstance(found, PicturePrediction)
    return found


@pytest.mark.parametrize("kind", ["ridge", "ldm"])
def test_test_trials_come_out_as_in_the_evaluation(kept: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    reconstruct(kept / kind, out, kept / "a.npz", rows=TEST_ROWS)
    known = evaluated(kept / kind)
    for i in range(N_TEST):
        expected = known.predicted[i, 0] * 255
        np.testing.assert_allclose(png(out / f"{i + 1:04}.png"), expected, atol=1.001)
        for s in range(3 if kind == "ldm" else 0):
            assert known.samples is not None
            drawn = png(out / "samples" / f"{i + 1:04}_{s + 1:02}.png")
            np.testing.assert_allclose(drawn, known.samples[i, s, 0] * 255, atol=1.001)
    assert (out / "samples").is_dir() == (kind == "ldm")
    told = story(out)
    assert [one["part_of_fit"] for one in told["reconstructions"]] == ["test"] * N_TEST
    assert told["notes"] == []


@pytest.mark.parametrize("kind", ["ridge", "ldm"])
def test_a_picture_does_not_depend_on_its_company(kept: Path, tmp_path: Path, kind: str) -> None:
    known = vectors(kept / "a.npz")
    new = known[:9] + np.random.default_rng(3).normal(size=(9, 14)).astype(np.float32)
    np.save(tmp_path / "many.npy", new)
    np.save(tmp_path / "alone.npy", new[4])
    np.savez(tmp_path / "mixed.npz", voxels=np.concatenate([known[23:], new[[4]]]))
    places = {"many.npy": "0005", "alone.npy": "0001", "mixed.npz": "0004"}
    written = []
    for number, (file, name) in enumerate(places.items()):
        out = tmp_path / f"out{number}"
        reconstruct(kept / kind, out, tmp_path / file)
        samples = sorted((out / "samples").glob(f"{name}_*.png"))
        written.append([path.read_bytes() for path in (out / f"{name}.png", *samples)])
    assert written[0] == written[1] == written[2]
    assert len(written[0]) == (4 if kind == "ldm" else 1)
    # Different brains give different pictures, and the noise of each is its own.
    assert len({(tmp_path / "out0" / f"{i:04}.png").read_bytes() for i in range(1, 10)}) == 9


def test_options_of_drawing_can_be_changed(kept: Path, tmp_path: Path) -> None:
    def drawn(*changes: str, seed: int | None = None) -> tuple[bytes, dict[str, Any]]:
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        asked = {"rows": "21", "changes": changes, "seed": seed}
        reconstruct(kept / "ldm", out, kept / "a.npz", **asked)
        return (out / "0001.png").read_bytes(), story(out)

    usual, told = drawn()
    assert told["sampling"]["rule"] == "consensus"
    assert (told["seed"], told["samples"], told["sampling"]["steps"]) == (0, 3, 3)
    assert drawn(seed=0)[0] == usual
    assert drawn(seed=1)[0] != usual
    fewer, told = drawn("sampling.samples=1", "sampling.steps=2", "sampling.sampler=plms")
    assert fewer != usual
    assert told["samples"] == 1
    assert "samples" not in told["reconstructions"][0]
    with pytest.raises(ConfigError, match="unknown key 'sampling.stepz'. Did you mean"):
        drawn("sampling.stepz=2")
    with pytest.raises(ConfigError, match="unknown key 'model'"):
        drawn("model.width=2")
    with pytest.raises(ConfigError, match="steps=2000 is more than the 1000 noise levels"):
        drawn("sampling.steps=2000")
    with pytest.raises(ConfigError, match="trained without model.null_context"):
        drawn("sampling.guidance=3")


@pytest.mark.parametrize("kind", ["ridge", "ldm"])
def test_own_moments_are_those_of_vectors_that_were_scored_before(
    kept: Path, tmp_path: Path, kind: str
) -> None:
    raw = vectors(kept / "a.npz")
    scored = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    train = raw[:N_TRAIN].astype(np.float64)
    likened = scored * train.std(axis=0) + train.mean(axis=0)
    for name, values in {"own": 7 * raw - 40, "none": scored, "training": likened}.items():
        np.save(tmp_path / f"{name}.npy", values.astype(np.float32))
        asked: dict[str, Any] = {"zscore": name, "changes": (), "rows": "3:6"}
        reconstruct(kept / kind, tmp_path / name, tmp_path / f"{name}.npy", **asked)
    if kind == "ridge":  # the noise of a drawn picture is decided by the vector as it stands
        own, none, training = (png(tmp_path / n / "0002.png") for n in ("own", "none", "training"))
        np.testing.assert_allclose(own, none, atol=1)
        np.testing.assert_allclose(own, training, atol=1)
    assert "all 26 vectors given" in story(tmp_path / "own")["vectors"]["scale"]
    far = tmp_path / "far.npy"
    np.save(far, 1000 * raw)
    told = reconstruct(kept / kind, tmp_path / "far", far, rows="0")
    assert "give --zscore own" in told.notes[-1]


def test_scores_are_those_of_the_pictures_that_were_written(kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = reconstruct(kept / "ridge", out, kept / "a.npz", rows="18:22")
    true, told = vectors(kept / "a.npz", "pictures")[18:22, 0], story(out)
    every = []
    for one, shown in zip(told["reconstructions"], true, strict=True):
        written = png(out / one["picture"])
        r = np.corrcoef(written.ravel(), shown.ravel())[0, 1]
        alike = structural_similarity(written / 255, shown / 255, data_range=1)
        assert one["pixel_correlation"] == pytest.approx(r)
        assert one["ssim"] == pytest.approx(alike)
        every.append(alike)
    assert found.scores["ssim"] == pytest.approx(np.mean(every)) == told["scores"]["ssim"]
    assert told["notes"] == list(found.notes)
    assert "2 of 4 vectors are training trials of this fit" in found.notes[0]
    assert story(out)["true_pictures"] == "'pictures' of a.npz"
    out = tmp_path / "without"
    assert reconstruct(kept / "ridge", out, kept / "a.npz", rows="18", pictures="none").scores == {}
    assert story(out)["true_pictures"] is None


def test_fits_that_learned_from_test_brains_are_stamped(kept: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(kept / "ridge", tmp_path / "run"))
    versions = json.loads((run / "versions.json").read_text())
    earlier = {"where": "runs/adapted", "task": "mask", "transductive": True}
    versions["lineage"].insert(0, {**earlier, "digests": {}, "rows": []})
    (run / "versions.json").write_text(json.dumps(versions))
    found = reconstruct(run, tmp_path / "out", kept / "a.npz", rows="22")
    assert story(tmp_path / "out")["transductive"] == ["runs/adapted"]
    assert found.notes == (
        "transductive: the fit learned from brains of its test part (runs/adapted).",
    )


def test_an_image_gives_what_its_voxels_give(kept: Path, tmp_path: Path) -> None:
    inside = np.zeros((3, 4, 3), bool)
    inside.flat[np.random.default_rng(0).permutation(36)[:14]] = True
    values = vectors(kept / "a.npz")[20:23]
    volumes = np.zeros((3, *inside.shape), np.float32)
    volumes[:, inside] = values
    affine = np.diag([2.0, 2, 2, 1])
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), affine), tmp_path / "mask.nii.gz")
    nib.save(nib.Nifti1Image(np.moveaxis(volumes, 0, -1), affine), tmp_path / "x_betas.nii.gz")
    nib.save(nib.Nifti1Image(volumes[2], affine), tmp_path / "one.nii")
    mask = tmp_path / "mask.nii.gz"
    reconstruct(kept / "ldm", tmp_path / "a", tmp_path / "x_betas.nii.gz", mask=mask)
    reconstruct(kept / "ldm", tmp_path / "b", tmp_path / "one.nii", mask=mask)
    reconstruct(kept / "ldm", tmp_path / "c", kept / "a.npz", rows="20:23")
    for name in ("0001.png", "0002.png", "0003.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    assert (tmp_path / "b/0001.png").read_bytes() == (tmp_path / "c/0003.png").read_bytes()
    assert story(tmp_path / "a")["digests"].keys() >= {str(mask)}


def test_people_of_one_run_are_told_apart(tmp_path: Path) -> None:
    files = {
        "sub-01": write_trials(tmp_path / "one.npz"),
        "sub-02": write_trials(tmp_path / "two.npz", n_voxels=9, seed=1),
    }
    run = fitted_run(tmp_path / "run", files, "denoise", first_stage={"name": "pixels"})
    both = {found.subject: found for found in load_fitted(run).predict()}  # type: ignore[union-attr]
    asked = {"rows": TEST_ROWS, "subject": "02"}
    found = reconstruct(run, tmp_path / "out", files["sub-02"], **asked)
    assert found.lines[0].startswith("6 pictures of sub-02")
    expected = both["sub-02"].predicted[4, 0] * 255  # type: ignore[union-attr]
    np.testing.assert_allclose(png(tmp_path / "out" / "0005.png"), expected, atol=1.001)
    with pytest.raises(ConfigError, match="whose brain is it.*sub-01, sub-02"):
        reconstruct(run, tmp_path / "no", files["sub-02"])
    with pytest.raises(ConfigError, match="knows no 'sub-2'.* Did you mean 'sub-02'"):
        reconstruct(run, tmp_path / "no", files["sub-02"], subject="sub-2")
    with pytest.raises(DataError, match="vectors of 9 voxels, and the network takes 14 of sub-01"):
        reconstruct(run, tmp_path / "no", files["sub-02"], subject="sub-01")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DC-LDM with 16 voxels in 4 patches, as if it had been imported."""
    config = BrainDiffusionConfig.parse(TINY)
    spec = DataSpec(("all",), (16,), picture_shape=(3, SIDE, SIDE))
    torch.manual_seed(0)
    weights = config.build(spec).state_dict()
    folder = tmp_path_factory.mktemp("imported") / "run"
    return save_imported(folder, Imported(config, spec, weights), origin="mind-vis")


def test_published_weights_draw_of_vectors_that_are_scored(imported: Path, tmp_path: Path) -> None:
    raw = np.random.default_rng(0).normal(5, 3, size=(6, 14)).astype(np.float32)
    np.save(tmp_path / "raw.npy", raw)
    np.save(tmp_path / "one.npy", ((raw - raw.mean(axis=0)) / raw.std(axis=0))[2])
    few = ("sampling.steps=2", "sampling.samples=2", "sampling.sampler=ddim")
    asked: dict[str, Any] = {"changes": few, "seed": 4}
    reconstruct(imported, tmp_path / "raw", tmp_path / "raw.npy", **asked)
    reconstruct(imported, tmp_path / "one", tmp_path / "one.npy", zscore="none", **asked)
    assert "all 6 vectors given" in story(tmp_path / "raw")["vectors"]["scale"]
    assert story(tmp_path / "one")["vectors"]["scale"] == "taken as z-scored already"
    assert imread(tmp_path / "one" / "0001.png").shape[:2] == (SIDE, SIDE)
    with pytest.raises(DataError, match="one vector cannot be z-scored by its own mean"):
        reconstruct(imported, tmp_path / "no", tmp_path / "one.npy", **asked)
    with pytest.raises(ConfigError, match="no training trials are known here"):
        reconstruct(imported, tmp_path / "no", tmp_path / "raw.npy", zscore="training", **asked)
    with pytest.raises(ConfigError, match="Leave --subject and --fold out"):
        reconstruct(imported, tmp_path / "no", tmp_path / "raw.npy", subject="a", **asked)
    np.save(tmp_path / "short.npy", raw[:, :12])
    with pytest.raises(DataError, match="vectors of 12 voxels, and the network takes 13 to 16"):
        reconstruct(imported, tmp_path / "no", tmp_path / "short.npy", **asked)


def test_an_import_without_pictures_is_refused(tmp_path: Path) -> None:
    sizes = {"patch": 4, "width": 8, "depth": 1, "heads": 2, "decoder_width": 8}
    config = SCMBMConfig.parse({**sizes, "decoder_depth": 1, "decoder_heads": 2})
    spec = DataSpec(("all",), (32,))
    weights = config.build(spec).state_dict()
    folder = save_imported(tmp_path / "run", Imported(config, spec, weights), origin="mind-vis")
    np.save(tmp_path / "a.npy", np.ones((2, 32), np.float32))
    with pytest.raises(CheckpointError, match="holds 'sc_mbm', which draws no pictures"):
        reconstruct(folder, tmp_path / "out", tmp_path / "a.npy")
