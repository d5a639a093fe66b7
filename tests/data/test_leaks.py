from __future__ import annotations

import numpy as np
import pytest

from brainreel.data.leaks import (
    check_everybody_tested,
    check_no_leak,
    check_no_trial_leak,
    check_sides,
    films_of,
    window_of,
)
from brainreel.data.samples import Fold, Segment
from brainreel.errors import DataError, LeakError


def fold(train, test, validation=()):
    return Fold("time", "time", tuple(train), tuple(validation), tuple(test))


def test_windows_are_in_film_time(make_recording):
    recordings = [make_recording(tr_s="1.5", first_s="-4.5")]
    assert window_of(recordings, Segment(0, 3, 10)) == (0, 10.5)


def test_overlapping_parts_of_one_recording_leak(make_recording):
    with pytest.raises(LeakError, match=(
        r"split 'time', fold 'time': train has sub-01 task-cartoon at 0\.0 to 100\.0 s and test "
        r"has sub-01 task-cartoon at 98\.0 to 200\.0 s of the same film; they must be 16 s apart"
    )):  # fmt: skip
        check_no_leak([make_recording()], fold([Segment(0, 0, 50)], [Segment(0, 49, 100)]), 16)


@pytest.mark.parametrize(("start", "leaks"), [(57, True), (58, False)])
def test_the_gap_is_exact(make_recording, start, leaks):
    parts = fold([Segment(0, 0, 50)], [Segment(0, start, 100)])
    if leaks:
        with pytest.raises(LeakError, match="16 s apart"):
            check_no_leak([make_recording()], parts, 16)
    else:
        check_no_leak([make_recording()], parts, 16)


def test_the_gap_holds_when_the_test_comes_first(make_recording):
    with pytest.raises(LeakError, match="at 110.0 to 200.0 s and test"):
        check_no_leak([make_recording()], fold([Segment(0, 55, 100)], [Segment(0, 0, 50)]), 16)


def test_a_film_seen_by_another_person_leaks(make_recording):
    recordings = [make_recording("anna"), make_recording("bert")]
    with pytest.raises(LeakError, match="anna task-cartoon .* bert task-cartoon"):
        check_no_leak(recordings, fold([Segment(0, 0, 100)], [Segment(1, 0, 100)]), 16)


def test_film_time_counts_not_the_number_of_the_volume(make_recording):
    # bert's scan began 60 s into the film: his TRs 0-20 are the film's 60-100 s.
    recordings = [make_recording("anna"), make_recording("bert", first_s="60")]
    parts = fold([Segment(0, 0, 10)], [Segment(1, 0, 20)])
    check_no_leak(recordings, parts, 16)
    with pytest.raises(LeakError, match=r"at 60\.0 to 80\.0 s .* at 60\.0 to 100\.0 s"):
        check_no_leak(recordings, fold([Segment(0, 30, 40)], [Segment(1, 0, 20)]), 16)


def test_other_films_do_not_leak(make_recording):
    recordings = [make_recording(), make_recording(stimulus="drama")]
    check_no_leak(recordings, fold([Segment(0, 0, 100)], [Segment(1, 0, 100)]), 16)


def test_one_film_file_under_two_names_is_one_film(make_recording):
    recordings = [
        make_recording(film_digest="ab"),
        make_recording(stimulus="copy", film_digest="ab"),
    ]
    with pytest.raises(LeakError, match="task-cartoon .* task-copy"):
        check_no_leak(recordings, fold([Segment(0, 0, 100)], [Segment(1, 0, 100)]), 16)


def test_being_the_same_film_is_handed_on(make_recording):
    names = [("a", "1"), ("b", "2"), ("c", ""), ("a", "2"), ("d", "1"), ("c", "3")]
    recordings = [make_recording(stimulus=s, film_digest=d) for s, d in names]
    films = films_of(recordings)
    assert films == [films[0], films[0], films[2], films[0], films[0], films[2]]
    assert films[0] != films[2]


