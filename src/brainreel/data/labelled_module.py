"""Lightning's view of labelled films, pictures and sounds: batches of one fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brainreel.data.clips import ClipsConfig
from brainreel.data.labelled_dataset import ClipDataset
from brainreel.data.labelled_loading import LabelledLoader, Unreadable
from brainreel.data.labelled_samples import Labelled
from brainreel.data.loading import MixedBatches
from brainreel.data.resumable_module import ResumableModule
from brainreel.data.samples import Fold
from brainreel.errors import DataError
from brainreel.shapes import DataSpec


class LabelledModule(ResumableModule):
    """Clips of the labelled items of one fold.

    Parameters
    ----------
    labelled
        Items with classes.
    fold
        Which items train, validate and test.
    clips
        How clips are cut.
    seed
        Seed of the shuffling and of the random changes: with the epoch and the item's number it
        decides a training clip, whatever ran before.

    Attributes
    ----------
    spec
        The facts that size a model.
    unreadable
        The items that could not be read up to now.
    """

    def __init__(self, labelled: Labelled, fold: Fold, clips: ClipsConfig, *, seed: int) -> None:
        super().__init__()
        check_media(labelled, clips)
        self.labelled, self.fold, self.clips, self.seed = labelled, fold, clips, seed
        self.spec = labelled_spec(labelled, clips)
        self.unreadable = Unreadable(labelled)

    def train_dataloader(self) -> LabelledLoader:
        """Return shuffled random clips of the training items, from where a broken run stopped."""
        part = self.fold.train_trials
        pools: dict[int, list[int]] = {}
        for number in part:
            pools.setdefault(self.labelled.items[number].source, []).append(number)
        sources = sorted(pools)
        shares = [self.labelled.shares[source] for source in sources]
        sizes = [max(1, round(self.clips.batch * share / shares[0])) for share in shares]
        dataset = ClipDataset(self.labelled, self.clips, seed=self.seed, training=pools)
        batches = self._batches([pools[s] for s in sources], sizes, seed=self.seed)
        loader = self._loader(dataset, batches, part, "training items")
        return self.continued(loader)

    def val_dataloader(self) -> LabelledLoader:
        """Return the validation items in order, one view each."""
        one = self.clips.model_copy(update={"temporal_views": 1, "crops": 1})
        return self._in_order(self.fold.validation_trials, one, "validation items")

    def views_loader(self, items: Sequence[int], what: str = "test items") -> LabelledLoader:
        """Return all views of some items, in order; rows of one item follow each other.

        An item that cannot be read gives one row that does not count, and stands in `unreadable`.
        """
        return self._in_order(items, self.clips, what)

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the scores must know: which items could not be read."""
        fold = self.fold
        parts = {
            "training items": (fold.train_trials, "others were taken in their place"),
            "validation items": (fold.validation_trials, "they do not count"),
            "test items": (fold.test_trials, "they are not scored"),
        }
        told = {what: self.unreadable.note(part, what) for what, (part, _) in parts.items()}
        return tuple(
            f"{fold.name}: {note[:-1]}; {parts[what][1]}." for what, note in told.items() if note
        )

    def state_dict(self) -> dict[str, Any]:
        """Return how many training batches were handed out and what was unreadable."""
        return {**super().state_dict(), "unreadable": dict(self.unreadable.why)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on after that many batches; Lightning calls it before it asks for the loader."""
        super().load_state_dict(state_dict)
        self.unreadable.why.update(state_dict["unreadable"])

    def _in_order(self, items: Sequence[int], clips: ClipsConfig, what: str) -> LabelledLoader:
        dataset = ClipDataset(self.labelled, clips, seed=None)
        n_views = clips.temporal_views * clips.crops
        batches = self._batches([items], [max(1, clips.batch // n_views)], seed=None)
        return self._loader(dataset, batches, items, what)

    def _batches(
        self, pools: Sequence[Sequence[int]], sizes: Sequence[int], *, seed: int | None
    ) -> MixedBatches:
        rank, n_ranks = self.ranks
        return MixedBatches(pools, sizes, seed=seed, rank=rank, n_ranks=n_ranks)

    def _loader(
        self, dataset: ClipDataset, batches: MixedBatches, part: Sequence[int], what: str
    ) -> LabelledLoader:
        return LabelledLoader(
            dataset, batches, self.unreadable, part, what, n_workers=self.clips.n_workers
        )


def labelled_spec(labelled: Labelled, clips: ClipsConfig) -> DataSpec:
    """Return the facts of the data; a set of pictures alone has clips of one frame."""
    only_pictures = all(item.kind == "picture" for item in labelled.items)
    frames = min(clips.clip_frames, 1) if only_pictures else clips.clip_frames
    return labelled.spec(clips.frame_shape, frames, clips.sound_shape)


def check_media(labelled: Labelled, clips: ClipsConfig) -> None:
    """Refuse items that cannot give what the clips should hold.

    Raises
    ------
    DataError
        Naming one such item.
    """
    silent = {"frames": ("sound", "pictures"), "sound": ("picture", "sound"), "both": ("", "")}
    kind, missing = silent[clips.media]
    for item in labelled.items:
        if item.kind == kind:
            raise DataError(
                f"{item.path}: a {kind} has no {missing}, and media is '{clips.media}'. Leave it "
                "out of the data, or choose other media."
            )
    if clips.hears and all(item.kind == "picture" for item in labelled.items):
        raise DataError("the data is pictures alone, which have no sound. Choose media=frames.")
