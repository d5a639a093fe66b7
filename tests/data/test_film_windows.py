from __future__ import annotations

import inspect
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from brainreel.data.module import FilmModule, film_spec
from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.strips import FilmStrip, WindowsConfig, open_strips
from brainreel.data.windows import (
    Window,
    WindowDataset,
    collate_windows,
    plan_windows,
)
from brainreel.errors import DataError
from brainreel.fmri.bold import Bold
from brainreel.models.encoding import EncodingModel
from brainreel.timebase import TrGrid

CONFIG = WindowsConfig(frames_per_tr=2, height=16, width=16, window_trs=4, batch_windows=2)


def test_windows_of_people_who_saw_the_same_are_one() -> None:
    segments = [Segment(0, 0, 10), Segment(1, 0, 10), Segment(2, 0, 10)]
    windows = plan_windows(segments, [0, 0, 1], 4, context_trs=3, own_context=True)
    assert windows == (
        Window(0, 0, 4, (0, 1)),
        Window(0, 4, 8, (0, 1)),
        Window(0, 8, 10, (0, 1)),
        Window(1, 0, 4, (2,)),
        Window(1, 4, 8, (2,)),
        Window(1, 8, 10, (2,)),
    )


def test_training_takes_no_context_from_outside_its_segment() -> None:
    segments = [Segment(0, 0, 5), Segment(0, 20, 29)]
    trained = plan_windows(segments, [0], 4, context_trs=3, own_context=True)
    assert [(w.start_tr, w.stop_tr) for w in trained] == [(0, 4), (4, 5), (23, 27), (27, 29)]
    assert all(w.start_tr - 3 >= 20 for w in trained if w.start_tr >= 20)
    tested = plan_windows(segments, [0], 4, context_trs=3, own_context=False)
    predicted = [tr for w in tested for tr in range(w.start_tr, w.stop_tr)]
    assert predicted == [*range(5), *range(20, 29)]
    with pytest.raises(DataError, match="no segment is longer than the 3 TRs of context"):
        plan_windows([Segment(0, 20, 23)], [0], 4, context_trs=3, own_context=True)


def dataset() -> WindowDataset:
    frames = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    strip = FilmStrip(frames, np.arange(20).reshape(10, 2) + 5)
    rng = np.random.default_rng(0)
    bold = {0: rng.normal(size=(10, 3)), 1: rng.normal(size=(10, 2))}
    windows = plan_windows(
        [Segment(0, 0, 10), Segment(1, 0, 10)], [0, 0], 4, context_trs=3, own_context=True
    )
    return WindowDataset(
        windows,
        [strip],
        {k: v.astype(np.float32) for k, v in bold.items()},
        [0, 1],
        (3, 2),
        window_trs=4,
        context_trs=3,
    )


def test_a_window_holds_its_frames_and_the_bold_of_its_people() -> None:
    data = dataset()
    middle = data[1]
    # TRs 1 to 7: context 1 to 3, predicted 4 to 7; TR t shows frames 5 + 2 t and 6 + 2 t.
    assert middle.frames.flatten().tolist() == list(range(7, 21))
    assert middle.shown.all()
    assert middle.subject.tolist() == [0, 1]
    np.testing.assert_array_equal(middle.bold[0], data.bold[0][4:8])
    np.testing.assert_array_equal(middle.bold[1, :, :2], data.bold[1][4:8])
    assert middle.counted.sum(dim=(1, 2)).tolist() == [12, 8]
    assert not middle.counted[1, :, 2].any()


def test_head_and_tail_of_a_run_are_marked() -> None:
    data = dataset()
    assert data[0].shown[0].tolist() == [False] * 3 + [True] * 4
    assert (data[0].frames[0, :3] == 0).all()
    last = data[2]
    assert last.shown[0].tolist() == [True] * 5 + [False] * 2
    assert last.counted[0, :, 0].tolist() == [True, True, False, False]


def test_a_copy_counts_nothing_and_collate_keeps_rows_with_their_film() -> None:
    data = dataset()
    copy = data[~1]
    assert torch.equal(copy.frames, data[1].frames)
    assert not copy.counted.any()
    batch = collate_windows([data[0], data[2]])
    assert batch.frames.shape[0] == 2
    assert batch.film.tolist() == [0, 0, 1, 1]
    assert torch.equal(batch.bold[2:], data[2].bold)
    moved = batch.to("meta")
    assert moved.frames.device.type == "meta"
    assert batch.inputs().keys() == inspect.signature(EncodingModel.forward).parameters.keys() - {
        "self"
    }


