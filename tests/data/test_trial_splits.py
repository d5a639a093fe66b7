"""Splits by repeated pictures and by runs, against sets made by hand."""

from collections import Counter

import numpy as np
import pytest

from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import StoredPictures
from brainreel.data.trial_splits import ByRunSplit, RepeatedSplit, make_trial_folds
from brainreel.data.trials import TrialsData
from brainreel.errors import DataError, LeakError

ITEMS = [0, 1, 2, 1, 3, 4, 1, 3, 5, 6]
PERSON = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
RUNS = ["a", "a", "b", "a", "b", "c", "a", "b", "c", "c"]


def trials(**changes) -> Trials:
    """Two people; picture 1 twice for the first, and 1 and 3 for both."""
    voxels = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    pictures = changes.pop("pictures", None)
    facts = {
        "subjects": ("sub-01", "sub-02"),
        "person": np.array(PERSON),
        "sizes": (3, 3),
        "item": np.array(ITEMS),
        "run": np.array(RUNS),
    }
    return Trials(voxels, pictures, None, (), **{**facts, **changes})


def test_repeated_pictures_are_the_test():
    (fold,) = make_trial_folds(trials(), [6, 4], [RepeatedSplit()])
    counts = Counter(zip(PERSON, ITEMS, strict=True))
    often = {item for (_, item), n in counts.items() if n > 1}
    assert often == {1}
    assert fold.test_trials == tuple(i for i, item in enumerate(ITEMS) if item in often)
    assert sorted(fold.train_trials + fold.test_trials) == list(range(10))


def test_each_run_is_tested_in_turn():
    item = np.arange(10)
    folds = make_trial_folds(trials(item=item), [6, 4], [ByRunSplit()])
    assert [fold.name for fold in folds] == ["by_run-a", "by_run-b", "by_run-c"]
    for fold, run in zip(folds, "abc", strict=True):
        assert fold.test_trials == tuple(i for i, name in enumerate(RUNS) if name == run)
        assert not set(fold.test_trials) & set(fold.train_trials)
    (fold,) = make_trial_folds(trials(item=item), [6, 4], [ByRunSplit(test_runs=("b", "c"))])
    assert {RUNS[i] for i in fold.train_trials} == {"a"}
    item[8] = 0  # in run c what run a had
    with pytest.raises(LeakError, match="trial 8 and test trial 0 have the same picture"):
        make_trial_folds(trials(item=item), [6, 4], [ByRunSplit()])


def test_equal_pictures_with_two_numbers_are_found():
    pictures = np.random.default_rng(1).random((10, 1, 4, 4)).astype(np.float32)
    pictures[8] = pictures[0]  # in run c what run a had
    item = np.arange(10)
    with pytest.raises(LeakError, match="trial 8 and test trial 0 have the same picture"):
        make_trial_folds(trials(item=item, pictures=pictures), [6, 4], [ByRunSplit()])
    kept = StoredPictures((255 * pictures).astype(np.uint8), np.arange(10))
    with pytest.raises(LeakError, match="trial 8 and test trial 0 have the same picture"):
        make_trial_folds(trials(item=item, pictures=kept), [6, 4], [ByRunSplit()])


def test_names_that_no_file_can_have_are_refused():
    run = np.array([f"ses-1/{name}" for name in RUNS])
    with pytest.raises(DataError, match="split 'by_run-ses-1/a': weights and files are called by"):
        make_trial_folds(trials(run=run, item=np.arange(10)), [6, 4], [ByRunSplit()])
    with pytest.raises(DataError, match=r"split 'a:b': .* cannot hold '/', ':'"):
        make_trial_folds(trials(), [6, 4], [RepeatedSplit(label="a:b")])


FAULTS = {
    "no repeats": ({"item": np.arange(10)}, RepeatedSplit(), "no picture was seen 2 times or more"),
    "all repeats": ({"item": np.zeros(10, int)}, RepeatedSplit(), "every picture was seen 2 times"),
    "no runs": (
        {"run": None},
        ByRunSplit(),
        "nothing says in which run trials were. Give",
    ),
    "wrong run": ({}, ByRunSplit(test_runs=("d",)), "no trial is in run 'd'. Known: a, b, c"),
    "all runs": ({}, ByRunSplit(test_runs=("a", "b", "c")), "3 runs leave none to train on"),
    "one run": ({"run": np.full(10, "a")}, ByRunSplit(), "1 runs leave none to train on"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_splits_that_cannot_be_made(fault):
    changes, split, told = FAULTS[fault]
    with pytest.raises(DataError, match=told):
        make_trial_folds(trials(**changes), [6, 4], [split])


def test_runs_from_a_file(tmp_path):
    path = tmp_path / "trials.npz"
    voxels = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    np.savez(path, voxels=voxels, runs=np.array([1, 1, 2, 2, 3, 3]))
    told = {"path": path, "run_keys": ["runs"], "splits": [{"name": "by_run", "test_runs": [2]}]}
    data = TrialsData.parse(told).open()
    assert data.folds[0].test_trials == (2, 3)
    assert data.run.tolist() == list("112233")
