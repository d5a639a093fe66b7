"""Wrong recipes, overrides and arrays: status 2, one sentence, and nothing half-written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from .breaking import NET, RIDGE, TWO_STEPS, tree


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["film_rigde"], "'film_rigde' is no shipped recipe. Did you mean 'film_ridge'?"),
        (["nothing"], "'nothing' is no shipped recipe. Known: alice, digits69, digits69_ldm,"),
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
        ("title: x", "r.yaml: 'data' is missing. Give it as data.name=NAME (films or people or"),
    ],
)
def test_a_broken_recipe_file(brainreel, tmp_path, text, told):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    assert told in brainreel("run", path, "--out", tmp_path / "out").error
    assert tree(tmp_path) == ["r.yaml"]


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


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--space", "T1w"], "--space says nothing about one file. Leave it out."),
        (["--derivatives", "x"], "--derivatives says nothing about one file. Leave it out."),
        (["--film", "a", "--film", "b"], "--film was given 2 times for one file. Give it once."),
        (["--subject", "1", "--subject", "2"], "--subject was given 2 times for one file."),
        (["--film", "none.mp4"], "none.mp4: no such film."),
    ],
)
def test_a_wrong_word_about_one_file(brainreel, kept_study, tmp_path, args, told):
    bold = next(kept_study.rglob("*preproc_bold.nii.gz"))
    assert told in brainreel("prepare", bold, *args, "--out", tmp_path / "s").error
    assert list(tmp_path.iterdir()) == []
