from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from brainreel.data.cuts import trs_within
from brainreel.data.leaks import window_of
from brainreel.data.samples import Segment
from brainreel.data.splits import HoldOutStimulus, HoldOutSubject, make_folds
from brainreel.data.time_splits import BlocksSplit, TimeSplit
from brainreel.errors import ConfigError, DataError, LeakError
from brainreel.timebase import TrGrid


def trs_of(recordings, segments):
    """The TRs of each recording on one side, by a plain loop."""
    trs = [set() for _ in recordings]
    for segment in segments:
        trs[segment.recording] |= set(range(segment.start_tr, segment.stop_tr))
    return trs


def test_trs_within_a_window_against_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(200):
        grid = TrGrid(
            Fraction(int(rng.integers(1, 30)), 10),
            int(rng.integers(1, 40)),
            Fraction(int(rng.integers(-50, 50)), 7),
        )
        start = Fraction(int(rng.integers(-30, 60)), 3)
        window = start, start + Fraction(int(rng.integers(0, 200)), 6)
        inside = [
            t
            for t in range(grid.n_trs)
            if window[0] <= grid.onset_s(t) and grid.onset_s(t + 1) <= window[1]
        ]
        assert list(trs_within(grid, window)) == inside


def test_a_film_is_held_out_for_everybody(make_recording):
    recordings = [make_recording(p, s) for p in ("anna", "bert") for s in ("a", "b", "c")]
    (fold,) = HoldOutStimulus(test_stimuli=("b",), validation_stimuli=("a",)).make(recordings)
    assert fold.train == (Segment(2, 0, 100), Segment(5, 0, 100))
    assert fold.validation == (Segment(0, 0, 100), Segment(3, 0, 100))
    assert fold.test == (Segment(1, 0, 100), Segment(4, 0, 100))
    (fold,) = HoldOutStimulus().make(recordings)
    assert [s.recording for s in fold.test] == [2, 5]


def test_a_film_that_is_held_out_under_another_name_leaks(make_recording):
    recordings = [make_recording(stimulus=s, film_digest="ab") for s in ("a", "b")]
    with pytest.raises(LeakError, match="sub-01 task-a .* sub-01 task-b"):
        HoldOutStimulus().make(recordings)


def test_unknown_names_and_the_only_film_are_named(make_recording):
    recordings = [make_recording(stimulus="cartoon")]
    with pytest.raises(DataError, match=r"no stimulus 'carton'\. Did you mean 'cartoon'\?"):
        HoldOutStimulus(test_stimuli=("carton",)).make(recordings)
    with pytest.raises(DataError, match="no subject 'sub-1'"):
        HoldOutSubject(test_subjects=("sub-1",)).make(recordings)
    with pytest.raises(DataError, match="fold 'hold_out_stimulus': nothing to train on"):
        HoldOutStimulus().make(recordings)


def test_people_are_held_out_and_group_means_left_out(make_recording):
    names = ("anna", "bert", "carl")
    recordings = [make_recording(name) for name in names]
    recordings.append(make_recording("group", members=names))
    split = HoldOutSubject(test_subjects=("bert",), validation_subjects=("anna",))
    (fold,) = split.make(recordings)
    assert [s.recording for s in fold.train] == [2]
    assert [s.recording for s in fold.validation] == [0]
    assert [s.recording for s in fold.test] == [1]
    (fold,) = HoldOutSubject().make(recordings)
    assert [s.recording for s in fold.test] == [2]


def test_time_in_trs(make_recording):
    recordings = [make_recording(n_trs=362), make_recording("bert", n_trs=362)]
    (fold,) = TimeSplit(train=250, test=104, gap_s=16).make(recordings)
    assert fold.train == (Segment(0, 0, 250), Segment(1, 0, 250))
    assert fold.test == (Segment(0, 258, 362), Segment(1, 258, 362))
    assert fold.validation == ()


def test_time_in_shares_takes_all_before_the_gap(make_recording):
    (fold,) = TimeSplit(test=0.25, validation=0.1, gap_s=16).make([make_recording()])
    assert fold.test == (Segment(0, 75, 100),)
    assert fold.validation == (Segment(0, 57, 67),)
    assert fold.train == (Segment(0, 0, 49),)


def test_time_is_film_time_whatever_the_start_of_the_scan(make_recording):
    recordings = [
        make_recording("anna", n_trs=100),
        make_recording("bert", n_trs=90, first_s="10"),
        make_recording("carl", n_trs=98, first_s="0.5"),
    ]
    (fold,) = TimeSplit(test=40, gap_s=20).make(recordings)
    assert fold.test == (Segment(0, 60, 100), Segment(1, 55, 90), Segment(2, 60, 98))
    assert fold.train == (Segment(0, 0, 50), Segment(1, 0, 45), Segment(2, 0, 49))


