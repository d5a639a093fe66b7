from __future__ import annotations

import pytest

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.protocol import tell

SCORING = {
    "n_permutations": 500, "n_bootstrap": 200, "level": 0.9, "block_s": 20.0, "segment_s": 15.0,
    "ceiling_floor": 0.1,
}  # fmt: skip


def test_a_film_run_is_told_in_sentences() -> None:
    protocol = {
        "question": "What does it predict?",
        "splits": [{"name": "hold_out_stimulus", "test_stimuli": ["film-3"], "gap_s": 16.0}],
        "folds": ["film: 10 TRs train"],
        "fitted_on_test": False,
        "scoring": SCORING,
        "seed": 4,
    }
    card = Scorecard("", protocol=protocol, notes=("One voxel.",), ceilings={"inter_subject": 0.5})
    told = tell(card)
    assert told.question == "What does it predict?"
    assert told.stamps == ()
    assert told.notes == ("One voxel.",)
    assert told.facts == (("Seed", "4"),)
    text = " ".join(told.how)
    assert "Tested on films that nobody saw in training: film-3." in text
    assert "Sizes: film: 10 TRs train." in text
    assert "from 500 surrogates" in text
    assert "blocks of 20 s" in text
    assert "90\u00a0%, from 200 resamples" in text
    assert "segments of 15 s" in text
    assert "at least 0.1" in text
    assert "No ceiling" not in text


def test_a_run_without_a_ceiling_says_so() -> None:
    text = " ".join(tell(Scorecard("", protocol={"scoring": SCORING})).how)
    assert "No ceiling is known" in text
    assert "Shares of a ceiling" not in text


def test_pictures_are_resampled_as_pictures() -> None:
    text = " ".join(tell(Scorecard("", protocol={"scoring": SCORING}), kind="pictures").how)
    assert "paired with other pictures" in text
    assert "resamples of pictures" in text
    assert "segments" not in text


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"name": "hold_out_subject", "test_subjects": []}, "not in training: the last by name"),
        ({"name": "cells", "gap_s": 16.0}, "some people, and the last part of every film or run,"),
        ({"name": "cells", "test_stimuli": ["a", "b"]}, "some people, and a, b; each cell"),
        ({"name": "time", "gap_s": 16.0}, "last part of every film or run, with 16 s left out"),
        ({"name": "blocks", "n_folds": 5, "gap_s": 0}, "5 contiguous blocks, each predicted from"),
        ({"name": "given"}, "names as its test part"),
        ({"name": "given", "n_train": 100}, "all trials after the first 100, which train"),
        ({"name": "stratified", "n_folds": 10}, "10 folds with equal shares"),
        ({"name": "moon", "phase": 3}, "Split: name moon, phase 3."),
    ],
)
def test_every_split_says_what_was_kept_out(split: dict[str, object], words: str) -> None:
    assert words in tell(Scorecard("", protocol={"splits": [split]})).how[0]


def test_many_folds_are_cut_short() -> None:
    folds = [f"fold {i}" for i in range(10)]
    told = tell(Scorecard("", protocol={"folds": folds}))
    assert told.how == ("Sizes: fold 0; fold 1; fold 2; fold 3 … and 6 more.",)


def test_controls_and_fits_on_test_data_are_stamped() -> None:
    card = Scorecard(
        "",
        protocol={"fitted_on_test": True, "stamps": "Best of five samples."},
        notes=("Negative control: shifted by 10 s.", "Else."),
    )
    told = tell(card)
    assert told.stamps[:2] == ("Best of five samples.", "Negative control: shifted by 10 s.")
    assert "fitted on test data" in told.stamps[2]
    assert told.notes == ("Else.",)


def test_an_empty_card_tells_nothing() -> None:
    told = tell(Scorecard("t"))
    assert (told.question, told.stamps, told.how, told.notes, told.facts) == ("", (), (), (), ())
