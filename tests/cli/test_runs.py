"""Whole runs by the command: dry, in one go or step by step, read back, and free of leaks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from brainreel.evaluate.scorecard import Scorecard
from brainreel.fmri.store import read_store
from brainreel.train.fit import fit, load_fitted
from brainreel.train.recipe import RunConfig, recipe_names, resolve

from .breaking import TWO_STEPS, tree
from .conftest import FEW_DRAWS

# A recipe on data from two places must be told both.
ALSO = {"tubevit_joint": ("data.also.0.path=pictures",)}


@pytest.mark.parametrize("name", recipe_names())
def test_a_dry_run_prints_the_recipe_that_would_run(brainreel, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    args = (name, "data.path=somewhere/else", "seed=7", "optim.lr=2e-4", *ALSO.get(name, ()))
    told = brainreel("run", *args, "--out", "out", "--dry-run").output
    assert list(tmp_path.iterdir()) == []
    config = RunConfig.parse(yaml.safe_load(told))
    assert config == resolve(name, args[1:])
    assert (config.data.path, config.seed, config.optim.lr) == (Path("somewhere/else"), 7, 2e-4)
    Path("again.yaml").write_text(told)
    again = brainreel("run", "again.yaml", "--out", "out", "--dry-run").output
    assert again == told


def test_a_dry_preparation_changes_nothing(brainreel, kept_study, kept_store, tmp_path):
    args = ("prepare", kept_study, "--task", "film", "--dry-run")
    told = brainreel(*args, "--out", tmp_path / "s").output
    assert told.count("to do") == 4
    assert told.count("TRs of 1.5 s") == told.count("film-1.mp4 from ") * 2 == 4
    assert told.count("no confounds") == 4
    assert list(tmp_path.iterdir()) == []
    before = {name: (kept_store / name).stat().st_mtime_ns for name in tree(kept_store)}
    assert brainreel(*args, "--out", kept_store).output.count("is there") == 4
    assert brainreel(*args[:-1], "--out", kept_store).output == f"4 runs stand in {kept_store}\n"
    assert {name: (kept_store / name).stat().st_mtime_ns for name in tree(kept_store)} == before


def test_a_dry_preparation_misses_no_table_of_confounds(brainreel, kept_study, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(kept_study, raw, ignore=shutil.ignore_patterns("derivatives"))
    args = ("prepare", raw, "--task", "film", "--dry-run", "--out", tmp_path / "s")
    told = brainreel(*args, "clean.confounds=[motion:basic]").error
    assert "no table of confounds, and motion:basic should be removed" in told


def test_the_three_steps_alone_equal_the_run_in_one_go(brainreel, kept_run, run_args, tmp_path):
    out = tmp_path / kept_run.name
    assert brainreel("fit", *run_args, "--out", out).output
    assert tree(out) == ["config.yaml", "spec.json", "versions.json", "weights.safetensors"]
    table = brainreel("evaluate", out).output
    assert "r_median" in table
    assert brainreel("report", out).output == f"The page: {out / 'report.html'}\n"
    assert tree(out) == tree(kept_run)
    for name in tree(out):
        ours, theirs = (folder / name for folder in (out, kept_run))
        if name.endswith(".npz"):
            with np.load(ours) as a, np.load(theirs) as b:
                assert set(a) == set(b)
                assert all(np.array_equal(a[key], b[key], equal_nan=a[key].dtype.kind == "f")
                           for key in a), name  # fmt: skip
        elif name == "report.html":
            assert ours.read_text().replace(str(out), str(kept_run)) == theirs.read_text()
        elif not name.endswith(".nii.gz"):  # gzip keeps the time
            assert ours.read_bytes() == theirs.read_bytes(), name


def test_a_run_is_evaluated_again_to_the_same_scores(brainreel, fitted):
    before = (fitted / "scorecard.json").read_bytes()
    shutil.rmtree(fitted / "predictions")
    (fitted / "scorecard.json").unlink()
    assert brainreel("evaluate", fitted).output
    assert (fitted / "scorecard.json").read_bytes() == before


def test_a_scorecard_has_what_its_readers_need(kept_run):
    card = json.loads((kept_run / "scorecard.json").read_text())
    for part in ("scores", "intervals", "ceilings", "p_values", "baselines", "protocol", "data",
                 "versions"):  # fmt: skip
        assert card[part], part
    assert card["protocol"]["scoring"]["n_permutations"] == 20
    assert card["data"]["people"] == ["sub-01", "sub-02"]
    assert set(card["data"]["sources"]) >= {"film-1.mp4", "film-2.mp4"}


def test_a_page_over_several_runs(brainreel, kept_run, fitted, tmp_path):
    page = tmp_path / "both.html"
    first, *lines, last = brainreel("report", kept_run, fitted, "--out", page).output.splitlines()
    assert first == "people: r, voxels with a ceiling"
    assert [line.split("  ")[1] for line in lines][-1] == "Mean volume"
    assert last == f"The page: {page}"
    assert page.read_text().count('<article id="run-') == 2


@pytest.mark.parametrize("name", ["film_ridge", "film_encoding", "pictures_ridge"])
def test_a_run_read_back_predicts_the_same(kept_store, trials, tmp_path, name):
    films = [f"data.path={kept_store}", *TWO_STEPS]
    pictures = [f"data.path={trials}", "data.splits.0.n_train=24"]
    config = resolve(name, pictures if name == "pictures_ridge" else films)
    before = fit(config, tmp_path / "run").predict()
    after = load_fitted(tmp_path / "run").predict()
    assert len(before) == len(after) > 0
    for ours, theirs in zip(before, after, strict=True):
        assert ours.predicted.std() > 0
        assert np.array_equal(ours.predicted, theirs.predicted)
        assert (ours.split, ours.fold, ours.subject) == (theirs.split, theirs.fold, theirs.subject)


def change_bold(store: Path, run: str, trs: slice) -> None:
    """Change some TRs of everybody's run in a store, and the digests that speak of them."""
    rng = np.random.default_rng(1)
    for prepared in read_store(store):
        if not prepared.key.endswith(run):
            continue
        path = prepared.folder / "bold.npy"
        bold = np.load(path)
        bold[trs] = 100 * rng.standard_normal(bold[trs].shape)
        np.save(path, bold)
        manifest = json.loads((prepared.folder / "manifest.json").read_text())
        manifest["sources"]["bold"]["sha256"] = "0" * 64
        (prepared.folder / "manifest.json").write_text(json.dumps(manifest))
        moments = {"mean": bold.mean(0), "std": bold.std(0), "raw_mean": prepared.raw_mean}
        np.savez(prepared.folder / "moments.npz", **moments)


