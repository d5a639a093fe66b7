"""What a careless user meets: status 2, one sentence, and nothing half-written."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.io import savemat

from brainreel.simulate.film import render_film

TWO_STEPS = ("trainer.max_epochs=none", "trainer.max_steps=2", "trainer.progress=false")
NET = ("film_encoding", *TWO_STEPS)
RIDGE = ("film_ridge",)


def tree(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Scans


@pytest.fixture
def bold(kept_study: Path, tmp_path: Path) -> Path:
    """One run as a file of its own, with its mask beside it."""
    func = kept_study / "derivatives" / "fmriprep" / "sub-01" / "func"
    shutil.copy(next(func.glob("*run-1*desc-brain_mask.nii.gz")), tmp_path / "mask.nii.gz")
    return Path(shutil.copy(next(func.glob("*run-1*preproc_bold.nii.gz")), tmp_path / "b.nii.gz"))


def rewritten(path: Path, change: Callable[[Any], Any], tr_s: float = 1.5) -> None:
    """Write an image again with other voxels."""
    old = nib.load(path)
    values = change(np.asarray(old.dataobj, np.float32))
    image = nib.Nifti1Image(values, old.affine)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        image.header["pixdim"][4] = tr_s
    nib.save(image, path)


def with_voxel(value: float) -> Callable[[Path], None]:
    def change(values: Any) -> Any:
        values[4, 4, 4, 3] = value
        return values

    return lambda path: rewritten(path, change)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SCANS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut, "b.nii.gz: truncated; the header promises more volumes"),
    "no image": (lambda path: path.write_text("hello"), "b.nii.gz: not an image that can be read"),
    "empty file": (lambda path: path.write_bytes(b""), "b.nii.gz: not an image that can be read"),
    "3-D": (
        lambda path: rewritten(path, lambda values: values[..., 0]),
        "b.nii.gz: 3-D (8, 9, 8); a run is 4-D (X, Y, Z, volumes). Give the BOLD series",
    ),
    "one volume": (
        lambda path: rewritten(path, lambda values: values[..., :1]),
        "b.nii.gz: a run of 1 volume is too short. Give the whole BOLD series.",
    ),
    "TR 0": (
        lambda path: rewritten(path, lambda values: values, tr_s=0),
        "b.nii.gz: no TR; the header says 0. Give RepetitionTime in the sidecar, or tr_s.",
    ),
    "NaN": (with_voxel(np.nan), "1 voxels in the mask hold NaN or infinite values, the first at"),
    "inf": (with_voxel(np.inf), "1 voxels in the mask hold NaN or infinite values, the first at"),
    "gone": (Path.unlink, "b.nii.gz: no such file or folder. Give a BIDS folder, or a NIfTI"),
}


@pytest.mark.parametrize("fault", SCANS)
def test_a_broken_scan(brainreel, bold, tmp_path, fault):
    change, told = SCANS[fault]
    change(bold)
    before = tree(tmp_path)
    error = brainreel("prepare", bold, f"mask={tmp_path / 'mask.nii.gz'}", "--out", tmp_path / "s")
    assert told in error.error
    assert not (tmp_path / "s").exists()
    assert tree(tmp_path) == before


def test_a_plain_nifti_cut_short(brainreel, bold, tmp_path):
    plain = tmp_path / "b.nii"
    plain.write_bytes(gzip.decompress(bold.read_bytes())[:-100])
    error = brainreel("prepare", plain, f"mask={tmp_path / 'mask.nii.gz'}", "--out", tmp_path / "s")
    assert "b.nii: truncated; the header promises" in error.error
    assert not (tmp_path / "s").exists()


MASKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "all zero": (
        lambda path: rewritten(path, lambda values: values * 0),
        "mask.nii.gz: the mask is all zero. Give a mask with at least one voxel.",
    ),
    "another grid": (
        lambda path: rewritten(path, lambda values: values[:3, :3, :3]),
        "volumes are (8, 9, 8), the mask mask.nii.gz is (3, 3, 3). Resample the mask",
    ),
    "grey": (
        lambda path: rewritten(path, lambda v: v + np.arange(8, dtype=np.float32)),
        "different values; a mask has 0 outside and one value inside. Threshold it first.",
    ),
    "gone": (Path.unlink, "mask.nii.gz: no such image."),
}


@pytest.mark.parametrize("fault", MASKS)
def test_a_broken_mask(brainreel, bold, tmp_path, fault):
    change, told = MASKS[fault]
    mask = tmp_path / "mask.nii.gz"
    change(mask)
    error = brainreel("prepare", bold, f"mask={mask}", "--out", tmp_path / "s")
    assert told in error.error
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("tr_s", "told"),
    [
        (0, "the sidecar's RepetitionTime is 0. Give a number of seconds above 0."),
        ("2 s", "the sidecar's RepetitionTime is '2 s'. Give a number of seconds above 0."),
        (2.5, "the header says a TR of 1.5 s, the sidecar 2.5 s. Mend one of them, or give tr_s."),
    ],
)
def test_a_sidecar_with_another_tr(brainreel, study, tmp_path, tr_s, told):
    for path in study.rglob("sub-01_task-film*bold.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"RepetitionTime": tr_s}))
    error = brainreel("prepare", study, "--task", "film", "--out", tmp_path / "s").error
    assert told in error
    assert "sub-01_task-film_run-1" in error
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nowhere"], "nowhere: no such file or folder."),
        (["STUDY", "--subject", "sub-09"], "no run of sub-09. Known: 01, 02."),
        (["STUDY", "--task", "flim"], "no run of task-flim. Did you mean 'film'?"),
        (["STUDY", "--space", "T1w"], "no image in the space 'T1w'. Known: MNI152NLin2009aSym."),
        (["STUDY", "clean.hihg_pass_hz=1"], "unknown key 'clean.hihg_pass_hz'. Did you mean"),
        (["STUDY", "clean=3"], "'clean' is a group of options; give one as clean.KEY=VALUE"),
        (["STUDY", "mask_over=you"], "'mask_over' should be 'run', 'subject' or 'all' (given"),
        (["STUDY", "clean.confounds=[moton]"], "no confound 'moton'. Did you mean 'motion'?"),
        (["STUDY", "--n-jobs", "0"], "n_jobs cannot be 0. Give 1 or more, or -1 for all cores."),
        (["STUDY", "--backend", "lokyy"], "joblib has no backend 'lokyy'"),
        (["STUDY", "--film", "x.mp4"], "in a folder, a task's film. Write --film TASK=x.mp4."),
        (["STUDY", "--film", "flim=x.mp4"], "a film is given for task-flim, which no run has."),
        (["STUDY", "--film-start-s", "2"], "--film-start-s says nothing about a folder. Leave it"),
    ],
)
def test_a_wrong_word_to_prepare(brainreel, kept_study, tmp_path, args, told):
    args = [str(kept_study) if arg == "STUDY" else arg for arg in args]
    assert told in brainreel("prepare", *args, "--out", tmp_path / "s").error
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_holds_something_else(brainreel, kept_study, tmp_path):
    (tmp_path / "thesis.doc").touch()
    error = brainreel("prepare", kept_study, "--task", "film", "--out", tmp_path).error
    assert error == f"{tmp_path}: already in use. Choose another --out, or remove it first."
    assert tree(tmp_path) == ["thesis.doc"]


def test_one_bad_run_leaves_the_others(brainreel, study, tmp_path):
    with_voxel(np.nan)(next(study.rglob("sub-02_task-film_run-2*preproc_bold.nii.gz")))
    assert (
        "sub-02_task-film_run-2"
        in brainreel("prepare", study, "--task", "film", "--out", tmp_path / "s").error
    )
    kept = sorted(path.name[:22] for path in (tmp_path / "s").iterdir() if path.is_dir())
    assert kept == ["sub-01_task-film_run-1", "sub-01_task-film_run-2", "sub-02_task-film_run-1"]


# Films


def remuxed(path: Path, kind: str) -> None:
    """Keep only the pictures or only the sound of a film."""
    kept = path.with_name("kept.mp4")
    with av.open(str(path)) as film, av.open(str(kept), "w") as out:
        (stream,) = [item for item in film.streams if item.type == kind]
        target = out.add_stream_from_template(stream)
        for packet in film.demux(stream):
            if packet.dts is not None:
                packet.stream = target
                out.mux(packet)
    kept.replace(path)


def of_length(path: Path, duration_s: float) -> None:
    path.unlink()
    render_film(path, duration_s, seed=0, frame_rate_hz=5, size=(32, 48), sample_rate_hz=16000)


def of_codec(path: Path, code: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(b"avc1", code).replace(b"mp4v", code))


FILMS: dict[str, tuple[Callable[[Path], object], Sequence[str], str]] = {
    "no sound": (
        lambda path: remuxed(path, "video"),
        RIDGE,
        "film-1.mp4: the film has no sound, which 'spectrum' needs. Choose among: luminance, "
        "contrast, motion_energy.",
    ),
    "no pictures, ridge": (
        lambda path: remuxed(path, "audio"),
        RIDGE,
        "film-1.mp4: the film has no pictures, which 'luminance' needs. Choose among: spectrum, "
        "loudness, onsets, pitch.",
    ),
    "no pictures, network": (
        lambda path: remuxed(path, "audio"),
        NET,
        "film-1.mp4: the film has no pictures. Give a film that has.",
    ),
    "zero length": (
        lambda path: path.write_bytes(b""),
        RIDGE,
        "film-1.mp4: the file is empty (0 bytes). Copy the film again.",
    ),
    "no film": (
        lambda path: path.write_text("hello" * 100),
        NET,
        "film-1.mp4: cannot be read as a film (Invalid data found when processing input).",
    ),
    "truncated": (cut, RIDGE, "film-1.mp4: cannot be read as a film"),
    "unknown codec": (
        lambda path: of_codec(path, b"xyz1"),
        NET,
        "film-1.mp4: its codec is not known. Convert the film to H.264 with AAC sound.",
    ),
    "shorter": (
        lambda path: of_length(path, 10),
        RIDGE,
        "sub-01_task-film_run-1: film lasts 10.0 s, 17 TRs of 1.5 s cover -1.0 to 24.5 s of it. "
        "Drop the last volumes, or mend the film's start (film_start_s). To keep the TRs that lie "
        "in the film: data.film_mismatch=trim.",
    ),
    "longer": (
        lambda path: of_length(path, 40),
        NET,
        "film lasts 40.0 s, 17 TRs of 1.5 s cover -1.0 to 24.5 s of it. Trim the film, or mend",
    ),
}


@pytest.mark.parametrize("fault", FILMS)
def test_a_broken_film(brainreel, study, tmp_path, fault):
    change, recipe, told = FILMS[fault]
    change(study / "stimuli" / "film-1.mp4")
    store, out = tmp_path / "store", tmp_path / "out"
    assert brainreel("prepare", study, "--task", "film", "--out", store).code == 0
    before = tree(tmp_path)
    assert told in brainreel("run", *recipe, f"data.path={store}", "--out", out).error
    assert not out.exists()
    assert tree(tmp_path) == before


def test_a_film_too_short_can_be_trimmed_as_the_message_says(brainreel, study, tmp_path):
    of_length(study / "stimuli" / "film-1.mp4", 20)
    store = tmp_path / "store"
    assert brainreel("prepare", study, "--task", "film", "--out", store).code == 0
    args = ("fit", "film_ridge", f"data.path={store}", "--out", tmp_path / "out")
    assert "film_mismatch=trim" in brainreel(*args).error
    assert brainreel(*args, "data.film_mismatch=trim", "task.features=[loudness]").code == 0


def test_two_films_for_one_run(brainreel, study, tmp_path):
    for events in study.rglob("sub-01_task-film_run-1*_events.tsv"):
        events.write_text(events.read_text() + "9\t3\tfilm\tfilm-2.mp4\n")
    args = ("prepare", study, "--task", "film", "--out", tmp_path / "s")
    assert brainreel(*args).error == (
        "sub-01_task-film_run-1: two films for one run, film-1.mp4 and film-2.mp4. Split the run, "
        "or choose one with --film TASK=PATH."
    )
    assert not (tmp_path / "s").exists()
    film = study / "stimuli" / "film-1.mp4"
    assert brainreel(*args, "--film", f"film={film}").code == 0


def test_a_film_that_is_missing_before_or_after_prepare(brainreel, study, tmp_path):
    store, film = tmp_path / "s", study / "stimuli" / "film-1.mp4"
    assert brainreel("prepare", study, "--task", "film", "--out", store).code == 0
    film.unlink()
    assert brainreel("run", *RIDGE, f"data.path={store}", "--out", tmp_path / "out").error == (
        f"sub-01_task-film_run-1: its film {film} is gone. Put it back, or prepare again."
    )
    assert not (tmp_path / "out").exists()
    told = brainreel("prepare", study, "--task", "film", "--out", tmp_path / "s2").error
    assert "the events name the film film-1.mp4, which is not in" in told
    assert not (tmp_path / "s2").exists()


# Recipes and overrides


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["film_rigde"], "'film_rigde' is no shipped recipe. Did you mean 'film_ridge'?"),
        (["nothing"], "'nothing' is no shipped recipe. Known: alice, digits69, film_encoding,"),
        (["x.yaml"], "x.yaml: cannot be read (No such file or directory)."),
        (["film_ridge"], "'data.path' is missing. Give it as data.path=VALUE."),
        (["film_ridge", "STORE", "trainer.max_epoch=3"], "unknown key 'trainer.max_epoch'. Did"),
        (["film_ridge", "STORE", "trainr.max_epochs=3"], "unknown key 'trainr'. Did you mean 'tr"),
        (["film_ridge", "STORE", "model.name=rigde"], "'model.name' is 'rigde', which is not"),
        (["film_ridge", "STORE", "model.name=encoding"], "cannot use model 'encoding'; it uses"),
        (["film_ridge", "data.path"], "'data.path' is no override. Write key.sub=value."),
        (["film_ridge", "STORE", "seed=one"], "'seed' should be a whole number (given: 'one')."),
        (["film_ridge", "STORE", "seed=-1"], "'seed' should be greater than or equal to 0"),
        (["film_ridge", "STORE", "trainer=3"], "'trainer' is a group of options; give one as"),
        (["film_ridge", "STORE", "task.features=loudness"], "'task.features' should be a list"),
        (["film_ridge", "STORE", "task.features=[loud]"], "no feature space 'loud'. Did you mean"),
        (["film_ridge", "STORE", "task.first_delay_s=30"], "No whole TR of 1.5 s lies between"),
        (["film_ridge", "STORE", "data.tasks=[flim]"], "no prepared run of task-flim. Did you"),
        (["film_ridge", "STORE", "data.subjects=[sub-7]"], "no prepared run of sub-7. Known: 01"),
        (["film_ridge", "data.path=nowhere"], "nowhere: no prepared runs here. Make them with"),
        (["film_ridge", "STORE", "scoring.truth=nowhere"], "nowhere: no simulated study"),
        (
            ["film_ridge", "STORE", "data.splits.0.test_stimuli=[film-1,film-2]"],
            "nothing to train on.",
        ),
        (["film_encoding", "STORE", "trainer.logger=wandb"], "pip install 'brainreel[wandb]'"),
        (["alice", "data.path=nowhere.npz"], "nowhere.npz: no such data file."),
        (
            ["pictures_ridge", "TRIALS", "scoring.truth=x"],
            "scoring.truth is for simulated film studies; leave it out",
        ),
        (["pictures_ridge", "TRIALS", "data.voxel_keys=[voxel]"], "no key 'voxel'. It holds: "),
    ],
)
def test_a_wrong_word_to_run(brainreel, kept_store, trials, tmp_path, monkeypatch, args, told):
    monkeypatch.chdir(tmp_path)
    if "wandb" in told:
        monkeypatch.setitem(sys.modules, "wandb", None)
    known = {"STORE": f"data.path={kept_store}", "TRIALS": f"data.path={trials}"}
    args = [known.get(arg, arg) for arg in args]
    assert told in brainreel("run", args[0], *TWO_STEPS, *args[1:], "--out", "out").error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "r.yaml: not valid YAML (line 1: expected ',' or ']', but got '<stream end>')."),
        ("- 1", "r.yaml: a recipe is a mapping of keys to values."),
        ("title: x", "r.yaml: 'data' is missing. Give it as data.name=NAME (films or series or"),
    ],
)
def test_a_broken_recipe_file(brainreel, tmp_path, text, told):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    assert told in brainreel("run", path, "--out", tmp_path / "out").error
    assert tree(tmp_path) == ["r.yaml"]


# Arrays


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_a_wrong_key_lists_the_keys(brainreel, tmp_path, suffix):
    arrays = {"fmriTrn": np.ones((4, 3)), "stimTrn": np.ones((4, 9)), "labelTrn": np.ones(4)}
    path = tmp_path / f"digits{suffix}"
    if suffix == ".mat":
        savemat(path, arrays)
    else:
        np.savez(path, **arrays)
    error = brainreel("run", "digits69", f"data.path={path}", "--out", tmp_path / "out").error
    assert f"digits{suffix}: no key 'fmriTest'. It holds: " in error
    assert all(key in error for key in arrays)
    assert not (tmp_path / "out").exists()


SERIES = (
    "alice",
    "data.bold_key=bold",
    "data.voxel_names_key=roi",
    "data.subjects_key=",
    "data.words=none",
    "data.regressors.power=power",
    "task.features=[power]",
    "data.n_dummy=0",
    "data.splits.0.train=none",
    "data.splits.0.test=0.25",
    "scoring.n_permutations=20",
    "scoring.n_bootstrap=20",
)


def changed(path: Path, **arrays: Any) -> None:
    with np.load(path) as kept:
        np.savez(path, **{**kept, **arrays})


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"tr_s": 0.0}, "series.npz: A TR of 0 s cannot be used"),
        ({"tr_s": np.nan}, "series.npz: A time of nan seconds cannot be used."),
        ({"bold": np.ones((3, 60, 4))}, "series.npz 'bold': nobody's signal ever changes."),
        ({"bold": np.ones((60, 4))}, "'bold' has 2 axes (60, 4); it should have 3: (people, time"),
        ({"power": np.ones(50)}, "'bold' has 60, 'power' has 50 TRs; they should have as many."),
        ({"bold": np.full((3, 60, 4), np.inf)}, "720 of 720 values are NaN or infinite, the first"),
        ({"roi": np.array(list("abc"))}, "'bold' has 4, 'roi' has 3 voxels; they should have as"),
        ({"roi": np.array(list("abca"))}, "'roi': a name stands twice; names must be unique."),
        ({"bold": np.zeros((3, 0, 4))}, "series.npz: A run of 0 TRs cannot be used"),
        (
            {"bold": np.eye(9)[None], "roi": np.arange(9), "power": np.ones(9)},
            "has 9 TRs of 2 s; some TRs of training and 2 TRs of test, 16 s apart, do not fit.",
        ),
        ({"bold": np.array([{}, 1], object)}, "it holds pickled objects, which may run code"),
    ],
)
def test_broken_series(brainreel, series_file, tmp_path, arrays, told):
    changed(series_file, **arrays)
    before = tree(tmp_path)
    out = tmp_path / "out"
    assert told in brainreel("run", *SERIES, f"data.path={series_file}", "--out", out).error
    assert not out.exists()
    assert tree(tmp_path) == before


def test_a_constant_person_is_left_out_and_told(brainreel, series_file, tmp_path):
    out = tmp_path / "out"
    assert brainreel("run", *SERIES, f"data.path={series_file}", "--out", out).output
    card = json.loads((out / "scorecard.json").read_text())
    assert "sub-03 was left out: its signal never changes." in card["notes"]
    assert card["data"]["people"] == ["sub-01", "sub-02", "group"]
    assert "sub-03 was left out" in (out / "report.html").read_text()


def test_one_person_alone_is_scored(brainreel, series_file, tmp_path):
    with np.load(series_file) as kept:
        changed(series_file, bold=kept["bold"][:1])
    out = tmp_path / "out"
    args = (*SERIES, "data.group_mean=false", f"data.path={series_file}", "--out", out)
    assert brainreel("run", *args).output
    card = json.loads((out / "scorecard.json").read_text())
    assert card["scores"]["r_median"] > 0.5
    assert "inter_subject" not in card["ceilings"]


@pytest.mark.parametrize("model", [RIDGE, NET])
def test_one_film_subject_alone_is_fitted_but_not_held_out(brainreel, kept_store, tmp_path, model):
    args = (*model, f"data.path={kept_store}", "data.subjects=[sub-01]")
    assert brainreel("fit", *args, "--out", tmp_path / "fitted").output
    told = brainreel(
        "fit", *args, "data.splits.0.name=hold_out_subject", "--out", tmp_path / "out"
    ).error
    assert "hold_out_subject" in told
    assert "nothing to train on" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", [RIDGE, NET])
def test_a_person_who_was_never_seen_cannot_be_predicted(brainreel, kept_store, tmp_path, model):
    args = (*model, f"data.path={kept_store}", "data.splits.0.name=hold_out_subject")
    told = brainreel("run", *args, "--out", tmp_path / "out").error
    assert "sub-02" in told
    assert "training" in told


@pytest.mark.parametrize("n_trials", [1, 2])
def test_one_or_two_trials(brainreel, tmp_path, n_trials):
    rng = np.random.default_rng(0)
    path = tmp_path / "few.npz"
    pictures = rng.integers(0, 255, (n_trials, 8, 8)).astype(np.uint8)
    np.savez(path, voxels=rng.normal(size=(n_trials, 9)), pictures=pictures, labels=[1] * n_trials)
    told = brainreel(
        "run", "pictures_ridge", f"data.path={path}", "data.splits.0.n_train=1",
        "--out", tmp_path / "out",
    ).error  # fmt: skip
    assert ("one trial cannot be split" if n_trials == 1 else "1 training trial") in told
    assert tree(tmp_path) == ["few.npz"]


# Run folders


def test_a_folder_in_use(brainreel, kept_store, tmp_path):
    (tmp_path / "thesis.doc").touch()
    args = ("run", *RIDGE, f"data.path={kept_store}", "--out", tmp_path)
    assert brainreel(*args).error == (
        f"{tmp_path}: already in use. Choose another --out, or remove it first."
    )
    assert "already in use" in brainreel(*args, "--resume").error
    assert tree(tmp_path) == ["thesis.doc"]


def test_a_run_in_the_way_and_the_resume_of_another(brainreel, fitted, kept_store):
    before = {name: (fitted / name).read_bytes() for name in tree(fitted)}
    args = ("run", *RIDGE, f"data.path={kept_store}", "--out", fitted)
    assert brainreel(*args).error == f"{fitted}: holds a run already. Choose another --out."
    assert brainreel(*args, "seed=3", "--resume").error == (
        f"{fitted}: holds another run (its config.yaml differs). Choose another --out."
    )
    assert {name: (fitted / name).read_bytes() for name in tree(fitted)} == before


def test_a_run_broken_off_says_how_to_go_on(brainreel, kept_store, tmp_path, monkeypatch):
    out = tmp_path / "out"
    args = ("fit", *RIDGE, f"data.path={kept_store}", "--out", out)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("brainreel.train.feature_ridge.fit_feature_ridge", interrupt)
        assert brainreel(*args).code == 130
    assert tree(out) == ["config.yaml"]
    assert brainreel(*args).error == (
        f"{out}: holds this run, broken off. Go on with it by --resume, or choose another --out."
    )
    assert brainreel(*args, "--resume").output


def test_a_fit_that_breaks_keeps_its_checkpoints(brainreel, kept_store, tmp_path, monkeypatch):
    out = tmp_path / "out"
    args = (
        "fit", "film_encoding", f"data.path={kept_store}", "trainer.max_epochs=none",
        "trainer.max_steps=4", "trainer.checkpoint_every_steps=2", "trainer.progress=false",
        "--out", out,
    )  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr("brainreel.checkpoints.store.save_file", full_disk)
        assert "No space left on device" in brainreel(*args).error
    left = tree(out)
    assert "config.yaml" in left
    assert "checkpoints/last.ckpt" in left
    assert "weights.safetensors" not in left
    assert brainreel(*args, "--resume").output
    assert (out / "weights.safetensors").is_file()


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_while_weights_are_written(
    brainreel, kept_store, tmp_path, monkeypatch
):
    monkeypatch.setattr("brainreel.checkpoints.store.save_file", full_disk)
    args = ("run", *RIDGE, f"data.path={kept_store}", "--out", tmp_path / "out")
    assert brainreel(*args).error == (
        f"{tmp_path / 'out' / 'weights.safetensors'}: cannot be written (No space left on device). "
        "Free some space or choose another folder."
    )
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_while_runs_are_prepared(brainreel, kept_study, tmp_path, monkeypatch):
    monkeypatch.setattr("brainreel.fmri.make.write_rows", full_disk)
    told = brainreel("prepare", kept_study, "--task", "film", "--out", tmp_path / "s").error
    assert "4 of 4 runs could not be prepared" in told
    assert "cannot be written (No space left on device). Free some space" in told
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_while_predictions_are_written(brainreel, fitted, monkeypatch):
    for name in ("scorecard.json", "report.html"):
        (fitted / name).unlink()
    shutil.rmtree(fitted / "predictions")
    before = tree(fitted)
    monkeypatch.setattr("brainreel.train.predictions.np.savez", full_disk)
    assert "cannot be written (No space left on device)" in _evaluated(brainreel, fitted)
    assert tree(fitted) == before


def _evaluated(brainreel: Any, folder: Path) -> str:
    return str(brainreel("evaluate", folder).error)


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("save", ["pickle", "torch", "torch legacy"])
def test_a_pickle_as_weights_is_refused_unread(brainreel, fitted, tmp_path, save):
    mark, weights = tmp_path / "executed", fitted / "weights.safetensors"
    if save == "pickle":
        weights.write_bytes(pickle.dumps(Evil(mark)))
    else:
        torch.save(Evil(mark), weights, _use_new_zipfile_serialization=save == "torch")
    assert _evaluated(brainreel, fitted) == (
        f"{weights}: is a pickle, which can run code when it is read, so it was not read. Give a "
        ".safetensors file."
    )
    assert not mark.exists()


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (cut, "weights.safetensors: truncated or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "weights.safetensors: truncated or damaged"),
    "changed": (
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"),
        "is not the file that the fit wrote (its SHA-256 differs). Fit again, or restore the file.",
    ),
    "gone": (Path.unlink, "no weights.safetensors in it, so it is no fitted run. Run 'brainreel"),
}


@pytest.mark.parametrize("fault", WEIGHTS)
def test_broken_weights(brainreel, fitted, fault):
    change, told = WEIGHTS[fault]
    change(fitted / "weights.safetensors")
    before = {name: (fitted / name).read_bytes() for name in tree(fitted)}
    assert told in _evaluated(brainreel, fitted)
    assert {name: (fitted / name).read_bytes() for name in tree(fitted)} == before


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("versions.json", "[]", "versions.json: not what a fit writes there. Fit again."),
        ("versions.json", "{", "versions.json: not valid JSON"),
        ("config.yaml", "data: [", "config.yaml: not valid YAML (line 1"),
        ("config.yaml", "data: {}", "config.yaml: 'data' needs a name"),
        ("spec.json", "[]", "spec.json: not what a fit writes there"),
    ],
)
def test_a_run_folder_with_a_broken_file(brainreel, fitted, name, content, told):
    (fitted / name).write_text(content)
    assert told in _evaluated(brainreel, fitted)


def test_evaluate_and_report_of_what_is_no_run(brainreel, kept_study, tmp_path):
    for folder in (kept_study, tmp_path, tmp_path / "nowhere"):
        assert brainreel("evaluate", folder).error == (
            f"{folder}: no weights.safetensors in it, so it is no fitted run. Run 'brainreel fit' "
            "first."
        )
        assert f"{folder}: not a run folder" in brainreel("report", folder).error
    assert list(tmp_path.iterdir()) == []


def test_report_of_a_run_that_was_not_evaluated(brainreel, fitted):
    (fitted / "scorecard.json").unlink()
    (fitted / "report.html").unlink()
    assert brainreel("report", fitted).error == (
        f"{fitted}: not scored yet (it has no scorecard.json). Run `brainreel evaluate {fitted}` "
        "first."
    )
    assert not (fitted / "report.html").exists()


# Data after the fit


@pytest.fixture
def own_run(brainreel, study, tmp_path) -> tuple[Path, Path, Path]:
    """A study, its store, and a run on it, all of them to be changed."""
    store, out = tmp_path / "own", tmp_path / "out"
    assert brainreel("prepare", study, "--task", "film", "--out", store).code == 0
    args = ("task.features=[loudness]", "scoring.n_permutations=9", "scoring.n_bootstrap=9")
    assert brainreel("fit", *RIDGE, *args, f"data.path={store}", "--out", out).code == 0
    return study, store, out


def test_a_store_that_was_moved(brainreel, own_run):
    _, store, out = own_run
    before = tree(out)
    moved = store.rename(store.with_name("elsewhere"))
    assert _evaluated(brainreel, out) == (
        f"{store}: the data that {out} was fitted on is not there. Put it back, or give its new "
        f"place as data.path in {out / 'config.yaml'}."
    )
    assert tree(out) == before
    config = out / "config.yaml"
    config.write_text(config.read_text().replace(str(store), str(moved)))
    assert brainreel("evaluate", out).output


def test_data_that_was_prepared_in_another_way(brainreel, own_run):
    study, store, out = own_run
    before = tree(out)
    again = ("prepare", study, "--task", "film", "--out", store)
    assert brainreel(*again, "clean.detrend=false").code == 0
    told = _evaluated(brainreel, out)
    assert told.startswith(f"{out}: its data changed since the fit (sub-01_task-film_run-1 ")
    assert "fit again into another --out" in told
    assert tree(out) == before
    assert brainreel(*again).code == 0
    assert brainreel("evaluate", out).output


def test_scans_and_films_that_were_changed(brainreel, own_run):
    study, store, out = own_run
    film = study / "stimuli" / "film-2.mp4"
    kept = film.read_bytes()
    shutil.copy(study / "stimuli" / "film-1.mp4", film)
    assert f"its film {film} was changed since. Prepare the run again." in _evaluated(
        brainreel, out
    )
    film.write_bytes(kept)
    scan = next(study.rglob("sub-01_task-film_run-2*preproc_bold.nii.gz"))
    rewritten(scan, lambda values: values + 1)
    assert brainreel("prepare", study, "--task", "film", "--out", store).code == 0
    assert "its data changed since the fit (sub-01_task-film_run-2 bold)" in _evaluated(
        brainreel, out
    )
    assert "predictions" not in " ".join(tree(out))


STORES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda run: cut(run / "bold.npy"), "bold.npy: missing or broken. Delete its folder"),
    "pickle": (
        lambda run: (run / "bold.npy").write_bytes(pickle.dumps([1])),
        "bold.npy: missing or broken. Delete its folder and prepare again.",
    ),
    "shape": (
        lambda run: np.save(run / "bold.npy", np.zeros((3, 4), np.float32)),
        "bold.npy: holds (3, 4), not 17 TRs of",
    ),
    "bold gone": (lambda run: (run / "bold.npy").unlink(), "bold.npy: missing or broken."),
    "mask gone": (lambda run: (run / "mask.nii.gz").unlink(), "mask.nii.gz: no such image."),
    "manifest": (
        lambda run: (run / "manifest.json").write_text("{"),
        "manifest.json: not valid JSON",
    ),
    "run gone": (shutil.rmtree, "manifest.json: no such file."),
}


@pytest.mark.parametrize("fault", STORES)
def test_a_broken_store(brainreel, store, tmp_path, fault):
    change, told = STORES[fault]
    change(next(store.glob("sub-01_task-film_run-2_*")))
    out = tmp_path / "out"
    assert told in brainreel("run", *RIDGE, f"data.path={store}", "--out", out).error
    assert not out.exists()
