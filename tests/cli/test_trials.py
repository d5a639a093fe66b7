"""`prepare --rois` and `--trials` from the command line: what they make, and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tests.data.picture_study import (
    GRID,
    PictureStudy,
    brain,
    labels,
    make_study,
    save,
    write_table,
)

from .breaking import tree
from .conftest import FEW_DRAWS

SMALL = ("trials.picture_size=[8,8]",)


@pytest.fixture(scope="session")
def kept_pictures(tmp_path_factory) -> PictureStudy:
    """Two people, two runs of pictures each; not to be changed."""
    return make_study(tmp_path_factory.mktemp("see") / "see")


@pytest.fixture
def see(kept_pictures, tmp_path) -> PictureStudy:
    """A copy of it, to be broken."""
    shutil.copytree(kept_pictures.root.parent, tmp_path / "copy")
    return PictureStudy(tmp_path / "copy" / "see", tmp_path / "copy" / kept_pictures.atlas.name)


def test_from_a_folder_to_pictures_told_from_brains(brainreel, kept_pictures, tmp_path):
    out = tmp_path / "out"
    asked = ("prepare", kept_pictures.root, "--rois", kept_pictures.atlas, "--trials", "events")
    asked = (*asked, "--out", out, "trials.label_column=folder", *SMALL)
    told = brainreel(*asked, "--dry-run").output
    assert "12 trials in 2 runs, 10 pictures, 2 classes by folder, 18 voxels (V1 12, LOC 6)" in told
    assert not out.exists()
    first = brainreel(*asked).output
    assert "sub-02_trials.npz" in first
    # Once more: runs are there, and vectors are made again.
    assert brainreel(*asked).output.replace(" ", "").endswith(first[-60:].replace(" ", ""))
    made = out / "trials" / "sub-01" / "sub-01_trials.npz"
    keys = [f"data.{k}_keys=[{k}s]" for k in ("picture", "label", "item", "run")]
    split = "data.splits=[{name: repeated}]"
    run = brainreel(
        *("run", "pictures_ridge", f"data.path={made}", *keys, split, *FEW_DRAWS),
        *("model.n_folds=2", "scoring.n_way=[2]", "--out", tmp_path / "run"),
    )
    assert run.code == 0, run.err
    card = json.loads((tmp_path / "run" / "scorecard.json").read_text())
    assert "repeated" in json.dumps(card)


def test_a_single_file_with_its_events(brainreel, kept_pictures, tmp_path):
    mask = save(tmp_path / "V1.nii.gz", ((labels() == 3) & (brain() > 0)).astype(np.uint8))
    ended = brainreel(
        *("prepare", kept_pictures.bold("01", 1), "--subject", "anna", "--trials", "events"),
        *("--events", kept_pictures.events("01", 1), "--pictures", kept_pictures.root / "stimuli"),
        *("--rois", f"V1={mask}", "--out", tmp_path / "out", f"mask={mask}", *SMALL),
    )
    assert "6 trials in 1 run, 6 pictures" in ended.output
    file = np.load(tmp_path / "out" / "trials" / "sub-anna" / "sub-anna_trials.npz")
    assert file["voxels"].shape == (6, int(np.asarray(nib.load(mask).dataobj).sum()))
    assert file["region_names"].tolist() == ["V1"]
    assert "labels" not in file


def events_of(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[PictureStudy], object]:
    def changed(study: PictureStudy) -> None:
        path = study.events("01", 1)
        table = change(pd.read_csv(path, sep="\t"))
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")

    return changed


def without(study: PictureStudy) -> None:
    for number in (0, 2, 4, 6):
        (study.root / "stimuli" / "dog" / f"p{number}.png").unlink()


def of_other_voxels(study: PictureStudy) -> None:
    path = study.bold("01", 2)
    other = path.with_name(path.name.replace("preproc_bold", "brain_mask"))
    inside = brain()
    inside[1] = 0
    save(other, inside)


Broken = tuple[Callable[[PictureStudy], object], tuple[str, ...], str]
FAULTS: dict[str, Broken] = {
    "after the scan": (
        events_of(lambda table: table.assign(onset=table["onset"] + 13)),
        (),
        "sub-01_task-see_run-1: the window of 1 of 6 trials is not in the scan of 75 s, the first "
        "of a trial at 68 s (row 7 of sub-01_task-see_run-1_events.tsv). Shorten trials.to_s",
    ),
    "all after the scan": (
        events_of(lambda table: table.assign(onset=table["onset"] + 100)),
        ("trials.outside=drop",),
        "sub-01_task-see_run-1: none of its trials lies in the scan. Check the onsets.",
    ),
    "onset": (
        events_of(lambda table: table.assign(onset="soon")),
        (),
        "row 1 has the onset 'soon', which is no number of seconds.",
    ),
    "no column": (
        events_of(lambda table: table.rename(columns={"stim_file": "stim_fil"})),
        (),
        "no column 'stim_file'. Did you mean 'stim_fil'? Name the column of pictures with trials.",
    ),
    "no pictures named": (
        events_of(lambda table: table.assign(stim_file="n/a")),
        (),
        "no row is a trial with a picture. Choose runs with trials by --task.",
    ),
    "pictures gone": (
        without,
        (),
        "4 of 11 pictures are not in",
    ),
    "no events": (
        lambda study: study.events("01", 1).unlink(),
        (),
        "sub-01_task-see_run-1: no table of events. Choose runs with trials by --task.",
    ),
    "no picture": (
        lambda study: (study.root / "stimuli" / "dog" / "p0.png").write_text("hello"),
        (),
        "stimuli/dog/p0.png: the picture cannot be decoded",
    ),
    "other voxels": (
        of_other_voxels,
        ("mask_over=run",),
        "sub-01: task-see_run-1 and task-see_run-2 have different voxels",
    ),
    "a short window": (
        lambda study: None,
        ("trials.from_s=4", "trials.to_s=4.1"),
        "no volume is sampled 4 to 4.1 s after trial",
    ),
    "a window the wrong way": (
        lambda study: None,
        ("trials.from_s=8", "trials.to_s=4"),
        "from_s 8 is not before to_s 4",
    ),
    "windows of runs": (
        lambda study: None,
        ("window_s=8",),
        "window_s averages whole runs; trials have from_s and to_s. Leave it out.",
    ),
    "no such class": (
        lambda study: None,
        ("trials.label_column=kind",),
        "no column 'kind'.",
    ),
    "no such region": (
        lambda study: None,
        ("rois.take=[V2]",),
        "rois.take: no region is called 'V2'. Known: LOC, V1.",
    ),
    "an empty region": (
        lambda study: None,
        ("rois.take=[far]",),
        "region 'far' has no voxel in the mask of sub-01.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_events_that_cannot_be_used(brainreel, see, tmp_path, fault):
    change, options, told = FAULTS[fault]
    change(see)
    before = tree(tmp_path)
    asked = ("prepare", see.root, "--rois", see.atlas, "--trials", "events")
    ended = brainreel(*asked, "--out", tmp_path / "out", *options)
    assert told in ended.error
    assert tree(tmp_path) == before


def test_trials_outside_the_scan_are_left_out_and_told(brainreel, see, tmp_path):
    events_of(lambda table: table.assign(onset=table["onset"] + 13))(see)
    asked = ("prepare", see.root, "--trials", "events", "--subject", "01", "--out", tmp_path / "o")
    told = brainreel(*asked, "trials.outside=drop", *SMALL).output
    assert "11 trials in 2 runs, 9 pictures" in told
    assert "1 left out, not wholly in the scan" in told
    manifest = json.loads((tmp_path / "o" / "trials" / "sub-01" / "manifest.json").read_text())
    assert manifest["n_left_out"] == 1
    other = brainreel(*asked, "trials.outside=drop", "trials.units=scanner")
    assert "was made with other options. Choose another --out, or remove it first." in other.error


def test_windows_that_share_volumes_are_told(brainreel, kept_pictures, tmp_path):
    asked = ("prepare", kept_pictures.root, "--trials", "events", "--out", tmp_path / "out")
    told = brainreel(*asked, "trials.to_s=16", "--dry-run").output
    assert "the windows of 16 trials share volumes with those before them, so test by run" in told


@pytest.fixture
def betas(kept_pictures, tmp_path) -> Path:
    """Four trials of one person."""
    values = np.random.default_rng(0).normal(size=(*GRID, 4)).astype(np.float32)
    path = save(tmp_path / "sub-03_betas.nii.gz", values)
    write_table(tmp_path / "sub-03_betas.tsv", stim_file=[f"p{n}.JPEG" for n in (0, 2, 0, 4)])
    return path


def test_betas_of_one_file(brainreel, kept_pictures, betas, tmp_path):
    asked = ("prepare", betas, "--trials", "betas", "--rois", kept_pictures.atlas)
    asked = (*asked, "--pictures", kept_pictures.root / "stimuli", "--out", tmp_path / "out")
    told = brainreel(*asked, "--dry-run").output
    assert "sub-03" in told
    assert "4 trials in 1 run, 3 pictures" in told
    assert not (tmp_path / "out").exists()
    assert "4 trials in 1 run" in brainreel(*asked, *SMALL).output
    path = tmp_path / "out" / "trials" / "sub-03" / "sub-03_trials.npz"
    file = np.load(path)
    assert file["items"].tolist() == [0, 1, 0, 2]
    assert file["voxels"].shape == (4, int(np.isin(labels(), (3, 5, 8)).sum()))
    # Vectors that fits were made of are not silently put in the place of others.
    before = path.read_bytes()
    other = brainreel(*asked, *SMALL, "rois.take=[V1]")
    assert "was made of other voxels or regions. Choose another --out" in other.error
    assert path.read_bytes() == before


def rows(n: int) -> Callable[[Path], object]:
    names = [f"p{i}" for i in range(n)]
    return lambda path: write_table(path.with_name("sub-03_betas.tsv"), stim_file=names)


def with_nan(path: Path) -> None:
    values = np.asarray(nib.load(path).dataobj).copy()
    values[1:3, 2, 2, 1] = np.nan
    save(path, values)


BETAS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "rows": (rows(5), (), "sub-03_betas.nii.gz: 4 volumes, and sub-03_betas.tsv has 5 rows."),
    "no table": (
        lambda path: path.with_name("sub-03_betas.tsv").unlink(),
        (),
        "no table of its trials beside it (sub-03_betas.tsv or sub-03_trials.tsv or sub-03_events",
    ),
    "NaN": (with_nan, (), "2 of 62 voxels have no betas (NaN or infinite), the first at (1, 2, 2)"),
    "clean": (lambda path: None, ("clean.detrend=false",), "clean says nothing about betas."),
    "film": (lambda path: None, ("--film", "a.mp4"), "--film says nothing about betas."),
    "one trial": (
        lambda path: [save(path, np.ones((*GRID, 1), np.float32)), rows(1)(path)],
        (),
        "sub-03: one trial cannot be split into training and test.",
    ),
    "3-D": (lambda path: save(path, np.ones(GRID, np.float32)), (), "3-D (6, 5, 4); a run is 4-D"),
}


@pytest.mark.parametrize("fault", BETAS)
def test_betas_that_cannot_be_used(brainreel, kept_pictures, betas, tmp_path, fault):
    change, options, told = BETAS[fault]
    change(betas)
    before = tree(tmp_path)
    asked = ("prepare", betas, "--trials", "betas", "--rois", kept_pictures.atlas)
    where = ("--pictures", kept_pictures.root / "stimuli", "--out", tmp_path / "out")
    assert told in brainreel(*asked, *where, *options).error
    assert tree(tmp_path) == before


def test_betas_of_nobody_and_of_too_many(brainreel, betas, tmp_path):
    asked = ("prepare", tmp_path, "--trials", "betas", f"mask={betas}", "--out", tmp_path / "out")
    assert "no betas of sub-09. Known: 03." in brainreel(*asked, "--subject", "09").error
    one = ("prepare", betas, *asked[2:], "--subject", "1", "--subject", "2")
    assert "one image is of one person. Give --subject once." in brainreel(*one).error
    shutil.copy(betas, tmp_path / "sub-04_betas.nii.gz")
    table = ("--events", betas.with_name("sub-03_betas.tsv"))
    assert "2 images of betas, and one table. Leave --events out" in brainreel(*asked, *table).error
    shutil.copy(betas, tmp_path / "betas.nii.gz")
    assert "it is not told whose betas these are." in brainreel(*asked).error


def test_betas_need_to_know_which_voxels(brainreel, betas, tmp_path):
    ended = brainreel("prepare", betas, "--trials", "betas", "--out", tmp_path / "out")
    assert ended.error == "betas need a mask or regions. Give --rois, or mask=IMAGE."


def test_voxels_without_betas_may_be_zero(brainreel, kept_pictures, betas, tmp_path):
    with_nan(betas)
    asked = ("prepare", betas, "--trials", "betas", "--rois", kept_pictures.atlas, *SMALL)
    where = ("--pictures", kept_pictures.root / "stimuli", "--out", tmp_path / "out")
    told = brainreel(*asked, *where, "nonfinite=zero").output
    assert "62 voxels (V1 30, far 20, LOC 12), 2 of them the same in all trials" in told
    folder = tmp_path / "out" / "trials" / "sub-03"
    assert json.loads((folder / "manifest.json").read_text())["n_constant"] == 2


ODD: dict[str, tuple[tuple[str, ...], str]] = {
    "source": (("--trials", "glm"), "--trials glm: trials come from events or betas."),
    "two atlases": (("--rois", "a.nii", "--rois", "b.nii"), "an atlas was given already."),
    "a region twice": (("--rois", "V1=a.nii", "--rois", "V1=b.nii"), "region 'V1' was given alr"),
    "names alone": (("--roi-names", "a.tsv"), "--roi-names says nothing without an atlas."),
    "pictures alone": (("--pictures", "x"), "--pictures says nothing about runs without --trials."),
    "no folder": (("--trials", "events", "--pictures", "x"), "x: no such folder of pictures."),
    "a dot": (("--rois", "V.1=a.nii"), "a region needs a name without dots: NAME=IMAGE."),
    "no betas": (("--trials", "betas"), "see: no image of betas (*betas*.nii*) in this folder."),
}


@pytest.mark.parametrize("fault", ODD)
def test_options_that_say_nothing(brainreel, kept_pictures, tmp_path, fault):
    options, told = ODD[fault]
    ended = brainreel("prepare", kept_pictures.root, "--out", tmp_path / "out", *options)
    assert told in ended.error
    assert not (tmp_path / "out").exists()
