from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from brainreel.data.loading import Draw
from brainreel.data.recorded_volumes import RecordedVolumes, common_box, training_volume_moments
from brainreel.data.samples import Fold, Segment, Series
from brainreel.data.volume_dataset import VolumeDataset
from brainreel.data.volume_references import References, next_person
from brainreel.data.volume_views import VolumeViews
from brainreel.data.volume_windows import plan_prediction, plan_training
from brainreel.errors import DataError

from .volume_data import GRID, in_time, mask, people


@pytest.mark.parametrize("n_trs", [1, 2, 5, 7, 8])
@pytest.mark.parametrize("stride", [1, 3, 5, 9])
@pytest.mark.parametrize("start", [0, 4])
def test_every_full_window_is_reached_and_no_other(n_trs: int, stride: int, start: int) -> None:
    segment = Segment(0, start, 19)
    windows = plan_training([segment], [0], n_trs, stride_trs=stride, context_trs=2, n_people=1)
    first = start + (2 if start else 0)
    reached = {w.moved(offset).start_tr for w in windows for offset in range(stride)}
    assert reached == set(range(first, 19 - n_trs + 1))
    moved = [w.moved(offset) for w in windows for offset in range(stride)]
    assert {w.stop_tr - w.start_tr for w in moved} == {n_trs}
    assert all(w.counted_tr == w.start_tr for w in moved)


@pytest.mark.parametrize("n_trs", [1, 4, 5, 12, 15, 40])
def test_prediction_counts_every_tr_once(n_trs: int) -> None:
    segments = [Segment(0, 3, 15), Segment(1, 0, 5)]
    windows = plan_prediction(segments, [0, 0], n_trs, n_people=3)
    counted = [
        (recording, tr)
        for w in windows
        for recording in w.recordings
        for tr in range(w.counted_tr, w.stop_tr)
    ]
    assert sorted(counted) == [(s.recording, tr) for s in segments
                               for tr in range(s.start_tr, s.stop_tr)]  # fmt: skip
    for w in windows:
        segment = segments[w.recordings[0]]
        assert w.stop_tr - w.start_tr == min(n_trs, segment.n_trs)
        assert segment.start_tr <= w.start_tr <= w.counted_tr


def test_people_who_saw_the_same_trs_share_a_window_up_to_a_number() -> None:
    segments = [Segment(i, 0, 9) for i in range(5)]
    windows = plan_training(segments, [0, 0, 0, 1, 0], 4, stride_trs=4, context_trs=0, n_people=3)
    assert [(w.strip, w.start_tr, w.recordings) for w in windows] == [
        (0, 0, (0, 1, 2)), (0, 0, (4,)), (0, 4, (0, 1, 2)), (0, 4, (4,)), (1, 0, (3,)), (1, 4, (3,))
    ]  # fmt: skip


def test_a_segment_that_is_all_context_teaches_nothing() -> None:
    with pytest.raises(DataError, match="no segment is longer than the 6 TRs of context before"):
        plan_training([Segment(0, 4, 10)], [0], 3, stride_trs=3, context_trs=6, n_people=1)


def dataset(series: Series, n_trs: int, *, seed: int | None = None, **options) -> VolumeDataset:
    segments = series.folds[0].train if seed is not None else series.folds[0].test
    moments = training_volume_moments(series, series.folds[0].train)
    volumes = RecordedVolumes(series, common_box(series, crop=True), moments)
    strips = [0] * len(series.recordings)
    stride = options.pop("stride", n_trs)
    windows = plan_prediction(segments, strips, n_trs, n_people=1)
    if seed is not None:
        windows = plan_training(
            segments, strips, n_trs, stride_trs=stride, context_trs=0, n_people=1
        )
        options["stride_trs"] = stride
    if options.pop("reference", False):
        options["references"] = References(volumes, series.folds[0].train, **options.pop("of", {}))
    who = list(range(len(series.recordings)))
    return VolumeDataset(windows, volumes, who, window_trs=n_trs, seed=seed, **options)


def expected_views(series: Series, recording: int) -> np.ndarray:
    """All TRs of a person in both views on the whole grid, by the training moments."""
    item = series.recordings[recording]
    train = series.bold_of(series.folds[0].train[recording])
    views = VolumeViews.of(train, item.bold.mask)
    return views(item.bold.data)


def test_a_batch_holds_the_views_of_each_row_cut_to_everybodys_mask() -> None:
    series = in_time(people(3))
    data = dataset(series, 5)
    batch = data.__getitems__([0, 2, 5])
    assert batch.views.shape == (3, 5, 2, 3, 4, 3)
    assert batch.views.dtype == torch.float32
    box = (slice(1, 4), slice(1, 5), slice(0, 3))
    for row, recording in enumerate(batch.recording.tolist()):
        start = int(batch.start_tr[row])
        expected = expected_views(series, recording)[start : start + 5][:, :, *box]
        np.testing.assert_array_equal(batch.views[row], expected)
        np.testing.assert_array_equal(batch.inside[row], mask(recording).inside[box])
    assert batch.subject.tolist() == batch.recording.tolist()
    # TRs 22 to 29: the first window is 22 to 26, the last 25 to 29, of which 27 to 29 count.
    assert batch.start_tr.tolist() == [22, 22, 25]
    assert batch.counted.int().tolist() == [[1] * 5, [1] * 5, [0, 0, 1, 1, 1]]
    assert batch.film is None
    assert batch.reference is None


