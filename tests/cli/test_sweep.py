"""Sweeps by the command: run, gone on with, broken in the middle, and their tables."""

from __future__ import annotations

import csv
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config

from brainreel.cli import sweeping
from brainreel.errors import DataError
from brainreel.train.sweep import resolve_sweep, runs_of

from .breaking import tree

FEW = ("scoring.n_permutations=5", "scoring.n_bootstrap=20", "model.n_folds=2")
SWEEP = """
title: How many components
about: Ridge on pictures of two by two tiles.
base: pictures_ridge
seeds: [0, 1]
scores: [ssim, pixel_correlation]
variants:
  one:
    title: One component
    overrides: ["model.n_components=[1]"]
  two:
    overrides: ["model.n_components=[2]"]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """36 trials whose voxels know four tiles of the pictures."""
    rng = np.random.default_rng(0)
    tiles = rng.uniform(size=(36, 2, 2))
    voxels = tiles.reshape(36, 4) @ rng.normal(size=(4, 9)) + 0.1 * rng.normal(size=(36, 9))
    path = tmp_path_factory.mktemp("data") / "trials.npz"
    np.savez(path, voxels=voxels, pictures=np.kron(tiles, np.ones((4, 4))), labels=np.arange(36))
    return f"data.path={path}"


@pytest.fixture
def args(data: str, tmp_path: Path) -> tuple[object, ...]:
    (tmp_path / "s.yaml").write_text(SWEEP)
    return ("sweep", tmp_path / "s.yaml", data, "data.splits.0.n_train=24", *FEW)


@pytest.fixture(scope="module")
def kept(brainreel: Any, data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished sweep and what it printed; not to be changed."""
    root = tmp_path_factory.mktemp("kept_sweep")
    (root / "s.yaml").write_text(SWEEP)
    options = (data, "data.splits.0.n_train=24", *FEW)
    told = brainreel("sweep", root / "s.yaml", *options, "--out", root / "out").output
    return root / "out", told


def test_every_run_is_a_plain_run_folder(brainreel, kept):
    out, _ = kept
    assert sorted(path.name for path in out.iterdir()) == [
        "base", "one", "report.html", "runs.csv", "sweep.yaml", "table.csv", "table.md", "two",
    ]  # fmt: skip
    for variant in ("base", "one", "two"):
        for seed in (0, 1):
            folder = out / variant / f"seed-{seed}"
            assert {"config.yaml", "scorecard.json", "report.html"} <= set(tree(folder))
            assert json.loads((folder / "scorecard.json").read_text())["protocol"]["seed"] == seed
    alone = brainreel("report", out / "one" / "seed-0", out / "base" / "seed-0").output
    assert alone.startswith("The page: ")


def test_the_table_in_all_its_forms(kept):
    out, told = kept
    cards = {
        (v, s): json.loads((out / v / f"seed-{s}" / "scorecard.json").read_text())["scores"]
        for v in ("base", "one", "two")
        for s in (0, 1)
    }
    rows = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    for row in rows:
        own, base = (np.mean([cards[v, s][row["score"]] for s in (0, 1)])
                     for v in (row["variant"], "base"))  # fmt: skip
        assert float(row["mean"]) == pytest.approx(own, rel=1e-5)
        if row["variant"] != "base":
            assert float(row["difference"]) == pytest.approx(own - base, rel=1e-4, abs=1e-6)
    (one,) = [row for row in rows if (row["variant"], row["score"]) == ("one", "ssim")]
    assert (one["title"], one["over"], one["n"]) == ("One component", "items", "12")
    assert float(one["difference_high"]) < 0
    singles = list(csv.DictReader((out / "runs.csv").read_text().splitlines()))
    assert {(row["variant"], row["seed"]) for row in singles} == {
        (v, str(s)) for v in ("base", "one", "two") for s in (0, 1)
    }
    head, ruler, base, first, second, *_ = (out / "table.md").read_text().splitlines()
    assert head == "| Variant | Structural similarity (SSIM) | Pixel correlation |"
    assert ruler == "| --- | ---: | ---: |"
    number = r"−?\d\.\d{3}"
    assert re.match(rf"\| Base \| {number} ± {number} \({number} to {number}\) \|", base)
    assert re.match(rf"\| One component \| {number} ± {number}, −{number} \(−{number} to", first)
    assert second.startswith("| two |")
    page = (out / "report.html").read_text()
    assert "<title>How many components</title>" in page
    assert "Ridge on pictures of two by two tiles." in page
    assert "What each variant changes" in page
    assert page.count('<article id="run-') == 3
    assert "6 of 6: two/seed-1 scored" in told
    assert "the 12 that both were tested on" in told


