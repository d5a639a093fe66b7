"""Splits of labelled items: equal shares of classes, files whole on one side."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from brainreel.data.labelled_samples import Item
from brainreel.data.labelled_splits import (
    GivenParts,
    HeldOutItems,
    LabelledSplitConfig,
    StratifiedItems,
    make_labelled_folds,
)
from brainreel.data.samples import Fold
from brainreel.errors import DataError


def items(*counts: int, spans: int = 2) -> list[Item]:
    """`counts[k]` files of class k, each in `spans` spans."""
    return [
        Item(
            Path(f"{number}-{file}.mp4"),
            {"label": (number,)},
            Fraction(span),
            Fraction(span + 1),
            name=f"{number}-{file} {span}",
        )
        for number, count in enumerate(counts)
        for file in range(count)
        for span in range(spans)
    ]


def folds(data: list[Item], *splits: LabelledSplitConfig) -> tuple[Fold, ...]:
    return make_labelled_folds(data, [""] * len(data), splits, find_copies=False)


def classes(data: list[Item], numbers: tuple[int, ...]) -> Counter[int]:
    return Counter(data[i].labels["label"][0] for i in numbers)


def test_held_out_takes_equal_shares_of_every_class() -> None:
    data = items(10, 20)
    (fold,) = folds(data, HeldOutItems(test=0.2, validation=0.1))
    assert classes(data, fold.test_trials) == {0: 4, 1: 8}
    assert classes(data, fold.validation_trials) == {0: 2, 1: 4}
    assert classes(data, fold.train_trials) == {0: 14, 1: 28}
    sides = [fold.train_trials, fold.validation_trials, fold.test_trials]
    paths = [{data[i].path for i in side} for side in sides]
    assert not paths[0] & paths[1] | paths[1] & paths[2] | paths[0] & paths[2]


def test_a_class_of_two_files_is_tested() -> None:
    data = items(2, 30)
    (fold,) = folds(data, HeldOutItems(test=0.1))
    assert classes(data, fold.test_trials) == {0: 2, 1: 6}


def test_the_seed_decides() -> None:
    data = items(10, 10)
    assert folds(data, HeldOutItems(seed=1)) == folds(data, HeldOutItems(seed=1))
    assert folds(data, HeldOutItems(seed=1)) != folds(data, HeldOutItems(seed=2))
    assert folds(data, StratifiedItems(seed=1)) != folds(data, StratifiedItems(seed=2))


def test_stratified_folds_test_each_item_once() -> None:
    data = items(6, 9, 5)
    made = folds(data, StratifiedItems(n_folds=5))
    assert [fold.name for fold in made] == [f"stratified-{k}" for k in range(1, 6)]
    assert sorted(i for fold in made for i in fold.test_trials) == list(range(len(data)))
    for fold in made:
        assert sorted(fold.train_trials + fold.test_trials) == list(range(len(data)))
        tested = {data[i].path for i in fold.test_trials}
        assert not tested & {data[i].path for i in fold.train_trials}
        assert len(tested) == 4
        assert set(classes(data, fold.test_trials)) == {0, 1, 2}
    with pytest.raises(DataError, match=r"a class has 5 files, among them 2-\d.mp4, fewer than 6"):
        folds(data, StratifiedItems(n_folds=6))


def test_given_parts() -> None:
    data = items(4, spans=1)
    parts = ["", "test", "validation", "train"]
    (fold,) = make_labelled_folds(data, parts, (GivenParts(),), find_copies=False)
    assert (fold.train_trials, fold.validation_trials, fold.test_trials) == ((0, 3), (2,), (1,))
    with pytest.raises(DataError, match="nothing to train on"):
        make_labelled_folds(data, ["test"] * 4, (GivenParts(),), find_copies=False)


def test_two_splits_need_two_labels() -> None:
    data = items(5, 5)
    made = folds(data, HeldOutItems(), HeldOutItems(label="again", seed=3))
    assert [fold.split for fold in made] == ["held_out", "again"]
    with pytest.raises(DataError, match="two splits are called 'held_out'"):
        folds(data, HeldOutItems(), HeldOutItems(seed=3))


def test_one_item_cannot_be_split() -> None:
    with pytest.raises(DataError, match="nothing to test on"):
        folds(items(1, spans=1), HeldOutItems())


def test_shares_must_leave_something() -> None:
    with pytest.raises(ValueError, match="leave nothing to train on"):
        HeldOutItems(test=0.6, validation=0.4)