def test_a_batch_of_some_windows_is_these_windows_alone() -> None:
    data = dataset(in_time(people(3)), 4, seed=1, reference=True)
    together = data.__getitems__([Draw(3, 2), Draw(~0, 2), Draw(5, 2)])
    for row, draw in enumerate([Draw(3, 2), Draw(~0, 2), Draw(5, 2)]):
        alone = data[draw]
        for item in dataclasses.fields(together):
            if item.name != "film":
                ours, theirs = getattr(together, item.name)[row], getattr(alone, item.name)[0]
                assert torch.equal(ours, theirs), item.name
    assert not together.counted[1].any()
    moved = together.to("meta")
    assert (moved.views.device.type, moved.reference.device.type) == ("meta", "meta")


def test_a_segment_shorter_than_a_window_ends_in_its_last_volume_which_counts_once() -> None:
    series = in_time(people(2))
    data = dataset(series, 11)
    assert len(data) == 2
    batch = data[0]
    assert batch.counted.int().tolist() == [[1] * 8 + [0] * 3]
    for place in (8, 9, 10):
        assert torch.equal(batch.views[0, place], batch.views[0, 7])
    learned = dataset(series, 25, seed=0)[Draw(0, 3)]
    assert learned.counted.sum() == 18


def test_windows_of_training_move_with_the_epoch_through_all_places() -> None:
    data = dataset(in_time(people(1)), 4, seed=3, stride=5)
    starts = [[int(data[Draw(i, e)].start_tr[0]) for i in range(len(data))] for e in range(5)]
    assert sorted({start for epoch in starts for start in epoch}) == list(range(15))
    assert starts[0] == [int(data[Draw(i, 5)].start_tr[0]) for i in range(len(data))]


def test_references_of_training_are_training_volumes_outside_the_window() -> None:
    series = in_time(people(2))
    data = dataset(series, 4, seed=2, reference=True)
    box = (slice(1, 4), slice(1, 5), slice(0, 3))
    known = expected_views(series, 1)[:, :, *box]
    drawn = set()
    for epoch in range(60):
        batch = data[Draw(len(data) - 1, epoch)]
        assert batch.recording.tolist() == [1]
        (tr,) = [t for t in range(30) if np.array_equal(known[t], batch.reference[0])]
        start = int(batch.start_tr[0])
        assert not start <= tr < start + 4
        drawn.add(tr)
    assert len(drawn) > 12
    assert max(drawn) < 18
    again = dataset(series, 4, seed=2, reference=True)[Draw(len(data) - 1, 7)]
    assert torch.equal(again.reference, data[Draw(len(data) - 1, 7)].reference)


def test_the_reference_of_a_prediction_is_the_same_for_all_windows() -> None:
    series = in_time(people(3), unseen=1)
    data = dataset(series, 4, reference=True)
    box = (slice(1, 4), slice(1, 5), slice(0, 3))
    rows = [data[i] for i in range(len(data))]
    for row in rows:
        recording = int(row.recording[0])
        if recording < 2:
            known = expected_views(series, recording)[9]
        else:  # nobody trained on: the first volume, by the moments of their own run
            item = series.recordings[recording]
            known = VolumeViews.of(item.bold.data, item.bold.mask)(item.bold.data)[0]
        np.testing.assert_array_equal(row.reference[0], known[:, *box])


@pytest.mark.parametrize("seen", [True, False])
def test_the_reference_comes_from_another_recording_where_there_is_one(seen: bool) -> None:
    once = people(1)[0]
    rng = np.random.default_rng(5)
    again = replace(once.bold, data=rng.normal(60, 4, once.bold.data.shape).astype(np.float32))
    both = (once, replace(once, run="task-other", bold=again))
    train = tuple(Segment(i, 0, 18) for i in (0, 1)) if seen else ()
    test = tuple(Segment(i, 0, 30) for i in (0, 1))
    series = Series(both, (Fold("all", "all", train=train, test=test),))
    data = dataset(series, 4, reference=True)
    for row in (data[i] for i in range(len(data))):
        other = both[1 - int(row.recording[0])].bold
        values, tr = (other.data, 15)
        if seen:
            values, tr = np.concatenate([item.bold.data[:18] for item in both]), 9
        known = VolumeViews.of(values, other.mask)(other.data)[tr]
        np.testing.assert_allclose(row.reference[0], known[:, 1:4, 1:5, 0:3], atol=1e-4)


def test_references_of_another_person_and_given_ones_are_controls() -> None:
    series = in_time(people(3))
    box = (slice(1, 4), slice(1, 5), slice(0, 3))
    whose = next_person(series.subjects)
    assert whose == {"sub-01": "sub-02", "sub-02": "sub-03", "sub-03": "sub-01"}
    data = dataset(series, 4, reference=True, of={"whose": whose})
    np.testing.assert_array_equal(data[0].reference[0], expected_views(series, 1)[9][:, *box])
    given = {"sub-01": np.ones((2, 3, 4, 3), np.float32)}
    data = dataset(series, 4, reference=True, of={"given": given})
    assert (data[0].reference == 1).all()
    assert not (data[1].reference == 1).all()
    with pytest.raises(DataError, match="the reference of sub-01 has 5 along axis X"):
        dataset(series, 4, reference=True, of={"given": {"sub-01": np.ones((2, *GRID))}})
    with pytest.raises(DataError, match="sub-01: 'sub-09', whose volumes to take, is not"):
        dataset(series, 4, reference=True, of={"whose": {"sub-01": "sub-09"}})
    with pytest.raises(DataError, match="needs two people"):
        next_person(["sub-01"])


def test_a_window_that_is_all_there_is_has_no_reference() -> None:
    data = dataset(in_time(people(1)), 18, seed=0, reference=True)
    with pytest.raises(DataError, match="sub-01 task-film: no volume lies outside the window"):
        data[Draw(0, 0)]
