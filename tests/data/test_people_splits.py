from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from brainreel.data.people_labels import PeopleLabels
from brainreel.data.people_splits import (
    GivenPeople,
    HeldOutPeople,
    StratifiedPeople,
    deal,
    make_people_folds,
)
from brainreel.data.samples import Fold, Recording
from brainreel.errors import ConfigError, DataError, LeakError
from brainreel.fmri.bold import Bold
from brainreel.timebase import TrGrid

SIDES = ("train", "validation", "test")


def study(n: int, n_runs: int = 2) -> tuple[list[Recording], list[str]]:
    people = [f"sub-{i:02}" for i in range(n)]
    bold = Bold(np.zeros((9, 2), np.float32), TrGrid(Fraction(2), 9))
    recordings = [Recording(w, f"run-{r}", "rest", bold) for w in people for r in range(n_runs)]
    return recordings, people


def labelled(people: list[str], n_classes: int, n_families: int = 0) -> PeopleLabels:
    values = {who: float(i % n_classes) for i, who in enumerate(people)}
    rng = np.random.default_rng(0)
    families = {who: f"f{rng.integers(n_families)}" for who in people} if n_families else {}
    return PeopleLabels(values, tuple("abcd"[:n_classes]), families)


def sides(recordings: list[Recording], fold: Fold) -> dict[str, set[str]]:
    return {side: {recordings[s.recording].subject for s in getattr(fold, side)} for side in SIDES}


@pytest.mark.parametrize("seed", range(4))
def test_a_share_of_every_class_is_held_out(seed: int) -> None:
    recordings, people = study(30)
    labels = labelled(people, 3)
    split = HeldOutPeople(test=0.2, validation=0.1, seed=seed)
    (fold,) = make_people_folds(recordings, labels, [split])
    parts = sides(recordings, fold)
    assert [len(parts[side]) for side in SIDES] == [21, 3, 6]
    assert set.union(*parts.values()) == set(people)
    for part, each in zip(SIDES, (7, 1, 2), strict=True):
        assert Counter(labels.values[who] for who in parts[part]) == dict.fromkeys(range(3), each)
    # All runs of a person, whole.
    assert {(s.start_tr, s.stop_tr) for s in fold.train + fold.test} == {(0, 9)}
    assert len(fold.test) == 12


def test_another_seed_holds_out_others_and_the_same_the_same() -> None:
    recordings, people = study(20)
    labels = labelled(people, 2)
    tested = []
    for seed in (0, 1, 0):
        (fold,) = make_people_folds(recordings, labels, [HeldOutPeople(seed=seed)])
        tested.append(sides(recordings, fold)["test"])
    assert tested[0] == tested[2] != tested[1]


def test_folds_test_everybody_once_with_equal_shares_of_the_classes() -> None:
    recordings, people = study(23)
    labels = labelled(people, 2)
    folds = make_people_folds(
        recordings, labels, [StratifiedPeople(n_folds=4, validation=0.25, label="cv")]
    )
    assert [fold.name for fold in folds] == ["cv-1", "cv-2", "cv-3", "cv-4"]
    parts = [sides(recordings, fold) for fold in folds]
    tested = Counter(who for part in parts for who in part["test"])
    assert tested == dict.fromkeys(people, 1)
    for part in parts:
        for number in (0, 1):
            n = sum(labels.values[who] == number for who in part["test"])
            assert n in (2, 3)
            assert sum(labels.values[who] == number for who in part["validation"]) >= 2
        assert not part["validation"] & (part["train"] | part["test"])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("split", [HeldOutPeople(test=0.3, validation=0.2), StratifiedPeople()])
def test_families_stay_together(split, seed: int) -> None:
    recordings, people = study(40, n_runs=1)
    labels = labelled(people, 2, n_families=15)
    own = split.model_copy(update={"seed": seed})
    folds = make_people_folds(recordings, labels, [own])
    for fold in folds:
        parts = sides(recordings, fold)
        families = [{labels.families[who] for who in parts[side]} for side in SIDES]
        assert not families[0] & families[1]
        assert not families[0] & families[2]
        assert not families[1] & families[2]
        share = len(parts["test"]) / 40
        assert abs(share - (0.3 if len(folds) == 1 else 0.2)) < 0.1


def test_numbers_are_dealt_as_one_class_and_people_without_a_family_alone() -> None:
    people = [f"sub-{i}" for i in range(12)]
    numbers = PeopleLabels({who: 0.5 * i for i, who in enumerate(people)}, families={"sub-3": "x"})
    part_of = deal(people, numbers, [0.5, 0.25, 0.25], seed=0)
    assert Counter(part_of.values()) == {0: 6, 1: 3, 2: 3}
    assert Counter(deal(people, numbers, [0.75, 0, 0.25], seed=1).values()) == {0: 9, 2: 3}


def test_named_people_and_a_family_between_them() -> None:
    recordings, people = study(6)
    labels = labelled(people, 2)
    split = GivenPeople(test_subjects=("04", "sub-05"), validation_subjects=("sub-03",))
    (fold,) = make_people_folds(recordings, labels, [split])
    parts = sides(recordings, fold)
    assert parts["test"] == {"sub-04", "sub-05"}
    assert parts["validation"] == {"sub-03"}
    kin = PeopleLabels(labels.values, labels.classes, {"sub-00": "May", "sub-04": "May"})
    match = r"sub-00 \(train\) and sub-04 \(test\) are of the family 'May'. Keep families on one"
    with pytest.raises(LeakError, match=match):
        make_people_folds(recordings, kin, [split])
    for left_out in ({"missing": ("sub-07",)}, {"other": ("sub-07",)}):
        unknown = PeopleLabels(labels.values, labels.classes, {}, **left_out)
        with pytest.raises(
            DataError, match="sub-07 is to be on the side of test, and has no label"
        ):
            make_people_folds(recordings, unknown, [GivenPeople(test_subjects=("07",))])
    with pytest.raises(DataError, match="split 'given': no subject '07'. Did you mean"):
        make_people_folds(recordings, labels, [GivenPeople(test_subjects=("07",))])
    twice = GivenPeople(test_subjects=("03",), validation_subjects=("03",))
    with pytest.raises(DataError, match="sub-03 is to validate and to test"):
        make_people_folds(recordings, labels, [twice])


def test_sides_that_cannot_be_scored_are_refused() -> None:
    recordings, people = study(6)
    labels = labelled(people, 2)
    with pytest.raises(DataError, match="split 'given', fold 'given': nothing to test on"):
        make_people_folds(recordings, labels, [GivenPeople()])
    with pytest.raises(DataError, match="everybody tested is 'b', so nothing can be told apart"):
        make_people_folds(recordings, labels, [GivenPeople(test_subjects=("01", "03"))])
    named = ("00", "01", "03", "05")
    with pytest.raises(DataError, match="nobody of 'b' is left to train on"):
        make_people_folds(recordings, labels, [GivenPeople(test_subjects=named)])
    with pytest.raises(DataError, match="two splits are called 'held_out'"):
        make_people_folds(recordings, labels, [HeldOutPeople(), HeldOutPeople(seed=1)])
    with pytest.raises(ConfigError, match="test and validation leave nobody to train on"):
        HeldOutPeople.parse({"test": 0.5, "validation": 0.5})
