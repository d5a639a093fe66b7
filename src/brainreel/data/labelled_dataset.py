"""Labelled items as rows of clips, joined into batches; what cannot be read is told, not raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from brainreel.data.augment import centre_crops
from brainreel.data.clip_cache import CachedMedia
from brainreel.data.clip_reading import Decoder, MediaReader, RawClip, read_clips
from brainreel.data.clip_times import drawn_place, view_places
from brainreel.data.clips import ClipsConfig
from brainreel.data.labelled_batch import LabelledBatch, LabelledPart
from brainreel.data.labelled_check import reason
from brainreel.data.labelled_samples import Item, Labelled
from brainreel.data.loading import Draw, mixed_seed
from brainreel.errors import BrainreelError, DataError
from brainreel.layers.clip import Clip

# So many other items are tried in the place of one that cannot be read.
_ATTEMPTS = 10


@dataclass(frozen=True, eq=False)
class Row:
    """One clip of a batch.

    Attributes
    ----------
    frames
        (F, C, H, W) uint8, or None where the batch's part has no frames.
    numbers
        (F,) numbers of the frames in their film.
    sound
        (1, S, M) log-mel, or None where the part has no sound.
    seen, heard
        Whether frames and sound are the item's own; else they are zeros.
    targets
        Label to (K,) float.
    counted
        Whether the row counts.
    item
        Number of the item.
    """

    frames: Tensor | None
    numbers: Tensor | None
    sound: Tensor | None
    seen: bool
    heard: bool
    targets: Mapping[str, Tensor]
    counted: bool
    item: int


@dataclass(frozen=True, eq=False)
class Loaded:
    """The rows of one draw, and what could not be read: item -> why."""

    rows: list[Row]
    faults: Mapping[int, str]


class ClipDataset(Dataset[Loaded]):
    """Items as clips; indexed by `Draw`.

    Parameters
    ----------
    labelled
        The data.
    clips
        How clips are cut.
    seed
        Seed of the random changes of training; None to test: the views of each item instead.
    training
        The items of the training part, by their source: an item that cannot be read is replaced
        by another of its source. In a test its rows are zeros that do not count.
    """

    def __init__(
        self,
        labelled: Labelled,
        clips: ClipsConfig,
        *,
        seed: int | None,
        training: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        self.labelled, self.clips, self.seed = labelled, clips, seed
        self.training = training or {}
        self.reader: MediaReader = Decoder() if clips.cache is None else CachedMedia(clips.cache)

    def __len__(self) -> int:
        return len(self.labelled.items)

    def __getitem__(self, draw: Draw) -> Loaded:
        """Return the rows of one item: one in training, its views in a test."""
        counted = draw.item >= 0
        number = draw.item if counted else ~draw.item
        if self.seed is None:
            return self._views(number, counted)
        faults: dict[int, str] = {}
        for attempt in range(_ATTEMPTS):
            own = number if attempt == 0 else self._substitute(number, draw.epoch, attempt)
            rng = np.random.default_rng(mixed_seed(self.seed, draw.epoch, number, attempt))
            try:
                return Loaded([self._drawn(own, counted, rng)], faults)
            except BrainreelError as problem:
                faults[own] = reason(problem, self.labelled.items[own])
        told = ", ".join(f"{self.labelled.items[i].name} ({why})" for i, why in faults.items())
        raise DataError(f"no item could be read in {_ATTEMPTS} attempts: {told}.")

    def _substitute(self, number: int, epoch: int, attempt: int) -> int:
        """Return another training item of the same source, the same in every run."""
        pool = self.training[self.labelled.items[number].source]
        return pool[mixed_seed(epoch, number, attempt) % len(pool)]

    def _drawn(self, number: int, counted: bool, rng: np.random.Generator) -> Row:
        clips, item = self.clips, self.labelled.items[number]
        (raw,) = read_clips(item, clips, [drawn_place(clips, rng)], self.reader)
        frames = raw.frames
        if frames is not None:
            frames = clips.augment.frames(frames, (clips.height, clips.width), rng)
        sound = None if raw.sound is None else clips.augment.sound(raw.sound, rng)
        return self._row(number, RawClip(frames, raw.numbers, sound), counted)

    def _views(self, number: int, counted: bool) -> Loaded:
        """Return the views of an item, crops of one window beside each other."""
        clips, item = self.clips, self.labelled.items[number]
        places = view_places(clips)[: 1 if item.kind == "picture" else None]
        try:
            raws = read_clips(item, clips, places, self.reader)
        except BrainreelError as problem:
            nothing = self._row(number, RawClip(None, (), None), False)
            return Loaded([nothing], {number: reason(problem, item)})
        rows = []
        for raw in raws:
            crops: list[Tensor | None] = [None]
            if raw.frames is not None:
                crops = [*centre_crops(raw.frames, (clips.height, clips.width), clips.crops)]
            rows += [
                self._row(number, RawClip(crop, raw.numbers, raw.sound), counted) for crop in crops
            ]
        return Loaded(rows, {})

    def _row(self, number: int, raw: RawClip, counted: bool) -> Row:
        """Return a row of the shape that all items of its kind have; zeros where it has nothing."""
        item, clips = self.labelled.items[number], self.clips
        picture = item.kind == "picture"
        frames = numbers = sound = None
        if clips.sees:
            n = 1 if picture else clips.n_frames
            empty = torch.zeros(n, *clips.frame_shape, dtype=torch.uint8)
            frames = empty if raw.frames is None else raw.frames
            numbers = torch.tensor(raw.numbers or [0] * n)
        if clips.hears and not picture:
            sound = torch.zeros(clips.sound_shape)
            if raw.sound is not None:
                sound = torch.from_numpy(raw.sound)[None]
        targets = targets_of(item, self.labelled)
        seen, heard = raw.frames is not None, raw.sound is not None
        return Row(frames, numbers, sound, seen, heard, targets, counted, number)


def targets_of(item: Item, labelled: Labelled) -> dict[str, Tensor]:
    """Return label -> (K,) float, 1 at the item's classes."""
    targets = {}
    for label, names in labelled.classes.items():
        if label in item.labels:
            targets[label] = torch.zeros(len(names))
            targets[label][list(item.labels[label])] = 1
    return targets