def test_time_refuses_a_gap_that_is_too_small_and_a_run_that_is_too_short(make_recording):
    with pytest.raises(LeakError, match=r"0\.0 to 140\.0 s .* 150\.0 to 200\.0 s"):
        TimeSplit(train=70, test=25, gap_s=16).make([make_recording()])
    with pytest.raises(DataError, match=(
        r"split 'time': sub-01 task-cartoon has 100 TRs of 2 s; 250 TRs of training and 104 TRs "
        r"of test, 16 s apart, do not fit"
    )):  # fmt: skip
        TimeSplit(train=250, test=104).make([make_recording()])
    with pytest.raises(DataError, match=r"some TRs of training and 5 TRs of test, 3 of validation"):
        TimeSplit(test=5, validation=3, gap_s=20).make([make_recording(n_trs=10)])
    with pytest.raises(DataError, match="nothing to test on"):
        TimeSplit(test=0, train=10).make([make_recording()])
    short = [make_recording("anna"), make_recording("bert", n_trs=60)]
    with pytest.raises(DataError, match="bert task-cartoon has 60 TRs and ends before the test"):
        TimeSplit(test=25).make(short)


def test_blocks_test_every_tr_once_and_keep_the_gap(make_recording):
    recordings = [
        make_recording("anna", n_trs=103, tr_s="0.8"),
        make_recording("bert", n_trs=90, tr_s="0.8", first_s="4"),
        make_recording("anna", "drama", n_trs=151, tr_s="1.5"),
        make_recording("bert", "drama", n_trs=151, tr_s="1.5"),
    ]
    folds = BlocksSplit(n_folds=5, gap_s=6).make(recordings)
    assert [fold.name for fold in folds] == [f"blocks-{i}" for i in range(1, 6)]
    tested = [trs_of(recordings, fold.test) for fold in folds]
    for i, recording in enumerate(recordings):
        assert sorted(t for part in tested for t in part[i]) == list(range(recording.bold.n_trs))
    for fold in folds:
        # Witness: a TR trains exactly if its window is 6 s away from every test window of its film.
        held = [(recordings[s.recording].stimulus, window_of(recordings, s)) for s in fold.test]
        expected = [
            {
                t
                for t in range(r.bold.n_trs)
                if all(
                    name != r.stimulus
                    or r.bold.grid.onset_s(t) - stop >= 6
                    or start - r.bold.grid.onset_s(t + 1) >= 6
                    for name, (start, stop) in held
                )
            }
            for r in recordings
        ]
        assert trs_of(recordings, fold.train) == expected


def test_validation_blocks_follow_the_tested_one(make_recording):
    folds = BlocksSplit(n_folds=4, n_validation=1, gap_s=4).make([make_recording()])
    assert folds[0].test == (Segment(0, 0, 25),)
    assert folds[0].validation == (Segment(0, 27, 50),)
    assert folds[0].train == (Segment(0, 52, 100),)
    assert folds[3].test == (Segment(0, 75, 100),)
    assert folds[3].validation == (Segment(0, 0, 25),)
    assert folds[3].train == (Segment(0, 27, 73),)


def test_one_film_over_two_runs_is_cut_as_one(make_recording):
    recordings = [make_recording(run="run-1"), make_recording(run="run-2", first_s="200")]
    folds = BlocksSplit(n_folds=4, gap_s=16).make(recordings)
    assert folds[1].test == (Segment(0, 50, 100),)
    assert folds[1].train == (Segment(0, 0, 42), Segment(1, 8, 100))


def test_blocks_refuse_what_cannot_be(make_recording):
    with pytest.raises(DataError, match="has 4 TRs, fewer than 5 blocks"):
        BlocksSplit(n_folds=5).make([make_recording(n_trs=4)])
    with pytest.raises(DataError, match="fold 'blocks-1': nothing to train on"):
        BlocksSplit(n_folds=2, gap_s=300).make([make_recording()])
    with pytest.raises(ConfigError, match="leaves no block to train on"):
        BlocksSplit.parse({"n_folds": 3, "n_validation": 2})


def test_several_splits_need_labels_of_their_own(make_recording):
    splits = [TimeSplit(), TimeSplit(label="late", test=0.1)]
    folds = make_folds([make_recording()], splits)
    assert [fold.split for fold in folds] == ["time", "late"]
    with pytest.raises(DataError, match="two splits are called 'time'"):
        make_folds([make_recording()], [TimeSplit(), TimeSplit(test=0.1)])


@pytest.mark.parametrize("amount", [-1, 1.5, -0.5])
def test_amounts_are_counts_or_shares(amount):
    with pytest.raises(ConfigError, match="test"):
        TimeSplit.parse({"test": amount})
