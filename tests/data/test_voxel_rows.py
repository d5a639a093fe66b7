from __future__ import annotations

import numpy as np
import pytest
import torch

from brainreel.data.samples import Fold, Trials
from brainreel.data.voxel_module import VoxelModule
from brainreel.data.voxel_rows import ScoredVoxels, VoxelRows, collate_rows
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
