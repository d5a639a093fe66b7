"""Batches in an order that depends on seed and position alone, so that a run can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

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


class Draw(NamedTuple):
    """Which item to load, in which epoch; `~item` is a copy that must not count."""

    item: int
    epoch: int


class MixedBatches(ResumableBatches):
    """Batches that take some items of each source; an epoch is one pass through the first.

    The other sources go round at their own pace: batch p of the training takes batch p of each
    source's own endless sequence of epochs, so that the position alone says what comes.

    Parameters
    ----------
    pools
        Items of each source, not empty; the first source's set the length of an epoch.
    sizes
        Items of each source in a batch.
    seed
        Seed of the shuffling; None keeps the order.
    rank, n_ranks
        Which process this is, of how many.
    """

    def __init__(
        self,
        pools: Sequence[Sequence[int]],
        sizes: Sequence[int],
        *,
        seed: int | None,
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        self.pools = [tuple(pool) for pool in pools]
        self.batches = [
            ShardedBatches(
                len(pool),
                size,
                # Sources of one length must not be shuffled alike; the first is as if alone.
                seed=None if seed is None else seed + number,
                rank=rank,
                n_ranks=n_ranks,
            )
            for number, (pool, size) in enumerate(zip(pools, sizes, strict=True))
        ]
        self.position = 0
        self._epochs: dict[int, tuple[int, list[list[int]]]] = {}

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.batches[0])

    def at(self, position: int) -> list[Draw]:
        """Return batch number `position` of the whole training."""
        draws: list[Draw] = []
        for source, (pool, batches) in enumerate(zip(self.pools, self.batches, strict=True)):
            number, place = divmod(position, len(batches))
            known = self._epochs.get(source)
            if known is None or known[0] != number:
                known = self._epochs[source] = (number, batches.epoch(number))
            for index in known[1][place]:
                item = pool[index] if index >= 0 else ~pool[~index]
                draws.append(Draw(item, number))
        return draws

    def __iter__(self) -> Iterator[list[Draw]]:
        first = self.position
        if not len(self):
            return
        for position in range(first, (first // len(self) + 1) * len(self)):
            yield self.at(position)


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
        collate: Callable[[Any], Any],
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
