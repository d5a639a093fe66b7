"""Lightning's view of voxel vectors: the rows of one fold, without regard to time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from brainreel.data.loading import MixedBatches, ResumableBatches, ResumableLoader, ShardedBatches
from brainreel.data.module import bold_facts
from brainreel.data.resumable_module import ResumableModule
from brainreel.data.samples import Fold, Segment, Series, Trials
from brainreel.data.voxel_rows import ScoredVoxels, VoxelChanges, VoxelRows, collate_rows
from brainreel.fmri.normalize import Moments
from brainreel.layers.voxel_patches import Padding, padded
from brainreel.shapes import DataSpec


class VoxelModule(ResumableModule):
    """Voxel vectors of one fold: the TRs of recordings, or trials.

    Parameters
    ----------
    data
        Recordings or trials of any number of people.
    fold
        Which of it trains, validates and tests.
    batch
        Vectors in a batch, per process.
    seed
        Seed of the shuffling.
    transductive
        Learn from the brains of the test part instead of those of the training part, which then
        gives the moments alone.
    changes
        Random changes of the vectors to learn from; None for none.

    Attributes
    ----------
    spec
        The facts that size a model.
    length, padding
        What vectors are padded to, and how; may be set after the model is built.
    scored
        The data in deviations of the training part; there after `setup`.
    """

    scored: ScoredVoxels

    def __init__(
        self,
        data: Series | Trials,
        fold: Fold,
        *,
        batch: int,
        seed: int,
        transductive: bool = False,
        changes: VoxelChanges | None = None,
    ) -> None:
        super().__init__()
        self.data, self.fold, self.batch, self.seed = data, fold, batch, seed
        self.transductive = transductive
        self.changes = None if changes is None or changes.none else changes
        self.spec = voxel_spec(data)
        self.length = max(self.spec.n_voxels)
        self.padding: Padding = "wrap"
        self.moments: Mapping[str, Moments] = {}

    def setup(self, stage: str | None = None) -> None:
        """Take the moments of the training part, unless they were given."""
        if not hasattr(self, "scored"):
            self.scored = ScoredVoxels(self.data, self.fold, self.moments)
            self.moments = self.scored.moments

    def learned(self) -> Tensor:
        """Return all (B, length) vectors to learn from, unchanged and in order."""
        blocks = self.scored.blocks(*self._learned())
        return torch.cat([padded(torch.from_numpy(b), self.length, self.padding) for b in blocks])

    def train_dataloader(self) -> ResumableLoader:
        """Return shuffled vectors of the part to learn from, from where a broken run stopped."""
        return self.continued(self._loader(*self._learned(), shuffle=True))

    def val_dataloader(self) -> ResumableLoader:
        """Return the vectors of the validation part in order."""
        return self._loader(self.fold.validation, self.fold.validation_trials, shuffle=False)

    def _learned(self) -> tuple[Sequence[Segment], Sequence[int]]:
        if self.transductive:
            return self.fold.test, self.fold.test_trials
        return self.fold.train, self.fold.train_trials

    def _loader(
        self, segments: Sequence[Segment], trials: Sequence[int], *, shuffle: bool
    ) -> ResumableLoader:
        changes = self.changes if shuffle else None
        rows = VoxelRows(self.scored.blocks(segments, trials), self.length, self.padding, changes)
        rank, n_ranks = self.ranks
        seed = self.seed if shuffle else None
        batches: ResumableBatches
        if changes is None:
            batches = ShardedBatches(len(rows), self.batch, seed=seed, rank=rank, n_ranks=n_ranks)
        else:
            # The same order, but told which epoch it is, so that each changes a row anew.
            pools, sizes = [range(len(rows))], [self.batch]
            batches = MixedBatches(pools, sizes, seed=seed, rank=rank, n_ranks=n_ranks)
        return ResumableLoader(rows, batches, collate=collate_rows)


def voxel_spec(data: Series | Trials) -> DataSpec:
    """Return whose voxels there are, and how many."""
    if isinstance(data, Series):
        return bold_facts(data)
    return replace(data.spec(), picture_shape=(), classes={})
