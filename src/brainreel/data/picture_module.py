"""Lightning's view of brains and the pictures that were seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from brainreel.data.loading import MixedBatches, ResumableBatches, ResumableLoader, ShardedBatches
from brainreel.data.picture_rows import Pairs, PictureRows, collate_pictures
from brainreel.data.resumable_module import ResumableModule
from brainreel.data.samples import Fold, Trials
from brainreel.data.stored_pictures import StoredPictures
from brainreel.data.voxel_rows import ScoredVoxels
from brainreel.errors import DataError
from brainreel.fmri.normalize import Moments
from brainreel.layers.voxel_patches import Padding

Float32 = NDArray[np.float32]


class PictureModule(ResumableModule):
    """Voxel vectors of one fold with their pictures, in deviations of the training part.

    Parameters
    ----------
    trials, fold
        What was seen and measured, and which of it trains and validates.
    batch
        Pairs in a batch, per process.
    seed
        Seed of the shuffling.
    more, more_batch
        (N, C, H, W) pictures without a brain, in [0, 1], and how many of them stand in a batch.

    Attributes
    ----------
    spec
        The facts that size a model.
    length, padding
        What vectors are padded to, and how; may be set after the model is built.
    guesses
        (trials, C, H, W) first guesses of all trials' pictures; may be set before the loaders are
        asked for.
    more_guesses
        (N, C, H, W) first guesses of the pictures without a brain; may be set likewise.
    scored
        The data in deviations of the training part; there after `setup`.
    """

    scored: ScoredVoxels

    def __init__(
        self,
        trials: Trials,
        fold: Fold,
        *,
        batch: int,
        seed: int,
        more: Float32 | None = None,
        more_batch: int = 0,
    ) -> None:
        super().__init__()
        if trials.pictures is None:
            raise DataError("the data has no pictures. Give data.picture_keys.")
        self.trials, self.fold, self.batch, self.seed = trials, fold, batch, seed
        self.more, self.more_batch = more, more_batch
        self.spec = trials.spec()
        self.length = max(self.spec.n_voxels)
        self.padding: Padding = "wrap"
        self.guesses: Float32 | None = None
        self.more_guesses: Float32 | None = None
        self.moments: Mapping[str, Moments] = {}

    def setup(self, stage: str | None = None) -> None:
        """Take the moments of the training part, unless they were given."""
        if not hasattr(self, "scored"):
            self.scored = ScoredVoxels(self.trials, self.fold, self.moments)
            self.moments = self.scored.moments

    def rows(self, trials: Sequence[int], more: Float32 | None = None) -> PictureRows:
        """Return some trials in their order, and behind them further pictures."""
        assert self.trials.pictures is not None
        chosen = np.array(trials, dtype=np.int64)
        guesses = None if self.guesses is None else self.guesses[chosen]
        shown = self.trials.pictures
        # Bytes stay bytes until a batch needs them: all pictures as numbers can be gigabytes.
        pictures = shown.take(chosen) if isinstance(shown, StoredPictures) else shown[chosen]
        pairs = Pairs(self.scored.blocks((), trials), pictures, guesses)
        return PictureRows(pairs, more, self.length, self.padding, self.more_guesses)

    def further_digests(self) -> list[str]:
        """Return the digest of the pictures without a brain, or nothing: by it a run knows them."""
        return (
            [] if self.more is None else [sha256(np.ascontiguousarray(self.more).data).hexdigest()]
        )

    def train_dataloader(self) -> ResumableLoader:
        """Return shuffled pairs of the training part, from where a broken run stopped."""
        trials, rank_of = self.fold.train_trials, self._ranks()
        if self.more is None:
            batches: ResumableBatches = ShardedBatches(
                len(trials), self.batch, seed=self.seed, **rank_of
            )
        else:
            n, sizes = len(trials), (self.batch, self.more_batch)
            pools = [range(n), range(n, n + len(self.more))]
            batches = MixedBatches(pools, sizes, seed=self.seed, **rank_of)
        return self.continued(self._loader(self.rows(trials, self.more), batches))

    def val_dataloader(self) -> ResumableLoader:
        """Return the pairs of the validation part in order."""
        trials = self.fold.validation_trials
        batches = ShardedBatches(len(trials), self.batch, seed=None, **self._ranks())
        return self._loader(self.rows(trials), batches)

    def _ranks(self) -> dict[str, int]:
        rank, n_ranks = self.ranks
        return {"rank": rank, "n_ranks": n_ranks}

    def _loader(self, rows: PictureRows, batches: ResumableBatches) -> ResumableLoader:
        return ResumableLoader(rows, batches, collate=collate_pictures)