def test_what_is_scored_is_left_alone(brainreel, args, data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    told = brainreel(*args, "--only", "one", "--only", "base", "seeds=[0]", "--out", out).output
    assert "1 of 3 runs are not there yet." in told
    assert brainreel(*args, "--out", out).error == (
        f"{out}: holds a sweep already. Go on with it by --resume, or choose another --out."
    )
    dry = brainreel(*args, "--dry-run", "--out", out).output.splitlines()
    assert dry[1] == f"{out}/one/seed-0: scored: model.n_components=[1]"
    assert dry[5] == f"{out}/two/seed-1: to do: model.n_components=[2]"
    fitted = []
    fit = sweeping.fit
    monkeypatch.setattr(
        sweeping, "fit", lambda config, to, **how: fitted.append(to) or fit(config, to, **how)
    )
    (out / "base" / "seed-0" / "scorecard.json").unlink()
    told = brainreel(*args, "--resume", "seeds=[0]", "--out", out).output
    assert fitted == [out / "two" / "seed-0"]
    assert told.startswith("1 of 3 runs stand there already.\n1 of 2: base/seed-0 scored")
    assert (out / "base" / "seed-0" / "scorecard.json").is_file()
    before = (out / "table.csv").read_bytes()
    assert "3 of 3 runs stand" in brainreel(*args, "--resume", "seeds=[0]", "--out", out).output
    assert len(fitted) == 1
    assert (out / "table.csv").read_bytes() == before
    error = brainreel(*args, "--resume", "seeds=[0]", "model.n_folds=3", "--out", out).error
    assert error.startswith(f"{out}/base/seed-0: holds another run (its config.yaml differs).")


def test_a_run_that_breaks_leaves_the_others(brainreel, args, tmp_path, monkeypatch):
    out, fit = tmp_path / "out", sweeping.fit

    def broken(config: Any, folder: Path, **how: Any) -> Any:
        if folder.parent.name == "one":
            raise DataError("the disk is on fire.")
        return fit(config, folder, **how)

    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "fit", broken)
        ended = brainreel(*args, "seeds=[0]", "--out", out)
    assert "2 of 3: one/seed-0 failed" in ended.out
    assert "1 of 3 runs are not there yet." in ended.out
    assert ended.error == (
        "1 of 3 runs failed; the first, one/seed-0: the disk is on fire. The table is of the "
        "others. Mend it, then go on by --resume."
    )
    assert "| two |" in (out / "table.md").read_text()
    assert "1 of 1: one/seed-0 scored" in brainreel(
        *args, "seeds=[0]", "--resume", "--out", out
    ).output  # fmt: skip


def test_a_run_broken_off_goes_on(brainreel, args, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("brainreel.train.fit.save_run", interrupt)
        assert brainreel(*args, "seeds=[0]", "--out", out).code == 130
    assert tree(out) == ["base/seed-0/config.yaml", "sweep.yaml"]
    dry = brainreel(*args, "seeds=[0]", "--dry-run", "--out", out).output
    assert dry.startswith(f"{out}/base/seed-0: broken off\n")
    assert "3 of 3" in brainreel(*args, "seeds=[0]", "--resume", "--out", out).output


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--only", "tow"], "--only tow: no such variant. Did you mean 'two'?"),
        (["variants.one.overrides=[model.n=1]"], "variant 'one': unknown key 'model.n'."),
        (["data.path=nowhere.npz"], "nowhere.npz: no such data file."),
        (["seeds=0"], "'seeds' should be a list"),
        (["--n-jobs", "0"], "n_jobs cannot be 0. Give 1 or more, or -1 for all cores."),
    ],
)
def test_a_wrong_word_leaves_nothing(brainreel, args, tmp_path, monkeypatch, more, told):
    monkeypatch.chdir(tmp_path)
    assert told in brainreel(*args, *more, "--out", "out").error
    assert tree(tmp_path) == ["s.yaml"]


def test_a_score_that_there_is_not_is_told_after_the_first_run(brainreel, args, tmp_path):
    out = tmp_path / "out"
    told = brainreel(*args, "scores=[sism]", "--out", out).error
    assert told == "scores: the runs have no score 'sism'. Did you mean 'ssim'?"
    assert {path.name for path in out.iterdir()} == {"base", "sweep.yaml"}


def test_a_folder_in_use(brainreel, args, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").touch()
    for how in ((), ("--resume",)):
        assert "already in use" in brainreel(*args, *how, "--out", tmp_path / "out").error
    assert tree(tmp_path / "out") == ["thesis.doc"]


def test_a_recipe_is_no_sweep_and_a_sweep_no_recipe(brainreel, tmp_path):
    assert "'alice' is a recipe." in brainreel("sweep", "alice", "--out", tmp_path / "o").error
    error = brainreel("run", "digits69_ldm_ablations", "--out", tmp_path / "o").error
    assert error.endswith("Run it by: brainreel sweep digits69_ldm_ablations --out DIR")
    assert "variants:" in brainreel("describe", "digits69_ldm_ablations").output


def test_runs_go_through_a_pool(brainreel, args, kept, tmp_path):
    """Here one that works in this process; what other processes are given can be pickled."""
    runs = runs_of(resolve_sweep(str(args[1]), list(args[2:])), "s.yaml")
    assert pickle.loads(pickle.dumps(runs)) == runs
    out = tmp_path / "out"
    with parallel_config(backend="sequential"):
        assert "6 of 6" in brainreel(*args, "--n-jobs", "2", "--out", out).output
    for name in ("table.csv", "table.md", "runs.csv"):
        assert (out / name).read_bytes() == (kept[0] / name).read_bytes()