FILM = ("data.splits.0.test_stimuli=[film-2]",)
TIME = ("data.splits=[{name: time, gap_s: 4, test: 4}]",)


@pytest.mark.parametrize(
    ("recipe", "split", "run", "test", "train"),
    [
        ("film_ridge", FILM, "run-2", slice(None), "run-1"),
        ("film_ridge", TIME, "run-1", slice(13, 17), "run-1"),
        ("film_encoding", FILM, "run-2", slice(None), "run-1"),
    ],
)
def test_test_data_cannot_reach_the_weights(
    brainreel, store, tmp_path, recipe, split, run, test, train
):
    args = ("fit", recipe, f"data.path={store}", *split, *TWO_STEPS)
    (fold,) = resolve(recipe, args[2:]).data.open().folds
    tested = {(s.recording, s.start_tr, s.stop_tr) for s in fold.test}
    assert (0 if run == "run-1" else 1, test.start or 0, test.stop or 17) in tested
    for name in ("before", "after", "other"):
        if name == "after":
            change_bold(store, run, test)
        if name == "other":
            change_bold(store, train, slice(0, 1))
        assert brainreel(*args, "--out", tmp_path / name).output
    weights = "weights.safetensors"
    before, after, other = (
        (tmp_path / name / weights).read_bytes() for name in ("before", "after", "other")
    )
    assert before == after
    assert before != other


def test_changed_test_data_changes_the_scores(brainreel, store, tmp_path):
    args = ("run", "film_ridge", f"data.path={store}", *FILM, *FEW_DRAWS)
    assert brainreel(*args, "--out", tmp_path / "before").output
    change_bold(store, "run-2", slice(None))
    assert brainreel(*args, "--out", tmp_path / "after").output
    cards = [Scorecard.load(tmp_path / name / "scorecard.json") for name in ("before", "after")]
    assert cards[0].scores["r_median"] != cards[1].scores["r_median"]


def test_single_files_are_told_apart_and_paired_with_their_film(brainreel, kept_study, tmp_path):
    store = tmp_path / "store"
    films = kept_study / "stimuli"
    for who in ("01", "02"):
        func = kept_study / "derivatives" / "fmriprep" / f"sub-{who}" / "func"
        for run in (1, 2):
            (bold,) = func.glob(f"*run-{run}*preproc_bold.nii.gz")
            (mask,) = func.glob(f"*run-{run}*brain_mask.nii.gz")
            args = ("--subject", f"sub-{who}", "--task", f"part{run}", "--film-start-s", "1")
            film = ("--film", films / f"film-{run}.mp4")
            told = brainreel("prepare", bold, f"mask={mask}", *args, *film, "--out", store)
            assert told.output.endswith(f"1 runs stand in {store}\n")
    assert [run.label for run in read_store(store)] == [
        f"sub-{who}_task-part{run}" for who in ("01", "02") for run in (1, 2)
    ]
    out = tmp_path / "out"
    args = ("film_ridge", "data.tasks=[]", f"data.path={store}", *FEW_DRAWS)
    assert brainreel("run", *args, "--out", out).output
    assert Scorecard.load(out / "scorecard.json").data["stimuli"] == ["film-1", "film-2"]
