from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from brainreel.data.loading import Draw
from brainreel.data.samples import Fold, Trials
from brainreel.data.stored_pictures import StoredPictures
from brainreel.data.voxel_module import VoxelModule
from brainreel.data.voxel_rows import ScoredVoxels, VoxelChanges, VoxelRows, collate_rows
from brainreel.errors import DataError

from .volume_data import in_time, people


def test_rows_of_several_blocks_by_a_loop() -> None:
    blocks = [np.arange(6, dtype=np.float32).reshape(3, 2), np.full((2, 3), 9, np.float32)]
    rows = VoxelRows(blocks, 4, "wrap")
    expected = [np.resize(row, 4) for block in blocks for row in block]
    assert len(rows) == 5
    for index, values in enumerate(expected):
        assert rows[index][0].tolist() == values.tolist()
    batch = collate_rows([rows[0], rows[~0]])
    assert batch.counted.tolist() == [True, False]
    assert torch.equal(batch.voxels[0], batch.voxels[1])
    assert len(VoxelRows([], 4, "wrap")) == 0


def test_each_person_is_scored_by_their_training_part_alone() -> None:
    series = in_time(people(3), unseen=1)
    scored = ScoredVoxels(series, series.folds[0])
    assert set(scored.moments) == {"sub-01", "sub-02"}
    for segment in series.folds[0].test:
        record = series.recordings[segment.recording]
        known = record.subject != "sub-03"
        seen = record.bold.data[:18] if known else record.bold.data
        expected = (series.bold_of(segment) - seen.mean(0)) / seen.std(0)
        np.testing.assert_allclose(scored.of(segment), expected, rtol=1e-3, atol=1e-4)


def test_batches_hold_each_training_vector_once() -> None:
    series = in_time(people(2))
    data = VoxelModule(series, series.folds[0], batch=7, seed=0)
    data.setup()
    data.length, data.padding = 40, "constant"
    batches = list(data.train_dataloader())
    found = torch.cat([batch.voxels for batch in batches])
    assert found.shape == (36, 40)
    blocks = data.scored.blocks(series.folds[0].train)
    rows = torch.stack([VoxelRows(blocks, 40, "constant")[i][0] for i in range(36)])
    assert sorted(found.sum(1).tolist()) == pytest.approx(sorted(rows.sum(1).tolist()), abs=1e-4)
    assert not torch.equal(found, rows)  # shuffled
    assert [len(batch.voxels) for batch in data.val_dataloader()] == [7, 7, 4]


def test_trials_are_scored_by_their_training_trials() -> None:
    voxels = np.random.default_rng(0).normal(5, 3, (9, 4)).astype(np.float32)
    fold = Fold("a", "a", train_trials=(0, 2, 4, 6), test_trials=(1, 3), validation_trials=(8,))
    trials = Trials(voxels, None, np.arange(9) % 2, (fold,))
    data = VoxelModule(trials, fold, batch=3, seed=0)
    data.setup()
    assert data.spec.n_voxels == (4,)
    assert data.spec.classes == {}
    seen = voxels[[0, 2, 4, 6]]
    (batch,) = list(data.val_dataloader())
    expected = (voxels[[8]] - seen.mean(0)) / seen.std(0)
    np.testing.assert_allclose(batch.voxels.numpy(), expected, rtol=1e-4)
    with pytest.raises(DataError, match="fold 'b' has nothing to train on"):
        ScoredVoxels(trials, Fold("b", "b", test_trials=(1,)))