def write_film(path: Path) -> Path:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for i in range(120):
            picture = np.full((32, 32, 3), 2 * i, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    return path


def series(tmp_path: Path) -> Series:
    film = write_film(tmp_path / "film.mp4")
    rng = np.random.default_rng(0)
    recordings = []
    for who, n, first in (("sub-01", 3, 0), ("sub-02", 2, 0), ("sub-03", 2, 1)):
        data = (100 + 7 * rng.normal(size=(10, n))).astype(np.float32)
        grid = TrGrid(Fraction(1), 10, Fraction(first))
        recordings.append(Recording(who, "run-1", "film", Bold(data, grid), film))
    train = tuple(Segment(i, 0, 6) for i in range(3))
    test = tuple(Segment(i, 6, 10) for i in range(3))
    return Series(tuple(recordings), (Fold("time", "time", train=train, test=test),))


def test_a_film_is_decoded_once_and_shown_on_the_clock_of_each_run(tmp_path: Path) -> None:
    data = series(tmp_path)
    strips, strip_of = open_strips(data.recordings, CONFIG, tmp_path / "cache")
    assert strip_of == (0, 0, 1)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    # TR t looks at t + 1/4 and t + 3/4 s: frames 10 t + 2 and 10 t + 7 of brightness 2 i.
    own, later = strips[0].part(slice(2, 4)), strips[1].part(slice(1, 3))
    level = own["frames"].mean(axis=(2, 3, 4)).round()
    np.testing.assert_allclose(level, [[44, 54], [64, 74]], atol=3)
    assert own["frame_numbers"].tolist() == [[22, 27], [32, 37]]
    for name, values in own.items():
        np.testing.assert_array_equal(later[name], values)


def test_test_data_cannot_move_what_is_trained_on(tmp_path: Path) -> None:
    data = series(tmp_path)
    fold = data.folds[0]
    module = FilmModule(data, fold, CONFIG, cache=tmp_path / "cache", seed=0)
    module.setup()
    train = data.recordings[0].bold.data[:6].astype(np.float64)
    np.testing.assert_allclose(module.moments["sub-01"].mean, train.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(module.moments["sub-01"].std, train.std(axis=0), rtol=1e-6)
    before = list(module.train_dataloader())
    for recording in data.recordings:
        recording.bold.data[6:] = 1e6
    again = FilmModule(data, fold, CONFIG, cache=tmp_path / "cache", seed=0)
    again.setup()
    for a, b in zip(before, again.train_dataloader(), strict=True):
        assert torch.equal(a.bold, b.bold)
        assert torch.equal(a.frames, b.frames)
    assert again.bold(0)[6:].min() > 1e4, "the test part did change"


def test_the_spec_tells_the_facts(tmp_path: Path) -> None:
    spec = film_spec(series(tmp_path), CONFIG)
    assert spec.voxels_of == {"sub-01": 3, "sub-02": 2, "sub-03": 2}
    assert (spec.tr_s, spec.frame_shape, spec.frames_per_tr) == (1.0, (3, 16, 16), 2)


def test_data_that_no_network_can_use_is_named(tmp_path: Path) -> None:
    data = series(tmp_path)
    first, second, third = data.recordings

    def with_last(recording: Recording) -> Series:
        return Series((first, second, recording), data.folds)

    bare = Recording("sub-03", "run-1", "film", third.bold)
    with pytest.raises(DataError, match="sub-03 run-1 has no film"):
        film_spec(with_last(bare), CONFIG)
    other = Recording("sub-01", "run-2", "film", second.bold, third.film)
    with pytest.raises(DataError, match="sub-01 run-2 has 2 voxels, sub-01 run-1 has 3"):
        film_spec(with_last(other), CONFIG)
    slow = Bold(third.bold.data, TrGrid(Fraction(2), 10))
    with pytest.raises(DataError, match=r"several TRs \(1 s, 2 s\)"):
        film_spec(with_last(Recording("sub-03", "run-1", "film", slow, third.film)), CONFIG)
    fold = Fold("people", "p", train=data.folds[0].train[:2], test=data.folds[0].test)
    module = FilmModule(data, fold, CONFIG, cache=tmp_path, seed=0)
    with pytest.raises(DataError, match="sub-03 has no training data in this fold"):
        module.setup()
