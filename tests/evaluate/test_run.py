"""Whole runs: the exact ceiling is that of the scored TRs and voxels, and the card says so."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainreel.data.samples import Fold, Segment
from brainreel.errors import DataError
from brainreel.evaluate.run import evaluate, fitted_on_test
from brainreel.evaluate.scorecard import Scorecard
from brainreel.fmri.bids import Run, find_runs
from brainreel.fmri.prepare import PrepareConfig, prepare
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.simulate.truth import read_truth
from brainreel.train.fit import fit
from brainreel.train.recipe import RunConfig, resolve


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    config = StudyConfig(
        n_subjects=1,
        n_films=2,
        film_duration_s=60,
        voxel_size_mm=30,
        frame_size=(32, 32),
        n_train_pictures=0,
        n_test_pictures=0,
    )
    simulate_study(root / "study", config)
    prepare(find_runs(root / "study"), root / "store")
    return root


def recipe(study: Path, store: Path, *more: str) -> RunConfig:
    few = ["task.last_delay_s=3", "task.features=[luminance]", "scoring.n_permutations=10"]
    truth = f"scoring.truth={study / 'study'}"
    return resolve(
        "film_ridge", [f"data.path={store}", truth, "scoring.n_bootstrap=10", *few, *more]
    )


def scored(config: RunConfig, folder: Path) -> Scorecard:
    fit(config, folder)
    return evaluate(folder)


@pytest.mark.parametrize("shift_s", [15, -15])
def test_the_exact_ceiling_of_a_negative_control_is_of_its_own_trs(
    study: Path, tmp_path: Path, shift_s: int
) -> None:
    """The clock of a control lies; its BOLD, and so its ceiling, are those of the same TRs."""
    options = [f"data.shift_s={shift_s}", "data.film_mismatch=trim"]
    plain = scored(recipe(study, study / "store", *options[1:]), tmp_path / "plain")
    moved = scored(recipe(study, study / "store", *options), tmp_path / "moved")
    assert moved.ceilings["exact"] == pytest.approx(plain.ceilings["exact"], abs=1e-9)


def half_mask(run: Run, path: Path) -> Path:
    image = nib.load(run.mask)
    inside = np.asarray(image.dataobj) > 0
    inside[::2] = False
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), image.affine), path)
    return path


@pytest.mark.parametrize("way", ["smoothed in space", "another mask"])
def test_no_exact_ceiling_for_voxels_that_the_truth_does_not_speak_of(
    study: Path, tmp_path: Path, way: str
) -> None:
    runs = find_runs(study / "study")
    options = PrepareConfig.parse({"clean": {"smoothing_mm": 40}})
    if way == "another mask":
        options = PrepareConfig(mask=half_mask(runs[0], tmp_path / "half.nii.gz"))
    prepare(runs, tmp_path / "store", options)
    with pytest.raises(DataError, match=f"{way}.*exact ceiling is not known"):
        scored(recipe(study, tmp_path / "store"), tmp_path / "run")


def test_each_split_keeps_its_counts(study: Path, tmp_path: Path) -> None:
    splits = "data.splits=[{name: hold_out_stimulus}, {name: time, gap_s: 3}]"
    card = scored(recipe(study, study / "store", splits), tmp_path / "run")
    assert set(card.data["voxels"]) == {"hold_out_stimulus:sub-01", "time:sub-01"}
    n_voxels = read_truth(study / "study", "sub-01_task-film_run-1").signal.shape[1]
    assert card.data["voxels"]["time:sub-01"]["n_voxels"] == n_voxels


def test_the_protocol_is_that_of_the_last_stage(study: Path, tmp_path: Path) -> None:
    config = recipe(study, study / "store").to_dict()
    data = {**config["data"], "splits": [{"name": "time", "gap_s": 3}]}
    last = {"data": data, "model": {"name": "ridge"}}
    card = scored(RunConfig.parse({**config, "stages": [last]}), tmp_path / "run")
    assert card.protocol["model"] == "ridge"
    assert [split["name"] for split in card.protocol["splits"]] == ["time"]


def test_a_person_without_variance_is_in_no_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bold = rng.standard_normal((3, 120, 4))
    bold[2, 60:] = 5.0
    np.savez(tmp_path / "x.npz", bold=bold, tr_s=2.0, drive=bold[0, :, 0])
    content = {
        "data": {
            "name": "series",
            "path": str(tmp_path / "x.npz"),
            "regressors": {"drive": "drive"},
            "splits": [{"name": "time", "test": 0.4}],
        },
        "model": {"name": "ridge"},
        "task": {"name": "feature_ridge", "last_delay_s": 2},
        "scoring": {"n_permutations": 20, "n_bootstrap": 20},
    }
    card = scored(RunConfig.parse(content), tmp_path / "run")
    both = [card.scores[f"{name}/sub-0{i}"] for i in (1, 2) for name in ("r_median",)]
    assert card.scores["r_median"] == pytest.approx(np.mean(both))
    assert 0 < card.p_values["r_median"] <= 1
    assert any("sub-03: no voxel varies in the test part" in note for note in card.notes)


def test_the_stamp_of_fitting_on_test_is_read_off_the_fold() -> None:
    train, test = (Segment(0, 0, 20), Segment(1, 0, 40)), (Segment(0, 20, 40),)
    assert not fitted_on_test(Fold("a", "a", train=train, test=test))
    assert fitted_on_test(Fold("a", "a", train=(Segment(0, 0, 21),), test=test))
    assert fitted_on_test(Fold("a", "a", train=train, validation=test, test=test))
    assert not fitted_on_test(Fold("a", "a", train_trials=(0, 1), test_trials=(2,)))
    assert fitted_on_test(Fold("a", "a", train_trials=(0, 1), test_trials=(1,)))
