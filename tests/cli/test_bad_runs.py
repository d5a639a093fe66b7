"""Run folders and data that are not what they were: status 2 and one sentence."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from .breaking import RIDGE, cut, full_disk, rewritten, tree


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
