"""`brainreel predict`: a new film for a person, as images; and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brainreel.train.fit import load_fitted
from brainreel.train.predictions import Prediction
from tests.data.volume_data import write_film

from .breaking import cut

RECIPE = """
data:
  name: films
  path: {store}
  splits:
    - {{name: hold_out_stimulus, test_stimuli: [film-2]}}
    - {{name: hold_out_subject, test_subjects: [sub-02]}}
task:
  name: film_vae
  windows: {{window_trs: 4, frames_per_tr: 2, height: 8, width: 12, batch_windows: 2}}
  loss: {{target: voxel}}
  samples: 3
model:
  name: film_vae
  widths: [4, 8]
  blocks: [1, 1]
  embedding: 8
  heads: 2
  layers: 1
  hidden: 8
  backbone: {{name: vit, width: 8, depth: 1, heads: 2, patch: 4}}
  hrf_window_s: 3
trainer: {{max_epochs: null, max_steps: 2, progress: false, accelerator: cpu}}
"""
SPACE = "space-MNI152NLin2009aSym"
Command = Callable[..., Any]


@pytest.fixture(scope="session")
def kept_vae(
    brainreel: Command, kept_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A film VAE with a fold of an unseen film and one of an unseen person; not to be changed."""
    folder = tmp_path_factory.mktemp("vae")
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(store=kept_store))
    assert brainreel("fit", recipe, "--out", folder / "run").code == 0
    return folder / "run"


