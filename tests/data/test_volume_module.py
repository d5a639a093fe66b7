from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from brainreel.data.module import FilmModule
from brainreel.data.samples import Segment, Series
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeBatch, VolumeWindowsConfig
from brainreel.errors import DataError
from brainreel.fmri.bold import Bold, VoxelMask
from brainreel.timebase import TrGrid

from .volume_data import GRID, in_time, people, write_film

CONFIG = VolumeWindowsConfig(window_trs=4, batch_windows=3)
FILM = CONFIG.model_copy(update={"frames_per_tr": 2, "height": 8, "width": 8})


def module(series: Series, config: VolumeWindowsConfig = CONFIG, **options) -> VolumeModule:
    made = VolumeModule(series, series.folds[0], config, seed=5, **options)
    made.setup()
    return made


def equal(one: VolumeBatch, other: VolumeBatch) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)]
    return all(torch.equal(a, b) for a, b in pairs if isinstance(a, torch.Tensor))


def test_the_spec_tells_the_grid_of_everybodys_mask_or_the_whole() -> None:
    series = in_time(people(3))
    spec = module(series).spec
    assert spec.grid == (3, 4, 3)
    assert spec.subjects == ("sub-01", "sub-02", "sub-03")
    assert (spec.n_voxels, spec.tr_s, spec.frame_shape) == ((33, 33, 33), 1.0, ())
    whole = CONFIG.model_copy(update={"crop": None})
    assert module(series, whole).spec.grid == GRID
    given = module(series, box=(slice(0, 5), slice(1, 6), slice(0, 4)))
    assert given.spec.grid == (5, 5, 4)
    assert next(iter(given.val_dataloader())).views.shape[3:] == (5, 5, 4)
    small = module(series, box=(slice(0, 3), slice(1, 6), slice(0, 4)))
    with pytest.raises(DataError, match="sub-01 task-film: 12 voxels lie outside the box"):
        next(iter(small.val_dataloader()))


def test_prediction_comes_in_order_and_complete_whatever_the_batch() -> None:
    series = in_time(people(3))
    for batch in (1, 2, 4, 50):
        data = module(series, CONFIG.model_copy(update={"batch_windows": batch, "window_trs": 3}))
        found = [
            (int(b.recording[row]), int(b.start_tr[row]) + t)
            for b in data.loader(series.folds[0].test, training=False)
            for row, t in b.counted.nonzero().tolist()
        ]
        assert sorted(found) == [(r, tr) for r in range(3) for tr in range(22, 30)]
        windows = data.windows(series.folds[0].test, training=False)
        assert len(found) == 24
        assert [w.recordings[0] for w in windows] == [0, 1, 2] * 3


def test_moments_come_from_training_alone() -> None:
    series = in_time(people(2))
    before = module(series)
    expected = list(before.train_dataloader())
    for recording in series.recordings:
        recording.bold.data[18:] += 50
    after = list(module(series).train_dataloader())
    assert all(equal(a, b) for a, b in zip(expected, after, strict=True))
    seen = series.recordings[0].bold.data[:18]
    np.testing.assert_allclose(before.moments["sub-01"].mean, seen.mean(axis=0), rtol=1e-5)
    kept = module(series)
    kept.moments = before.moments
    assert kept.moments["sub-01"].n == 18


def test_somebody_who_was_not_in_training_has_the_moments_of_their_own_run_and_it_is_said() -> None:
    series = in_time(people(3), unseen=1)
    data = module(series)
    assert sorted(data.moments) == ["sub-01", "sub-02"]
    assert data.notes() == (
        "time: nobody trained on sub-03; their volumes are normalised by the moments of their own "
        "runs.",
    )
    views = data.volumes.views(2)
    own = series.recordings[2].bold.data
    np.testing.assert_allclose(views.moments.mean, own.mean(axis=0), rtol=1e-5)
    assert module(in_time(people(2))).notes() == ()


def test_a_broken_training_goes_on_where_it_stopped() -> None:
    series = in_time(people(3))
    options = {"with_reference": True}
    config = CONFIG.model_copy(update={"stride_trs": 2})
    whole = module(series, config, **options).train_dataloader()
    seen = [batch for _ in range(3) for batch in whole]
    broken = module(series, config, **options)
    loader = broken.train_dataloader()
    n_seen = len(loader) + 2
    batches = (batch for _ in range(2) for batch in loader)
    for _ in range(n_seen):
        next(batches)
    resumed = module(series, config, **options)
    resumed.load_state_dict(broken.state_dict())
    again = resumed.train_dataloader()
    rest = [batch for _ in range(2) for batch in again]
    assert len(rest) == len(seen) - n_seen
    assert all(equal(a, b) for a, b in zip(rest, seen[n_seen:], strict=True))


