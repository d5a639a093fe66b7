"""Batches of labelled items, with unreadable files counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from brainreel.data.labelled_batch import LabelledBatch
from brainreel.data.labelled_dataset import ClipDataset, collate_rows
from brainreel.data.labelled_samples import Labelled
from brainreel.data.loading import MixedBatches, ResumableLoader
from brainreel.errors import DataError


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