@pytest.fixture(scope="session")
def kept_network(
    brainreel: Command, kept_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An encoding model that hears; not to be changed."""
    out = tmp_path_factory.mktemp("network") / "run"
    few = ("trainer.max_epochs=none", "trainer.max_steps=1", "trainer.progress=false")
    args = ("fit", "film_encoding", f"data.path={kept_store}", *few, "--out", out)
    assert brainreel(*args).code == 0
    return out


@pytest.fixture
def image(kept_study: Path) -> Callable[[int, int], Path]:
    """image(person, run) -> a preprocessed image."""

    def found(who: int, run: int = 1) -> Path:
        folder = kept_study / "derivatives" / "fmriprep" / f"sub-{who:02}" / "func"
        return folder / f"sub-{who:02}_task-film_run-{run}_{SPACE}_desc-preproc_bold.nii.gz"

    return found


@pytest.fixture
def film(kept_study: Path) -> Path:
    return kept_study / "stimuli" / "film-2.mp4"


def volumes(path: Path) -> np.ndarray:
    """(T, X, Y, Z)."""
    return np.moveaxis(nib.load(path).get_fdata(), -1, 0)


def evaluated(run: Path, fold: str, who: str) -> Prediction:
    for found in load_fitted(run).predict():
        if isinstance(found, Prediction) and (found.fold, found.subject) == (fold, who):
            return found
    raise AssertionError(fold)


def first(root: Path, desc: str = "predicted") -> Path:
    (path,) = root.rglob(f"*_desc-{desc}_bold.nii.gz")
    return path


def predict(brainreel: Command, run: Path, film: Path, out: Path, *more: object) -> Path:
    brainreel("predict", run, "--film", film, "--out", out, *more).output  # noqa: B018
    return out


def test_images_sidecars_and_names(brainreel, kept_vae, film, image, tmp_path):
    out, fold = tmp_path / "out", ("--fold", "hold_out_stimulus")
    told = brainreel(
        "predict", kept_vae, "--film", film, "--reference", image(1), *fold, "--out", out,
        "--samples", 2, "--spread", "--volumes", 12,
    ).output  # fmt: skip
    stem = f"sub-01_task-film2_{SPACE}_desc-"
    descs = ("predicted", "sample01", "sample02", "spread")
    expected = {f"{stem}{desc}_bold{end}" for desc in descs for end in (".json", ".nii.gz")}
    assert {path.name for path in (out / "sub-01" / "func").iterdir()} == expected
    assert f"{stem}sample02_bold.nii.gz" in told
    assert "12 volumes of sub-01" in told
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "brainreel predict"
    facts = json.loads((out / "sub-01" / "func" / f"{stem}predicted_bold.json").read_text())
    assert (facts["RepetitionTime"], facts["HaemodynamicDelay"]) == (1.5, 3.0)
    assert facts["Sources"] == [str(path.resolve()) for path in (film, image(1), kept_vae)]
    assert "scanner units" in facts["Units"]
    assert facts["KnownToFit"] is True
    reference = nib.load(image(1))
    found = nib.load(first(out))
    assert found.shape == (*reference.shape[:3], 12)
    np.testing.assert_array_equal(found.affine, reference.affine)
    assert found.header.get_zooms()[3] == 1.5
    # In the reference's own units: the level of each voxel is that of its run.
    predicted, measured = volumes(first(out)), np.moveaxis(reference.get_fdata(), -1, 0)
    inside = predicted.any(axis=0)
    assert inside.sum() > 50
    level = measured.mean(axis=0)[inside]
    np.testing.assert_allclose(predicted.mean(axis=0)[inside], level, rtol=0.1)
    assert np.corrcoef(predicted.mean(axis=0)[inside], level)[0, 1] > 0.99
    spread = volumes(first(out, "spread"))
    assert (spread[:, inside] > 0).all()
    assert not list(tmp_path.glob(".*"))


def test_a_known_person_is_predicted_as_in_the_evaluation(
    brainreel, kept_vae, film, image, tmp_path
):
    known = evaluated(kept_vae, "hold_out_stimulus", "sub-01")
    same = ("--units", "z", "--film-start-s", 1, "--fold", "hold_out_stimulus")
    run = next(kept_store_of(kept_vae).glob("sub-01_task-film_run-1_*"))
    for number, reference in enumerate((image(1), run)):
        # The evaluation's reference: the volume in the middle of the first training run.
        out = predict(
            brainreel, kept_vae, film, tmp_path / f"{number}", "--reference", reference, *same
        )
        found = volumes(first(out))[:, known.mask.inside]
        np.testing.assert_allclose(found, known.predicted, atol=1e-4)
        assert known.predicted.std() > 1e-3


def kept_store_of(run: Path) -> Path:
    path = load_fitted(run).data.recordings[0].prepared.folder.parent
    assert isinstance(path, Path)
    return path


def test_a_new_person_is_predicted_as_in_the_evaluation(brainreel, kept_vae, film, image, tmp_path):
    unseen = evaluated(kept_vae, "hold_out_subject", "sub-02")
    n = int(np.count_nonzero(unseen.segment == 1))
    out = predict(
        brainreel, kept_vae, film, tmp_path / "out", "--reference", image(2, 1),
        "--fold", "hold_out_subject", "--units", "z", "--film-start-s", 1,
    )  # fmt: skip
    found = volumes(first(out))[:, unseen.mask.inside]
    assert found.shape == (n, unseen.predicted.shape[1])
    # The evaluation takes the volume in the middle of the person's other run, as predict does.
    np.testing.assert_allclose(found, unseen.predicted[unseen.segment == 1], atol=1e-4)


def test_one_volume_of_a_new_person(brainreel, kept_vae, film, image, tmp_path):
    whole = nib.load(image(2))
    volume = tmp_path / "sub-30_bold.nii.gz"
    nib.save(nib.Nifti1Image(whole.get_fdata()[..., 3].astype(np.float32), whole.affine), volume)
    args = ("--reference", volume, "--fold", "hold_out_stimulus", "--spread")
    out = predict(brainreel, kept_vae, film, tmp_path / "out", *args)
    path = first(out)
    assert path.name.startswith("sub-30_task-film2_")
    facts = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert facts["KnownToFit"] is False
    assert "relative to their level" in facts["ScaleDescription"]
    predicted = volumes(path)
    inside = predicted.any(axis=0)
    level = whole.get_fdata()[..., 3][inside]
    np.testing.assert_allclose(predicted.mean(axis=0)[inside], level, rtol=0.1)


def test_one_volume_of_a_known_person(brainreel, kept_vae, film, image, tmp_path):
    whole = nib.load(image(1))
    volume = tmp_path / f"sub-01_{SPACE}_bold.nii.gz"
    nib.save(nib.Nifti1Image(whole.get_fdata()[..., 3].astype(np.float32), whole.affine), volume)
    args = ("--fold", "hold_out_stimulus", "--reference", volume)
    out = predict(brainreel, kept_vae, film, tmp_path / "out", *args)
    assert 'KnownToFit": true' in next(out.rglob("*predicted*.json")).read_text()
    other = nib.Nifti1Image(100 * whole.get_fdata()[..., 3], whole.affine)
    nib.save(other, volume)
    told = brainreel("predict", kept_vae, "--film", film, *args, "--out", tmp_path / "o").error
    assert "deviations from what the fit knows of sub-01" in told


def test_an_encoding_model_predicts_its_people(brainreel, kept_network, film, tmp_path):
    known = evaluated(kept_network, "hold_out_stimulus", "sub-02")
    named = ("--subject", "sub-02", "--film-start-s", 1)
    z = predict(brainreel, kept_network, film, tmp_path / "z", *named, "--units", "z")
    found = volumes(first(z))[:, known.mask.inside]
    np.testing.assert_allclose(found, known.predicted, atol=1e-4)
    scanner = predict(brainreel, kept_network, film, tmp_path / "scanner", *named)
    levels = volumes(first(scanner))[:, known.mask.inside]
    runs = load_fitted(kept_network).data.recordings
    (trained,) = (r for r in runs if (r.subject, r.stimulus) == ("sub-02", "film-1"))
    expected = trained.level + trained.prepared.moments.mean
    np.testing.assert_allclose(levels, expected + found * trained.prepared.moments.std, rtol=1e-5)


def test_films_of_another_rate_and_size_and_a_dry_run(brainreel, kept_vae, image, tmp_path):
    film, out = write_film(tmp_path / "new.mp4", seconds=20), tmp_path / "out"
    args = ("predict", kept_vae, "--film", film, "--reference", image(1), "--out", out)
    fold = ("--fold", "hold_out_stimulus")
    told = brainreel(*args, *fold, "--dry-run").output
    assert "1 image would stand in" in told
    assert "14 volumes of sub-01" in told
    assert not out.exists()
    assert brainreel(*args, *fold).code == 0
    assert len(volumes(first(out))) == 14


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"--fold": None},
            "has several fits. Choose one by --fold: hold_out_stimulus, hold_out_su",
        ),
        ({"--fold": "hold_out_stimulis"}, "Did you mean 'hold_out_stimulus'?"),
        ({"--reference": None}, "Give it: --reference sub-30_bold.nii.gz."),
        ({"--reference": "none.nii.gz"}, "none.nii.gz: no such image."),
        ({"--reference-volume": 99}, "has no volume 99; they are counted from 0 to"),
        ({"--subject": "sub-09"}, "is of sub-01 by its name, and --subject says sub-09."),
        ({"--film": "none.mp4"}, "none.mp4: no such film."),
        ({"--volumes": 999}, "999 volumes cannot be predicted"),
        ({"--samples": -1}, "--samples -1: should be 0 to 99"),
        ({"--units": "scaner"}, "Did you mean 'scanner'?"),
        ({"--tr-s": 2}, "has a TR of 2 s, the fit one of 1.5 s."),
        ({"--tr-s": 0}, "--tr-s 0: should be seconds above 0."),
        ({"--tr-s": "nan"}, "--tr-s nan: should be seconds above 0."),
        ({"--film-start-s": "inf"}, "--film-start-s inf: should be seconds."),
        ({"--film-start-s": -40}, "Give a longer film, or a later --film-start-s."),
        ({"--subject": "../sub-01"}, "is named by letters and digits, as sub-30."),
    ],
)
def test_misuse_is_one_sentence_and_leaves_nothing(
    brainreel, kept_vae, film, image, tmp_path, change, told
):
    given = {"--film": film, "--reference": image(1), "--fold": "hold_out_stimulus"} | change
    args = [part for key, value in given.items() if value is not None for part in (key, value)]
    assert told in brainreel("predict", kept_vae, *args, "--out", tmp_path / "out").error
    assert not list(tmp_path.iterdir())


def image_of(path: Path, like: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    known = nib.load(like)
    nib.save(nib.Nifti1Image(change(known.get_fdata()).astype(np.float32), known.affine), path)
    return path


def with_nan(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[3:5, 3:5, 3:5] = np.nan
    return values


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("sub-30_bold.nii", lambda x: x[1:, ..., 0], r"(7, 9, 8), those of the fit are (8, 9, 8)."),
        ("sub-01_bold.nii", lambda x: with_nan(x[..., 0]), "hold NaN or infinite values"),
        ("sub-01_bold.nii", with_nan, "has a TR of 1 s, the fit one of 1.5 s. Give a run"),
        ("bold.nii", lambda x: x[..., 0], "does not tell whose it is. Give --subject"),
        ("sub-30_bold.nii", lambda x: x[..., 0] - 20000.0, "which no BOLD volume is"),
        ("sub-30_space-T1w_bold.nii", lambda x: x[..., 0], "lies in the space T1w"),
        ("sub-30_bold.nii", lambda x: x[0, ..., 0], "2-D; a reference is a volume"),
        ("sub-30_bold.nii", lambda x: 0 * x[..., 0], "Give one: --mask PATH."),
    ],
)
def test_a_reference_that_cannot_be_used(
    brainreel, kept_vae, film, image, tmp_path, name, change, told
):
    reference = image_of(tmp_path / name, image(1), change)
    out, mask = tmp_path / "out", ()
    if "no BOLD" in told:
        # Its mask is not to be found in volumes without a brain.
        (found,) = image(1).parent.glob("*run-1*brain_mask.nii.gz")
        mask = ("--mask", found)
    problem = brainreel(
        "predict", kept_vae, "--film", film, "--fold", "hold_out_stimulus", "--reference",
        reference, *mask, "--out", out,
    ).error  # fmt: skip
    assert told in problem
    assert not out.exists()


def test_a_run_with_nan_and_a_wrong_header(brainreel, kept_vae, film, image, tmp_path):
    args = ("predict", kept_vae, "--fold", "hold_out_stimulus", "--film", film, "--tr-s", 1.5)
    broken = image_of(tmp_path / "sub-30_bold.nii", image(2), with_nan)
    (mask,) = image(2).parent.glob("*run-1*brain_mask.nii.gz")
    more = ("--reference", broken, "--mask", mask, "--out", tmp_path / "out")
    told = brainreel(*args, *more).error
    assert "voxels in the mask hold NaN" in told
    assert told.endswith("Mend them or give a narrower --mask.")
    changes = {
        "9 volumes are too few to tell the deviation": lambda values: values[..., :9],
        "its volumes are all the same.": lambda values: np.repeat(values[..., :1], 12, axis=3),
    }
    for told, change in changes.items():
        other = image_of(tmp_path / "sub-30_bold.nii", image(2), change)
        more = ("--reference", other, "--mask", mask, "--out", tmp_path / "out")
        assert told in brainreel(*args, *more).error
        assert not (tmp_path / "out").exists()
    whole = image_of(tmp_path / "sub-30_bold.nii", image(2), lambda values: values)
    assert brainreel(*args, "--reference", whole, "--out", tmp_path / "out").code == 0


def test_a_reference_without_a_tr(brainreel, kept_vae, film, image, tmp_path):
    reference = image_of(tmp_path / "sub-30_bold.nii", image(2), lambda values: values)
    whole = nib.load(reference)
    whole.header["pixdim"][4] = 0
    nib.save(whole, tmp_path / "sub-31_bold.nii")
    told = brainreel(
        "predict", kept_vae, "--fold", "hold_out_stimulus", "--film", film, "--out",
        tmp_path / "out", "--reference", tmp_path / "sub-31_bold.nii",
    ).error  # fmt: skip
    assert told.endswith("Give RepetitionTime in the sidecar, or --tr-s.")


def test_a_prepared_run_takes_no_mask_and_no_tr(brainreel, kept_vae, kept_store, film, tmp_path):
    run = next(kept_store.glob("sub-01_task-film_run-1_*"))
    args = ("predict", kept_vae, "--fold", "hold_out_stimulus", "--film", film, "--out",
            tmp_path / "out", "--reference", run)  # fmt: skip
    assert "of which --mask says nothing." in brainreel(*args, "--mask", "mask.nii.gz").error
    assert "of which --tr-s says nothing." in brainreel(*args, "--tr-s", 1.5).error


def test_a_broken_reference_film_and_folder(brainreel, kept_vae, film, image, tmp_path):
    args = ("predict", kept_vae, "--fold", "hold_out_stimulus", "--out", tmp_path / "out")
    short = Path(shutil.copy(image(1), tmp_path / "sub-01_bold.nii.gz"))
    cut(short)
    assert "truncated" in brainreel(*args, "--film", film, "--reference", short).error
    bad = Path(shutil.copy(film, tmp_path / "cut.mp4"))
    cut(bad)
    assert "cut.mp4" in brainreel(*args, "--film", bad, "--reference", image(1)).error
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    told = brainreel(*args, "--film", film, "--reference", image(1)).error
    assert "already in use. Choose another --out" in told
    assert {path.name for path in tmp_path.iterdir()} == {"out", "cut.mp4", short.name}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), "whose BOLD? Give --subject, one of sub-01, sub-02."),
        (("--subject", "sub-07"), "the fit does not know sub-07. It knows sub-01, sub-02."),
        (("--subject", "sub-01", "--spread"), "predicts a mean alone"),
        (("--subject", "sub-01", "--mask", "m.nii"), "--mask says something of a reference."),
    ],
)
def test_misuse_of_an_encoding_model(brainreel, kept_network, film, tmp_path, more, told):
    args = ("predict", kept_network, "--film", film, "--out", tmp_path / "out")
    assert told in brainreel(*args, *more).error


def test_a_silent_film_for_a_model_that_hears(brainreel, kept_network, tmp_path):
    film = write_film(tmp_path / "silent.mp4", seconds=30)
    args = ("predict", kept_network, "--film", film, "--subject", "01", "--out", tmp_path / "out")
    assert "has no sound, and the model hears" in brainreel(*args).error


def test_another_task_cannot(brainreel, kept_run, film, tmp_path):
    told = brainreel("predict", kept_run, "--film", film, "--out", tmp_path / "out").error
    assert told.endswith("cannot predict a new film. Give a run of task film_vae or supervised.")