class TwoRanks:
    """What a data module asks a trainer."""

    world_size = 2

    def __init__(self, rank: int) -> None:
        self.global_rank = rank


def test_ranks_share_the_windows_and_none_counts_twice() -> None:
    series = in_time(people(3))
    found = []
    lengths = set()
    for rank in range(2):
        data = module(series)
        data.trainer = TwoRanks(rank)
        batches = list(data.loader(series.folds[0].test[:1], training=False))
        lengths.add(len(batches))
        found += [
            int(b.start_tr[row]) + t for b in batches for row, t in b.counted.nonzero().tolist()
        ]
    assert sorted(found) == list(range(22, 30))
    assert len(lengths) == 1


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4")


def test_the_film_is_that_of_an_encoding_models_windows(film: Path, tmp_path: Path) -> None:
    series = in_time(people(2, film=film))
    fold = dataclasses.replace(series.folds[0], train=(Segment(0, 4, 16), Segment(1, 4, 16)))
    series = dataclasses.replace(series, folds=(fold,))
    options = {"cache": tmp_path, "context_trs": 3}
    theirs = FilmModule(series, fold, FILM, seed=5, **options)
    theirs.setup()
    expected = theirs.dataset(fold.train, own_context=True)
    ours = module(series, FILM, with_film=True, **options)
    assert ours.spec.frame_shape == (3, 8, 8)
    windows = ours.windows(fold.train, training=True)
    assert [w.start_tr for w in windows] == [7, 7, 11, 11]
    dataset = ours.dataset(fold.train, training=True)
    dataset.offsets = [0]
    for number, other in ((0, 0), (2, 1)):
        batch, known = dataset[number], expected[other]
        assert batch.film.frames.shape == (1, 7, 2, 3, 8, 8)
        assert torch.equal(batch.film.frames, known.frames)
        assert torch.equal(batch.film.frame_numbers, known.frame_numbers)
        assert torch.equal(batch.film.shown, known.shown)
    first = ours.dataset((Segment(0, 0, 16),), training=False)[0]
    assert first.film.shown.tolist() == [[False] * 3 + [True] * 4]


def test_rows_that_saw_the_same_film_share_its_window(film: Path, tmp_path: Path) -> None:
    series = in_time(people(3, film=film))
    grouped = FILM.model_copy(update={"people_per_window": 2, "batch_windows": 3})
    data = module(series, grouped, with_film=True, cache=tmp_path, context_trs=1)
    batch = next(iter(data.loader(series.folds[0].test, training=False)))
    assert batch.recording.tolist() == [0, 1, 2, 0, 1]
    assert batch.row.tolist() == [0, 0, 0, 1, 1]
    assert batch.film.shape == (2, 5)
    moved = batch.to("meta")
    assert moved.film.frames.device.type == "meta"
    assert batch.film.frame_numbers[1, 0, 0] == batch.film.frame_numbers[0, -1, 0]


def test_what_has_no_volumes_or_another_grid_is_refused() -> None:
    recordings = people(2)
    flat = Bold(recordings[1].bold.data, recordings[1].bold.grid)
    recordings[1] = dataclasses.replace(recordings[1], bold=flat)
    with pytest.raises(DataError, match="sub-02 task-film has columns without places in the"):
        module(in_time(recordings))
    own = people(2)
    mask = own[1].bold.mask
    other = VoxelMask(mask.inside[:, :, :3], mask.affine)
    own[1] = dataclasses.replace(own[1], bold=Bold(own[1].bold.data, own[1].bold.grid, other))
    with pytest.raises(DataError, match=r"sub-02 .* another grid than sub-01 .*\(5, 6, 3\) agai"):
        module(in_time(own))
    moved = VoxelMask(mask.inside, mask.affine + np.eye(4)[3] * 2)
    own[1] = dataclasses.replace(own[1], bold=Bold(own[1].bold.data, own[1].bold.grid, moved))
    with pytest.raises(DataError, match=r"another grid than .* \(2.0 mm\); .* grid.like=IMAGE"):
        module(in_time(own))
    with pytest.raises(DataError, match="sub-01 task-film has no film"):
        module(in_time(people(2)), with_film=True)


def test_runs_of_one_person_and_of_all_need_one_tr() -> None:
    recordings = people(2)
    bold = recordings[1].bold
    slower = Bold(bold.data, TrGrid(Fraction(2), 30), bold.mask)
    recordings[1] = dataclasses.replace(recordings[1], bold=slower)
    with pytest.raises(DataError, match=r"several TRs \(1 s, 2 s\)"):
        module(in_time(recordings))


def test_a_run_without_any_change_is_named() -> None:
    recordings = people(2)
    recordings[0].bold.data[:] = 3
    with pytest.raises(DataError, match="sub-01 task-film: all voxels hold one and the same"):
        next(iter(module(in_time(recordings)).train_dataloader()))
