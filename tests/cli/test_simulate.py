"""`simulate --what`: sets of films by the command, and options that do not fit."""

import nibabel
import numpy as np
import pytest

from brainreel.fmri.bids import find_runs
from brainreel.fmri.prepare import PrepareConfig, plan_runs
from brainreel.metrics.correlation import pearson_r
from brainreel.simulate.film_set import read_set_truth
from brainreel.simulate.truth import read_truth
from brainreel.stimulus.film import probe_film

FEW = ("--train", 2, "--validation", 1, "--test", 1, "--film-duration-s", 0.5)


@pytest.mark.parametrize(
    ("what", "told", "recipe"),
    [("pairs", "both: 98.2%", "mbt_pairs"), ("motion", "frames 2 apart: 50.0%", "tubevit_motion")],
)
def test_a_set_of_films_is_written_and_its_ceilings_told(brainreel, tmp_path, what, told, recipe):
    out = tmp_path / what
    lines = brainreel("simulate", "--what", what, "--out", out, "--seed", 3, *FEW).output
    assert told in lines
    assert f"brainreel run {recipe} data.path={out} scoring.truth={out}" in lines
    truth = read_set_truth(out)
    assert truth["set"] == what
    assert (truth["config"]["seed"], truth["config"]["duration_s"]) == (3, 0.5)
    assert len(truth["films"]) == len(list((out / "films").iterdir())) == 4


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--what", "pears"], "--what pears: should be study, pairs or motion. Did you mean"),
        (["--what", "pairs", "--subjects", "2"], "--subjects says nothing about a set of pairs."),
        (["--test", "2"], "--test says nothing about a study. Leave it out."),
        (["--what", "pairs", "--tr-s", "2"], "--tr-s says nothing about a set of pairs."),
        (["--size", "ful"], "--size ful: should be small or full. Did you mean 'full'"),
        (["--grid", "40x64"], "--grid 40x64: should be three numbers of voxels, such as 40x64x64."),
        (["--grid", "4x9x9", "--voxel-size-mm", "24"], "does not fit in 4 x 9 x 9. Give a larger"),
        (["--grid", "64x64x9999"], "'grid.2' should be less than or equal to 512"),
        (["--tr-s", "0"], "'tr_s' should be greater than 0"),
        (["--what", "motion", "--train", "0"], "'n_train' should be greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(brainreel, tmp_path, args, told):
    assert told in brainreel("simulate", "--out", tmp_path / "x", *args).error
    assert not (tmp_path / "x").exists()


SMALL = ("--subjects", 1, "--film-duration-s", 15.2, "--voxel-size-mm", 20, "--grid", "12x13x14")


def test_a_full_study_made_small_keeps_grid_tr_and_frames(brainreel, tmp_path):
    out = tmp_path / "study"
    told = brainreel("simulate", "--out", out, "--size", "full", *SMALL).output
    assert "1 runs of 1 people" in told
    (run,) = find_runs(out)
    image = nibabel.load(run.bold)
    # 25 TRs of 0.608 s are 15.2 s, and 380 frames of 1/25 s: 5 TRs are 76 frames.
    assert image.shape == (12, 13, 14, 25)
    assert image.get_data_dtype() == np.int16
    film = probe_film(out / "stimuli" / "film-1.mp4")
    assert (film.n_frames, film.frame_rate_hz) == (380, 25)
    (plan,) = plan_runs([run], tmp_path / "store", PrepareConfig())
    assert (float(plan.tr_s), plan.n_trs, float(run.film_start_s)) == (0.608, 25, 0.0)
    truth = read_truth(out, run.label)
    bold = np.asarray(image.dataobj)[plan.mask.inside].T
    cleaned = bold - truth.nuisance
    r = pearson_r(truth.signal[:, truth.tuned], cleaned[:, truth.tuned])
    assert np.median(r) > 0.5
    assert np.all(truth.ceiling()[truth.tuned] > 0.3)
