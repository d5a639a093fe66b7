"""Broken scans, masks and films: status 2, one sentence, and nothing half-written."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from brainreel.simulate.film import render_film

from .breaking import NET, RIDGE, cut, full_disk, rewritten, tree, with_voxel


@pytest.fixture
def bold(kept_study: Path, tmp_path: Path) -> Path:
    """One run as a file of its own, with its mask beside it."""
    func = kept_study / "derivatives" / "fmriprep" / "sub-01" / "func"
    shutil.copy(next(func.glob("*run-1*desc-brain_mask.nii.gz")), tmp_path / "mask.nii.gz")
    return Path(shutil.copy(next(func.glob("*run-1*preproc_bold.nii.gz")), tmp_path / "b.nii.gz"))


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


def test_a_disk_that_is_full_while_runs_are_prepared(brainreel, kept_study, tmp_path, monkeypatch):
    monkeypatch.setattr("brainreel.fmri.make.write_rows", full_disk)
    told = brainreel("prepare", kept_study, "--task", "film", "--out", tmp_path / "s").error
    assert "4 of 4 runs could not be prepared" in told
    assert "cannot be written (No space left on device). Free some space" in told
    assert list(tmp_path.iterdir()) == []


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