@pytest.mark.parametrize("side", ["train", "test"])
def test_validation_obeys_the_gap(make_recording, side):
    train, test = [Segment(0, 0, 30)], [Segment(0, 70, 100)]
    validation = [Segment(0, 35, 50)] if side == "train" else [Segment(0, 50, 65)]
    with pytest.raises(LeakError, match="validation has"):
        check_no_leak([make_recording()], fold(train, test, validation), 16)
    check_no_leak([make_recording()], fold(train, test, [Segment(0, 38, 62)]), 16)


def test_a_gap_of_zero_still_refuses_overlap(make_recording):
    check_no_leak([make_recording()], fold([Segment(0, 0, 50)], [Segment(0, 50, 100)]), 0)
    with pytest.raises(LeakError, match="same film"):
        check_no_leak([make_recording()], fold([Segment(0, 0, 51)], [Segment(0, 50, 100)]), 0)


def test_across_people_the_film_may_be_the_same_but_not_the_person(make_recording):
    recordings = [
        make_recording("anna"),
        make_recording("bert"),
        make_recording("anna", "drama"),
        make_recording("group", members=("anna", "bert")),
    ]
    whole = [Segment(i, 0, 100) for i in range(4)]
    check_no_leak(recordings, fold(whole[:1], whole[1:2]), 16, across_subjects=True)
    with pytest.raises(LeakError, match="anna is in train .anna task-cartoon. and in test .anna"):
        check_no_leak(recordings, fold(whole[:1], whole[2:3]), 16, across_subjects=True)
    with pytest.raises(LeakError, match="bert is in train .group task-cartoon. and in test .bert"):
        check_no_leak(recordings, fold(whole[3:], whole[1:2]), 16, across_subjects=True)


def test_empty_sides_and_untrained_people_are_named(make_recording):
    recordings = [make_recording("anna"), make_recording("bert", "drama")]
    whole = [Segment(0, 0, 100), Segment(1, 0, 100)]
    with pytest.raises(DataError, match="nothing to train on"):
        check_sides(recordings, fold([], whole), across_subjects=False)
    with pytest.raises(DataError, match="nothing to test on"):
        check_sides(recordings, fold(whole, []), across_subjects=False)
    with pytest.raises(DataError, match="bert is tested but has nothing to train on"):
        check_sides(recordings, fold(whole[:1], whole[1:]), across_subjects=False)
    check_sides(recordings, fold(whole[:1], whole[1:]), across_subjects=True)


def test_a_person_whose_scan_ends_before_the_test_is_named(make_recording):
    recordings = [make_recording("anna"), make_recording("bert", n_trs=40)]
    parts = fold([Segment(0, 0, 40), Segment(1, 0, 40)], [Segment(0, 60, 100)])
    with pytest.raises(DataError, match="bert task-cartoon has 40 TRs and ends before the test"):
        check_everybody_tested(recordings, parts)


def trial_fold(train, test):
    return Fold("given", "given", train_trials=tuple(train), test_trials=tuple(test))


def test_trials_leak_by_number_by_picture_and_by_voxels():
    voxels = np.arange(8, dtype=np.float32).reshape(4, 2)
    items = np.arange(4)
    check_no_trial_leak(trial_fold([0, 1], [2, 3]), voxels=voxels, items=items)
    with pytest.raises(LeakError, match="trial 1 is in training and in test"):
        check_no_trial_leak(trial_fold([0, 1], [1, 2]), voxels=voxels, items=None)
    items[3] = items[0]
    with pytest.raises(LeakError, match="training trial 0 and test trial 3 have the same picture"):
        check_no_trial_leak(trial_fold([0, 1], [2, 3]), voxels=voxels, items=items)
    voxels[2] = voxels[1]
    with pytest.raises(LeakError, match="training trial 1 and test trial 2 have the same voxel"):
        check_no_trial_leak(trial_fold([0, 1], [2, 3]), voxels=voxels, items=None)
