"""The split `cells`: who trains on what, and what each cell may not have in common with it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from brainreel.data.cell_splits import CELLS, CellsSplit
from brainreel.data.leaks import check_no_leak, window_of
from brainreel.data.samples import Segment
from brainreel.data.splits import make_folds
from brainreel.data.time_splits import TimeSplit
from brainreel.errors import ConfigError, DataError, LeakError

PEOPLE = ("anna", "bert", "carl", "dora", "emil")


@pytest.fixture
def recordings(make_recording):
    """Five people who saw two films; the group mean of all; carl's scan began late."""
    found = [make_recording(who, film) for who, film in product(PEOPLE, ("a", "b"))]
    found[4:6] = [make_recording("carl", film, 90, first_s="20") for film in ("a", "b")]
    return [*found, make_recording("group", "a", members=PEOPLE)]


def trs(recordings, segments):
    """Who was at which film time of which film, by a plain loop."""
    return {
        (r.subject, r.stimulus, r.bold.grid.onset_s(tr))
        for r, segment in ((recordings[s.recording], s) for s in segments)
        for tr in range(segment.start_tr, segment.stop_tr)
    }


def test_each_cell_is_people_by_film_part_against_a_loop(recordings):
    split = CellsSplit(test_subjects=("bert", "emil"), test=0.3, gap_s=16)
    (fold,) = split.make(recordings)
    everything = {
        (r.subject, r.stimulus, r.bold.grid.onset_s(tr))
        for r in recordings[:-1]
        for tr in range(r.bold.n_trs)
    }
    # Of 200 s the last 60 are unseen, the 16 before them a gap.
    expected = {
        f"{'un' * held}seen_person-{'un' * late}seen_film": {
            (who, film, time)
            for who, film, time in everything
            if (who in ("bert", "emil")) == held and (time >= 140 if late else time < 124)
        }
        for held, late in product((False, True), repeat=2)
    }
    assert {cell.name: trs(recordings, cell.test) for cell in fold.cells} == expected
    assert trs(recordings, fold.train) == expected["seen_person-seen_film"]
    assert trs(recordings, fold.test) == set().union(*expected.values())
    assert fold.validation == ()
    assert [cell.name for cell in fold.cells] == list(CELLS)


def test_validation_lies_between_and_is_of_seen_people(recordings):
    (fold,) = CellsSplit(test_subjects=("anna",), test=20, validation=10, gap_s=10).make(recordings)
    assert {who for who, _, _ in trs(recordings, fold.validation)} == {*PEOPLE} - {"anna"}
    times = sorted({time for _, _, time in trs(recordings, fold.validation)})
    assert (times[0], times[-1], len(times)) == (130, 148, 10)
    seen = {time for _, _, time in trs(recordings, fold.train)}
    assert max(seen) == 118
    assert trs(recordings, fold.cells[2].test) == {
        ("anna", film, time) for film in "ab" for time in seen
    }


def test_whole_films_are_held_out_by_name(recordings):
    split = CellsSplit(test_subjects=("anna",), test_stimuli=("b",))
    (fold,) = split.make(recordings)
    assert trs(recordings, fold.train) == {
        key for key in trs(recordings, whole(recordings)) if key[0] != "anna" and key[1] == "a"
    }
    assert {key[1] for key in trs(recordings, fold.cells[0].test)} == {"b"}
    with pytest.raises(DataError, match="no stimulus 'c'"):
        CellsSplit(test_stimuli=("c",)).make(recordings)


def whole(recordings):
    return [Segment(i, 0, r.bold.n_trs) for i, r in enumerate(recordings) if not r.members]


@pytest.mark.parametrize(("asked", "n"), [(2, 2), (0.4, 2), (0.01, 1), (0, 1)])
def test_people_are_drawn_by_number_or_share(recordings, asked, n):
    (fold,) = CellsSplit(n_test_subjects=asked).make(recordings)
    held = {who for who, _, _ in trs(recordings, fold.cells[0].test)}
    assert len(held) == n
    assert held.isdisjoint(who for who, _, _ in trs(recordings, fold.train))


