"""Voxel vectors of one fold, each z-scored by its person's training part, as rows to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from brainreel.data.loading import Draw, mixed_seed
from brainreel.data.samples import Fold, Recording, Segment, Series, Trials
from brainreel.errors import DataError
from brainreel.fmri.normalize import Moments, zscore_voxelwise
from brainreel.layers.voxel_changes import drop_voxels, mix_vectors
from brainreel.layers.voxel_patches import Padding, padded

Float32 = NDArray[np.float32]


class VoxelBatch(NamedTuple):
    """Voxel vectors in deviations of the training part.

    Attributes
    ----------
    voxels
        (B, V), padded to the longest.
    counted
        (B,) boolean, False for a copy that fills up a rank.
    whole
        (B, V) the vectors before voxels were dropped, or None if none were.
    row
        (B,) numbers of the rows.
    """

    voxels: Tensor
    counted: Tensor
    whole: Tensor | None = None
    row: Tensor | None = None


class VoxelRow(NamedTuple):
    """One row of a `VoxelBatch`."""

    voxels: Tensor
    counted: bool
    whole: Tensor | None = None
    row: int = 0


@dataclass(frozen=True)
class VoxelChanges:
    """Random changes of training vectors, drawn from (seed, epoch, row) alone.

    Attributes
    ----------
    dropout
        Share of the voxels that are set to their mean.
    interpolation
        Share of the vectors that are mixed with another of their block, of one person.
    seed
        Of the draws.
    """

    dropout: float = 0.0
    interpolation: float = 0.0
    seed: int = 0

    @property
    def none(self) -> bool:
        """Whether nothing is changed."""
        return not (self.dropout or self.interpolation)

    def made(self, block: Float32, row: int, draw: Draw) -> tuple[Tensor, Tensor]:
        """Return (V,) row `row` of a block with dropped voxels, and without."""
        item = draw.item if draw.item >= 0 else ~draw.item
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, draw.epoch, item))
        values = torch.from_numpy(block[row])
        mixed = float(torch.rand(1, generator=generator)) < self.interpolation
        if mixed and len(block) > 1:
            step = int(torch.randint(1, len(block), (1,), generator=generator))
            other = torch.from_numpy(block[(row + step) % len(block)])
            values = mix_vectors(values, other, generator)
        return drop_voxels(values, self.dropout, generator), values


class VoxelRows(Dataset[VoxelRow]):
    """Rows of several blocks, one after another; row `~i` is a copy of row i that must not count.

    Parameters
    ----------
    blocks
        (T, V) each, of people with any numbers of voxels.
    length
        What rows are padded to.
    padding
        How.
    changes
        Made of rows that are asked for by `Draw`; None for none.
    """

    def __init__(
        self,
        blocks: Sequence[Float32],
        length: int,
        padding: Padding,
        changes: VoxelChanges | None = None,
    ) -> None:
        self.blocks, self.length, self.padding = list(blocks), length, padding
        self.changes = changes
        self.ends = np.cumsum([len(block) for block in self.blocks])

    def __len__(self) -> int:
        """Rows of all blocks."""
        return int(self.ends[-1]) if self.blocks else 0

    def __getitem__(self, index: int | Draw) -> VoxelRow:
        """Return one vector, and whether it counts."""
        place = index.item if isinstance(index, Draw) else index
        which = place if place >= 0 else ~place
        number = int(np.searchsorted(self.ends, which, side="right"))
        block = self.blocks[number]
        row = which - int(self.ends[number]) + len(block)
        if self.changes is None or not isinstance(index, Draw):
            values = self._padded(torch.from_numpy(block[row]))
            return VoxelRow(values, place >= 0, row=which)
        seen, whole = self.changes.made(block, row, index)
        kept = self._padded(whole) if self.changes.dropout else None
        return VoxelRow(self._padded(seen), place >= 0, kept, which)

    def _padded(self, values: Tensor) -> Tensor:
        return padded(values, self.length, self.padding)


def collate_rows(rows: Sequence[VoxelRow]) -> VoxelBatch:
    """Join rows into a batch."""
    whole = [row.whole for row in rows if row.whole is not None]
    return VoxelBatch(
        torch.stack([row.voxels for row in rows]),
        torch.tensor([row.counted for row in rows]),
        torch.stack(whole) if whole else None,
        torch.tensor([row.row for row in rows]),
    )


class ScoredVoxels:
    """Recordings or trials z-scored voxel by voxel.

    Whoever took part in training has the moments of their training part; of others each recording,
    or all trials of a person, have moments of their own, as nothing else is known of them.

    Parameters
    ----------
    data, fold
        What is there, and which of it is for training.
    moments
        Of the people in training, if they are known; None to take them.
    """

    def __init__(
        self, data: Series | Trials, fold: Fold, moments: Mapping[str, Moments] | None = None
    ) -> None:
        self.data, self.fold = data, fold
        self.moments = dict(moments or _training_moments(data, fold))
        self._scored: dict[int, Float32] = {}

    def blocks(self, segments: Sequence[Segment], trials: Sequence[int] = ()) -> list[Float32]:
        """Return the (T, V) rows of some segments, or those of some trials, cut between people."""
        if isinstance(self.data, Trials):
            return self._trials(self.data, np.array(trials, dtype=np.int64))
        return [self.of(segment) for segment in segments]

    def _trials(self, data: Trials, rows: NDArray[np.int64]) -> list[Float32]:
        people = data.person[rows]
        parts = np.split(rows, np.flatnonzero(np.diff(people)) + 1) if len(rows) else []
        return [
            zscore_voxelwise(data.own_voxels(person, part), self.moments_of_person(person))
            for person, part in ((int(data.person[part[0]]), part) for part in parts)
        ]

    def moments_of_person(self, person: int) -> Moments:
        """Return the moments by which a person's trials are z-scored."""
        assert isinstance(self.data, Trials)
        known = self.moments.get(self.data.subjects[person])
        own = self.data.of_person(person)
        return known or Moments.of([self.data.own_voxels(person, own)])

    def of(self, segment: Segment) -> Float32:
        """Return the (T, V) rows of a segment."""
        number = segment.recording
        if number not in self._scored:
            record = self._record(number)
            self._scored[number] = zscore_voxelwise(record.bold.data, self.moments_of(number))
        return self._scored[number][segment.start_tr : segment.stop_tr]

    def moments_of(self, recording: int) -> Moments:
        """Return the moments by which a recording is z-scored."""
        record = self._record(recording)
        return self.moments.get(record.subject) or Moments.of([record.bold.data])

    def _record(self, number: int) -> Recording:
        assert isinstance(self.data, Series)
        return self.data.recordings[number]


def _training_moments(data: Series | Trials, fold: Fold) -> dict[str, Moments]:
    """Rounded to the float32 that they are kept in, so that a fit read back divides alike."""
    parts: dict[str, list[NDArray[np.floating]]] = {}
    if isinstance(data, Trials):
        rows = np.array(fold.train_trials, dtype=np.int64)
        for person in np.unique(data.person[rows]):
            own = rows[data.person[rows] == person]
            parts[data.subjects[person]] = [data.own_voxels(person, own)]
    else:
        for segment in fold.train:
            who = data.recordings[segment.recording].subject
            parts.setdefault(who, []).append(data.bold_of(segment))
    if not parts:
        raise DataError(f"fold '{fold.name}' has nothing to train on. Choose another split.")
    found = {}
    for who, arrays in parts.items():
        seen = Moments.of(arrays)
        mean, std = (v.astype(np.float32).astype(np.float64) for v in (seen.mean, seen.std))
        found[who] = Moments(seen.n, mean, std)
    return found