def collate_rows(loaded: Sequence[Loaded]) -> tuple[LabelledBatch, dict[int, str]]:
    """Join rows into parts of one shape and one set of labels, in the order of their first rows.

    Returns
    -------
    tuple
        The batch, and what could not be read: item -> why.
    """
    parts: dict[tuple[object, ...], list[Row]] = {}
    faults: dict[int, str] = {}
    for one in loaded:
        faults.update(one.faults)
        for row in one.rows:
            frames = None if row.frames is None else len(row.frames)
            key = (frames, row.sound is None, tuple(row.targets))
            parts.setdefault(key, []).append(row)
    return LabelledBatch(tuple(_part(rows) for rows in parts.values())), faults


def _part(rows: Sequence[Row]) -> LabelledPart:
    seen = torch.tensor([row.seen for row in rows])
    heard = torch.tensor([row.heard for row in rows])
    frames, numbers, sound = (
        None if any(value is None for value in values) else torch.stack(values)
        for values in zip(*((row.frames, row.numbers, row.sound) for row in rows), strict=True)
    )
    return LabelledPart(
        Clip(
            frames,
            sound,
            numbers,
            seen=None if frames is None or seen.all() else seen,
            heard=None if sound is None or heard.all() else heard,
        ),
        {label: torch.stack([row.targets[label] for row in rows]) for label in rows[0].targets},
        torch.tensor([row.counted for row in rows]),
        torch.tensor([row.item for row in rows]),
    )