def test_the_seed_decides_who_is_drawn_and_every_person_can_be(recordings):
    drawn = [
        next(iter(trs(recordings, CellsSplit(seed=seed).make(recordings)[0].cells[0].test)))[0]
        for seed in range(20)
    ]
    assert set(drawn) == set(PEOPLE)
    assert CellsSplit(seed=3).make(recordings) == CellsSplit(seed=3).make(recordings)


def test_the_cells_that_are_tested_do_not_change_what_is_trained_on(recordings):
    (full,) = CellsSplit().make(recordings)
    (part,) = CellsSplit(tested=("seen_person-unseen_film",)).make(recordings)
    assert part.train == full.train
    assert part.cells == (full.cells[1],)
    assert part.test == full.cells[1].test


def test_two_such_splits_keep_their_cells_apart(recordings):
    splits = [CellsSplit(), CellsSplit(label="late", test=0.1), TimeSplit()]
    folds = make_folds(recordings[:-1], splits)
    names = [cell.name for fold in folds for cell in fold.cells]
    assert names[:1] + names[4:5] == [CELLS[0], f"late_{CELLS[0]}"]
    assert len(set(names)) == 8


def test_a_cell_leaks_in_what_is_unseen_in_it(recordings):
    (fold,) = CellsSplit(test_subjects=("bert",), gap_s=16).make(recordings)
    named = {cell.name: cell for cell in fold.cells}

    def check(name, test):
        cells = (replace(named[name], test=(test,)),)
        check_no_leak(recordings, replace(fold, cells=cells, test=(test,)), 16)

    seen, late_of_bert, early_of_bert = fold.train[0], Segment(2, 75, 100), Segment(2, 0, 60)
    check("seen_person-seen_film", seen)
    check("unseen_person-seen_film", early_of_bert)
    check("unseen_person-unseen_film", late_of_bert)
    with pytest.raises(LeakError, match="test 'unseen_person-unseen_film' has bert .*film"):
        check("unseen_person-unseen_film", early_of_bert)
    with pytest.raises(LeakError, match="anna is in train .* in test 'unseen_person-seen_film'"):
        check("unseen_person-seen_film", seen)
    with pytest.raises(LeakError, match="anna is in train .* in test 'unseen_person-unseen_film'"):
        check("unseen_person-unseen_film", Segment(0, 75, 100))
    with pytest.raises(LeakError, match="test 'seen_person-unseen_film' has .* of the same film"):
        check("seen_person-unseen_film", seen)
    assert window_of(recordings, late_of_bert)[0] == 150


def test_what_cannot_be_is_named(recordings, make_recording):
    with pytest.raises(DataError, match="5 of 5 people are held out, and nobody is left"):
        CellsSplit(test_subjects=PEOPLE).make(recordings)
    with pytest.raises(DataError, match="1 of 1 people are held out"):
        CellsSplit().make([make_recording()])
    with pytest.raises(DataError, match="split 'cells': no subject 'ana'. Did you mean 'anna'"):
        CellsSplit(test_subjects=("ana",)).make(recordings)
    with pytest.raises(DataError, match="nothing to test 'unseen_person-unseen_film' on"):
        CellsSplit(test=0).make(recordings)
    with pytest.raises(DataError, match="nothing to train on"):
        CellsSplit(test_stimuli=("a", "b")).make(recordings)
    short = [make_recording("anna"), make_recording("bert"), make_recording("carl", n_trs=60)]
    with pytest.raises(DataError, match="carl task-cartoon has 60 TRs and ends before the test"):
        CellsSplit(test_subjects=("bert",)).make(short)
    with pytest.raises(ConfigError, match="tested"):
        CellsSplit.parse({"tested": []})
    with pytest.raises(ConfigError, match="tested"):
        CellsSplit.parse({"tested": ["unseen"]})


def test_a_person_who_is_neither_held_out_nor_trained_on_is_named(make_recording):
    recordings = [make_recording(who, film) for who, film in product(("anna", "bert"), ("a", "b"))]
    late = make_recording("carl", "b")
    with pytest.raises(DataError, match="carl is tested but has nothing to train on"):
        CellsSplit(test_subjects=("bert",), test_stimuli=("b",)).make([*recordings, late])
