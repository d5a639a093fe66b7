"""Vectors of trials from scans, against loops over the images with nibabel and numpy alone."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brainreel.data.trial_parts import parts_of_betas, parts_of_events
from brainreel.data.trials import TrialsData
from brainreel.data.voxel_trials import make_trials, plan_trials, read_items
from brainreel.fmri.betas import find_betas
from brainreel.fmri.bids import find_runs
from brainreel.fmri.prepare import PrepareConfig, prepare
from brainreel.fmri.voxel_vectors import save_map
from brainreel.stimulus.pictures import read_picture

from .picture_study import (
    GRID,
    N_TRS,
    SLICE_S,
    TR_S,
    brain,
    labels,
    make_study,
    name_of,
    save,
    write_table,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("see") / "study")


def config(study, **changes):
    told = {
        "rois": {"atlas": study.atlas},
        "clean": {"detrend": False, "high_pass_hz": None},
        "trials": {"picture_size": [6, 8], "grey": True, "label_column": "folder"},
        "n_dummy": 2,
    }
    return PrepareConfig.parse({**told, **changes})


def made(study, out, config):
    """The .npz of each person."""
    runs = find_runs(study.root)
    plan = plan_trials(parts_of_events(runs, out, config), [study.root / "stimuli"], config, out)
    pictures = read_items(plan, config)
    prepare(runs, out, config)
    return {who: np.load(path) for who, path in make_trials(plan, pictures, out, config).items()}


def by_hand(study, subject, voxels):
    """Percent change 4 to 8 s after each picture, volume by volume."""
    rows = []
    for run in (1, 2):
        data = nib.load(study.bold(subject, run)).get_fdata()
        events = pd.read_csv(study.events(subject, run), sep="\t")
        for onset in events[events["trial_type"] == "picture"]["onset"]:
            row = []
            for x, y, z in voxels:
                course = data[x, y, z]
                level = course[2:].mean()
                times = [(i, i * TR_S + SLICE_S) for i in range(2, N_TRS)]
                seen = [course[i] for i, t in times if onset + 4 <= t < onset + 8]
                row.append(100 * (np.mean(seen) - level) / level)
            rows.append(row)
    return np.array(rows)


def test_means_after_events_equal_a_loop(study, tmp_path):
    files = made(study, tmp_path / "out", config(study))
    inside = (brain() > 0) & np.isin(labels(), (3, 8))
    voxels = [(x, y, z) for x in range(6) for y in range(5) for z in range(4) if inside[x, y, z]]
    assert list(files) == ["01", "02"]
    for subject, file in files.items():
        expected = by_hand(study, subject, voxels)
        assert expected.shape == (12, len(voxels))
        np.testing.assert_allclose(file["voxels"], expected, atol=1e-4)
        assert file["voxel_indices"].tolist() == [list(voxel) for voxel in voxels]
        assert file["region_names"].tolist() == ["V1", "LOC"]
        for name, label in (("V1", 3), ("LOC", 8)):
            place = file["region_names"].tolist().index(name)
            assert file["regions"][place].tolist() == [labels()[v] == label for v in voxels]
        assert file["runs"].tolist() == [0] * 6 + [1] * 6
        assert file["run_names"].tolist() == ["task-see_run-1", "task-see_run-2"]


def test_pictures_classes_and_repeats(study, tmp_path):
    files = made(study, tmp_path / "out", config(study))
    file = files["01"]
    names = [file["item_names"][item] for item in file["items"]]
    assert names[:6] == ["dog/p0.png", "cat/again.png", *(name_of(n) for n in range(2, 6))]
    # The same picture under another name is the same picture.
    assert file["items"][6:8].tolist() == file["items"][:2].tolist()
    assert len(set(file["items"].tolist())) == len(file["item_names"]) == 10
    assert (files["02"]["items"] == file["items"]).all()
    assert [file["label_names"][n] for n in file["labels"]] == [n.split("/")[0] for n in names]
    assert file["pictures"].shape == (12, 1, 6, 8)
    np.testing.assert_array_equal(file["pictures"][0], file["pictures"][6])
    grey = read_picture(study.root / "stimuli" / "dog" / "p2.png", (6, 8))[:1]
    np.testing.assert_array_equal(file["pictures"][2], grey)


def test_the_data_kind_reads_all_people(study, tmp_path):
    made(study, tmp_path / "out", config(study))
    told = {
        "path": {
            f"sub-{n}": tmp_path / "out" / "trials" / f"sub-{n}" / f"sub-{n}_trials.npz"
            for n in ("01", "02")
        },
        "picture_keys": ["pictures"],
        "label_keys": ["labels"],
        "item_keys": ["items"],
        "run_keys": ["runs"],
        "splits": [{"name": "repeated"}],
    }
    trials = TrialsData.parse(told).open()
    assert trials.subjects == ("sub-01", "sub-02")
    (fold,) = trials.folds
    assert fold.test_trials == tuple(12 * p + t for p in (0, 1) for t in (0, 1, 6, 7))


def test_units_and_windows(study, tmp_path):
    percent = made(study, tmp_path / "a", config(study))["01"]["voxels"]
    plain = {"trials": {"units": "scanner", "from_s": 4, "to_s": 5.5}}
    scanner = made(study, tmp_path / "b", config(study, **plain))["01"]["voxels"]
    # A picture at 3 s: of the volumes at 6.75, 8.25, ... s, the one at 8.25 s lies in 7 to 8.5 s.
    x, y, z = np.argwhere((brain() > 0) & np.isin(labels(), (3, 8)))[0]
    course = nib.load(study.bold("01", 1)).get_fdata()[x, y, z]
    assert scanner[0, 0] == pytest.approx(course[5], abs=1e-3)
    assert abs(percent.mean()) < 1 < 400 < scanner.mean()


def test_maps_go_back_to_their_voxels(study, tmp_path):
    made(study, tmp_path / "out", config(study))
    inside = (brain() > 0) & np.isin(labels(), (3, 8))
    numbers = np.arange(1, inside.sum() + 1, dtype=float)
    folder = tmp_path / "out" / "trials" / "sub-01"
    values = nib.load(save_map(folder, numbers, tmp_path / "map.nii.gz")).get_fdata()
    expected, n = np.zeros(GRID), 0
    for x, y, z in np.ndindex(*GRID):
        if inside[x, y, z]:
            n += 1
            expected[x, y, z] = n
    np.testing.assert_array_equal(values, expected)


@pytest.fixture
def betas(study, tmp_path):
    """Two images of a person, 6 and 4 trials, some voxels outside the brain NaN."""
    folder = tmp_path / "betas" / "sub-07"
    rng = np.random.default_rng(3)
    names = [name_of(n) for n in range(10)]
    for session, rows in ((1, range(6)), (2, range(6, 10))):
        values = rng.normal(size=(*GRID, len(rows))).astype(np.float32)
        values[0] = np.nan
        save(folder / f"sub-07_ses-{session}_betas.nii.gz", values)
        write_table(
            folder / f"sub-07_ses-{session}_trials.tsv",
            stim_file=[names[n] if n != 3 else "n/a" for n in rows],
            run=[n // 3 for n in rows],
            category=["even" if n % 2 == 0 else "odd" for n in rows],
        )
    return folder.parent


def test_betas_equal_a_loop(study, betas, tmp_path):
    told = {"rois": {"atlas": study.atlas, "take": ["LOC", "V1"]}}
    options = PrepareConfig.parse(told)
    found = find_betas(betas)
    parts = parts_of_betas(found, options)
    plan = plan_trials(parts, [study.root / "stimuli"], options, tmp_path)
    (path,) = make_trials(plan, read_items(plan, options), tmp_path, options).values()
    file = np.load(path)
    rows = []
    for session, n in ((1, 6), (2, 4)):
        data = nib.load(betas / "sub-07" / f"sub-07_ses-{session}_betas.nii.gz").get_fdata()
        for trial in range(n):
            if (session, trial) != (1, 3):
                rows.append([data[v][trial] for v in np.ndindex(*GRID) if labels()[v] in (3, 8)])
    np.testing.assert_array_equal(file["voxels"], np.array(rows, np.float32))
    assert file["region_names"].tolist() == ["LOC", "V1"]
    assert [file["label_names"][n] for n in file["labels"]] == [
        "even" if n % 2 == 0 else "odd" for n in range(10) if n != 3
    ]
    assert file["run_names"].tolist() == [
        f"sub-07_ses-{s}_betas_run-{r}" for s, r in ((1, 0), (1, 1), (2, 2), (2, 3))
    ]
    assert file["pictures"].shape == (9, 3, 64, 64)