def test_trials_of_several_people_are_each_scored_by_their_own_training_trials() -> None:
    rng = np.random.default_rng(1)
    people = np.array([0, 0, 1, 0, 1, 1, 0, 2, 2])
    sizes = (4, 3, 2)
    voxels = np.zeros((9, 4), np.float32)
    for row, person in enumerate(people):
        voxels[row, : sizes[person]] = rng.normal(person, 1 + person, sizes[person])
    fold = Fold(
        "a", "a", train_trials=(0, 1, 2, 4), test_trials=(3, 5), validation_trials=(6, 7, 8)
    )
    names = ("anna", "bert", "cleo")
    trials = Trials(voxels, None, None, (fold,), names, person=people, sizes=sizes)
    assert trials.spec().n_voxels == sizes
    assert trials.of_person(1).tolist() == [2, 4, 5]
    with pytest.raises(DataError, match="and the data has 3: anna, bert, cleo"):
        _ = trials.subject
    data = VoxelModule(trials, fold, batch=9, seed=0)
    data.setup()
    assert set(data.moments) == {"anna", "bert"}
    # Of cleo, who took no part in training, the moments of all her own trials.
    seen = {0: voxels[[0, 1]], 1: voxels[[2, 4]], 2: voxels[[7, 8]]}
    (batch,) = list(data.val_dataloader())
    for found, row in zip(batch.voxels.numpy(), (6, 7, 8), strict=True):
        own = sizes[people[row]]
        rows = seen[people[row]][:, :own]
        z = (voxels[row, :own] - rows.mean(0)) / rows.std(0)
        np.testing.assert_allclose(found, np.resize(z, 4), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("changed", "told"), [
    ({"sizes": (4, 5)}, "people of (4, 5) voxels do not fill vectors of 4"),
    ({"sizes": (4,)}, "2 people ('a', 'b') with 1 numbers of voxels"),
    ({"subjects": ("a", "a")}, "Give each person once"),
    ({"person": np.array([0, 2])}, "trials of people beyond the 2 that are named"),
    ({"person": np.array([0])}, "person has 1 along axis B"),
])  # fmt: skip
def test_people_that_do_not_fit_their_trials_are_refused(changed: dict, told: str) -> None:
    plain = {"subjects": ("a", "b"), "person": np.array([0, 1]), "sizes": (4, 3)}
    with pytest.raises(DataError, match=re.escape(told)):
        Trials(np.zeros((2, 4), np.float32), None, None, (), **plain | changed)


def test_stored_pictures_are_given_out_by_trial() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (3, 3, 2, 2), dtype=np.uint8)
    stored[2] = stored[0]
    pictures = StoredPictures(stored, np.array([2, 0, 1, 1]))
    assert pictures.shape == (4, 3, 2, 2)
    np.testing.assert_allclose(pictures[[0, 3]], stored[[2, 1]] / 255, atol=1e-7)
    np.testing.assert_array_equal(pictures[1], pictures[:][1])
    assert pictures.items().tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError, match="pictures beyond the 3 that are there"):
        StoredPictures(stored, np.array([3]))


def test_changed_rows_are_drawn_anew_each_epoch_and_come_back_alike() -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.random((6, 10), dtype=np.float32) + 1, rng.random((1, 4), dtype=np.float32) + 1]
    rows = VoxelRows(blocks, 12, "wrap", VoxelChanges(0.5, 1.0, seed=3))
    first, again, later = (rows[Draw(2, epoch)] for epoch in (0, 0, 1))
    assert torch.equal(first.voxels, again.voxels)
    assert not torch.equal(first.whole, later.whole)
    # Dropped voxels are dropped in their wrapped copies too, and all others are as in the whole.
    dropped = first.voxels == 0
    assert dropped[:10].sum() == 5
    assert torch.equal(dropped[10:], dropped[:2])
    assert torch.equal(first.voxels[~dropped], first.whole[~dropped])
    # The whole is a mixture of its row and another of the block.
    one = torch.from_numpy(blocks[0])
    ways = [((first.whole[:10] - other) / (one[2] - other)).std() for other in one[[0, 1, 3, 4, 5]]]
    assert min(ways) < 1e-3
    # Alone in its block, a row has nothing to be mixed with; and by number it is not changed.
    assert torch.equal(rows[Draw(~6, 0)].whole[:4], torch.from_numpy(blocks[1][0]))
    assert not rows[Draw(~6, 0)].counted
    assert torch.equal(rows[2].voxels[:10], one[2])


def test_changes_keep_the_order_and_the_validation() -> None:
    series = in_time(people(2))
    changes = VoxelChanges(0.25, 0.5)
    plain, changed = (
        VoxelModule(series, series.folds[0], batch=7, seed=0, changes=given)
        for given in (None, changes)
    )
    for data in (plain, changed):
        data.setup()
    before, after = (list(data.train_dataloader()) for data in (plain, changed))
    assert [len(batch.voxels) for batch in before] == [len(batch.voxels) for batch in after]
    whole, kept = torch.cat([b.voxels for b in before]), torch.cat([b.whole for b in after])
    same = (whole == kept).all(dim=1)
    assert 0.2 < same.float().mean() < 0.8
    assert all(batch.whole is None for batch in before)
    for one, two in zip(plain.val_dataloader(), changed.val_dataloader(), strict=True):
        assert torch.equal(one.voxels, two.voxels)
        assert two.whole is None
