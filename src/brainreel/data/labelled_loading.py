"""Batches of labelled items: sources mixed in fixed shares, unreadable files counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from brainreel.data.labelled_batch import LabelledBatch
from brainreel.data.labelled_dataset import ClipDataset, Draw, collate_rows
from brainreel.data.labelled_samples import Labelled
from brainreel.data.loading import ResumableBatches, ResumableLoader, ShardedBatches
from brainreel.errors import DataError


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


class Unreadable:
    """Counts the items that could not be read, and refuses too many.

    Parameters
    ----------
    labelled
        The data; its `max_unreadable` is the largest share of a part.
    """

    def __init__(self, labelled: Labelled) -> None:
        self.labelled = labelled
        self.why: dict[int, str] = {}
        """Item -> why it could not be read."""

    def add(self, faults: Mapping[int, str], part: Sequence[int], what: str) -> None:
        """Take note of some items of a part.

        Raises
        ------
        DataError
            If more of the part's items than `max_unreadable` allows could not be read.
        """
        self.why.update(faults)
        if not faults:
            return
        named = self._named(part)
        limit = self.labelled.max_unreadable
        if len(named) > limit * len(part):
            raise DataError(
                f"{self._told(named, part, what)} That is more than max_unreadable={limit:g}. "
                "Mend or remove them, or allow more."
            )

    def note(self, part: Sequence[int], what: str) -> str:
        """Return a sentence on the items of a part that could not be read, or nothing."""
        named = self._named(part)
        return self._told(named, part, what) if named else ""

    def _named(self, part: Sequence[int]) -> list[str]:
        inside = set(part)
        items = self.labelled.items
        return [f"{items[i].name} ({self.why[i]})" for i in sorted(self.why) if i in inside]

    def _told(self, named: Sequence[str], part: Sequence[int], what: str) -> str:
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        return (
            f"{len(named)} of {len(part)} {what} could not be read: {', '.join(named[:3])}{more}."
        )


class LabelledLoader(ResumableLoader):
    """A resumable loader of labelled batches that counts what could not be read.

    Parameters
    ----------
    dataset, batches
        What is loaded, in which order.
    unreadable
        The count.
    part
        The items that the loader goes through.
    what
        What they are called, such as "training items".
    n_workers
        Processes that load.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batches: MixedBatches,
        unreadable: Unreadable,
        part: Sequence[int],
        what: str,
        *,
        n_workers: int = 0,
    ) -> None:
        super().__init__(dataset, batches, collate=collate_rows, n_workers=n_workers)
        self.unreadable, self.part, self.what = unreadable, tuple(part), what

    def __iter__(self) -> Iterator[LabelledBatch]:  # type: ignore[override]
        for batch, faults in super().__iter__():
            self.unreadable.add(faults, self.part, self.what)
            yield batch
