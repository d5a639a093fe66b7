"""Inner folds: every row validates once, in contiguous parts, with a gap."""

from __future__ import annotations

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.models.inner_folds import inner_folds, shuffled_folds

RUNS = ["a"] * 10 + ["b"] * 14 + ["c"] * 6


def test_blocks_are_contiguous_and_validate_each_row_once():
    folds = inner_folds(23, n_folds=5)
    validated = np.concatenate([validation for _, validation in folds])
    np.testing.assert_array_equal(validated, np.arange(23))
    for train, validation in folds:
        np.testing.assert_array_equal(np.diff(validation), 1)
        np.testing.assert_array_equal(np.union1d(train, validation), np.arange(23))


def test_gap_is_dropped_on_both_sides_within_the_run_only():
    groups = ["a"] * 10 + ["b"] * 10
    folds = inner_folds(20, groups, kind="blocks", n_folds=4, gap_rows=3)
    train, validation = folds[1]
    np.testing.assert_array_equal(validation, [5, 6, 7, 8, 9])
    np.testing.assert_array_equal(train, [0, 1, *range(10, 20)])


def test_runs_are_left_out_whole():
    folds = inner_folds(30, RUNS)
    assert [validation.tolist() for _, validation in folds] == [
        list(range(10)),
        list(range(10, 24)),
        list(range(24, 30)),
    ]
    for train, validation in folds:
        assert not set(np.array(RUNS)[train]) & set(np.array(RUNS)[validation])


def test_many_runs_are_put_together():
    runs = np.repeat(np.arange(12), 3).tolist()
    folds = inner_folds(36, runs, n_folds=4)
    assert [validation.size for _, validation in folds] == [9, 9, 9, 9]


def test_auto_takes_runs_where_there_are_two():
    runs = ["a"] * 20 + ["b"] * 20
    assert len(inner_folds(40, runs)) == 2
    assert len(inner_folds(40, runs, kind="blocks")) == 5
    assert len(inner_folds(40, ["a"] * 40)) == 5


def test_shuffled_folds_validate_each_trial_once():
    folds = shuffled_folds(25, 4, np.random.default_rng(0))
    validated = np.concatenate([validation for _, validation in folds])
    np.testing.assert_array_equal(np.sort(validated), np.arange(25))
    assert not np.array_equal(validated, np.arange(25))
    for train, validation in folds:
        np.testing.assert_array_equal(np.union1d(train, validation), np.arange(25))
        assert train.size + validation.size == 25


def test_errors():
    with pytest.raises(DataError, match="7 training rows cannot be cut into 5"):
        inner_folds(7)
    with pytest.raises(DataError, match="needs two or more training runs; there is 1"):
        inner_folds(30, ["a"] * 30, kind="runs")
    with pytest.raises(DataError, match="groups name 2 rows; there are 30"):
        inner_folds(30, ["a", "b"])
    with pytest.raises(DataError, match="gap of 40 rows"):
        inner_folds(30, gap_rows=40)
    with pytest.raises(DataError, match="5 training trials"):
        shuffled_folds(5, 3, np.random.default_rng(0))
