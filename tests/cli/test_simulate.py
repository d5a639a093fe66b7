"""`simulate --what`: sets of films by the command, and options that do not fit."""

import pytest

from brainreel.simulate.film_set import read_set_truth

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
        (["--what", "motion", "--train", "0"], "'n_train' should be greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(brainreel, tmp_path, args, told):
    assert told in brainreel("simulate", "--out", tmp_path / "x", *args).error
    assert not (tmp_path / "x").exists()
