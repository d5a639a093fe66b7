from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brainreel.data.samples import Trials
from brainreel.data.trial_splits import GivenSplit, HeldOutSubjects, make_trial_folds
from brainreel.errors import DataError

NAMES = ("anna", "bert", "cleo", "dora")


def trials(**changed: Any) -> Trials:
    """Four people, six trials each, of three pictures seen twice."""
    voxels = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    person = np.repeat(np.arange(4), 6)
    plain = {"subjects": NAMES, "person": person, "item": np.arange(24) // 2}
    return Trials(voxels, None, None, (), **plain | changed)


def people(data: Trials, rows: tuple[int, ...]) -> set[str]:
    return {data.subjects[place] for place in data.person[list(rows)]}


def test_people_are_on_one_side_whole() -> None:
    data = trials()
    (fold,) = make_trial_folds(data, [6] * 4, [HeldOutSubjects(test=0.25, validation=0.25)])
    sides = [people(data, r) for r in (fold.train_trials, fold.validation_trials, fold.test_trials)]
    assert [len(side) for side in sides] == [2, 1, 1]
    assert set.union(*sides) == set(NAMES)
    assert len(fold.train_trials) == 12
    (named,) = make_trial_folds(data, [6] * 4, [HeldOutSubjects(test_subjects=("bert", "dora"))])
    assert people(data, named.test_trials) == {"bert", "dora"}
    assert people(data, named.train_trials) == {"anna", "cleo"}


def test_people_are_drawn_by_the_seed() -> None:
    def tested(seed: int) -> tuple[int, ...]:
        return make_trial_folds(trials(), [6] * 4, [HeldOutSubjects(seed=seed)])[0].test_trials

    assert tested(1) == tested(1)
    assert len({tested(seed) for seed in range(20)}) == 4


def test_validation_takes_pictures_with_all_their_repeats() -> None:
    data = trials()
    (fold,) = make_trial_folds(data, [4] * 4, [GivenSplit(validation=0.25)])
    assert data.item is not None
    held, rest = (data.item[list(r)] for r in (fold.validation_trials, fold.train_trials))
    assert len(held) == 4  # two of eight training pictures
    assert not set(held) & set(rest)
    assert len(fold.test_trials) == 8
    assert sorted([*fold.validation_trials, *fold.train_trials, *fold.test_trials]) == [*range(24)]


def test_what_cannot_be_split_is_named() -> None:
    with pytest.raises(DataError, match=r"nobody is called 'berta'\. Did you mean 'bert'"):
        HeldOutSubjects(test_subjects=("berta",)).make(trials(), [6] * 4)
    with pytest.raises(DataError, match="of 4 people nobody is left to train on"):
        HeldOutSubjects(test=0.6, validation=0.6).make(trials(), [6] * 4)
    with pytest.raises(DataError, match=r"validation=0.95 leaves none of 8 training pictures"):
        make_trial_folds(trials(), [4] * 4, [GivenSplit(validation=0.95)])
    with pytest.raises(DataError, match="6 training trials of 6 of anna leave none to test on"):
        GivenSplit().make(trials(), [6] * 4)
