"""Batches in an order that depends on seed and position alone, so that a run can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler


class ResumableBatches(Sampler[list[Any]]):
    """Batches of indices that can be handed out from any position of the training on."""

    position: int
    """Batches handed out before: the next iteration starts there, within its epoch."""


class ShardedBatches(ResumableBatches):
    """Batches of indices for one of `n_ranks` processes, shuffled anew each epoch.

    Epoch e is the permutation of its own generator, seeded by (seed, e): the order never depends
    on what ran before. Rank r takes every n_ranks-th index from r on, so that the ranks together
    make up the batches that one process with batches n_ranks times as large would see. Where the
    indices do not fill all ranks, `~i` stands for a copy of i that must not count.

    Parameters
    ----------
    n_items
        Length of the data set.
    batch
        Items per batch and process.
    seed
        Seed of the shuffling; None keeps the order.
    rank, n_ranks
        Which process this is, of how many.
    """

    def __init__(
        self, n_items: int, batch: int, *, seed: int | None, rank: int = 0, n_ranks: int = 1
    ) -> None:
        self.n_items, self.batch, self.seed = n_items, batch, seed
        self.rank, self.n_ranks = rank, n_ranks
        self.position = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        per_rank = -(-self.n_items // self.n_ranks)
        return -(-per_rank // self.batch)

    def epoch(self, number: int) -> list[list[int]]:
        """Return this rank's batches of one epoch."""
        order = list(range(self.n_items))
        if self.seed is not None:
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, number))
            order = torch.randperm(self.n_items, generator=generator).tolist()
        short = -self.n_items % self.n_ranks
        order += [~order[i % self.n_items] for i in range(short)]
        mine = order[self.rank :: self.n_ranks]
        return [mine[start : start + self.batch] for start in range(0, len(mine), self.batch)]

    def __iter__(self) -> Iterator[list[int]]:
        number, done = divmod(self.position, len(self))
        yield from self.epoch(number)[done:]


class ResumableLoader(DataLoader[Any]):
    """A DataLoader that knows how many batches it has handed out, and can go on from there.

    Its `state_dict` goes into the checkpoint; `load_state_dict` makes the next iteration begin in
    the middle of the epoch.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batches: ResumableBatches,
        *,
        collate: Callable[[Sequence[Any]], Any],
        n_workers: int = 0,
    ) -> None:
        # Its own generator: workers' seeds must not be drawn from the one that dropout uses.
        super().__init__(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=n_workers,
            persistent_workers=False,
            generator=torch.Generator().manual_seed(0),
        )
        self.batches = batches
        self.position = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self.batches.position = self.position
        for batch in super().__iter__():
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the number of batches handed out since the start of training."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after that many batches."""
        self.position = int(state["position"])


def mixed_seed(*parts: int) -> int:
    """Return one 63-bit seed from several numbers, by the SplitMix64 finaliser (Steele 2014)."""
    mixed = 0
    for part in parts:
        mixed = (mixed + part + 0x9E3779B97F4A7C15) % (1 << 64)
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) % (1 << 64)
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % (1 << 64)
        mixed ^= mixed >> 31
    return mixed >> 1
