"""Trials of each person brought together: repeats averaged, vectors of all lengths in one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import StoredPictures, number_equal
from brainreel.errors import DataError
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PersonTrials:
    """One person's trials, first those that are to train.

    Attributes
    ----------
    subject
        Who.
    voxels
        (B, V).
    n_train
        Trials that are to train, by the order in the files.
    seen
        (B,) place of each trial's picture among all pictures, or None.
    item
        (B,) numbers, equal for repeats; None: `seen`.
    labels
        (B,) class labels, or None.
    run
        (B,) names of runs, or None; of averages it is not known.
    """

    subject: str
    voxels: Float32
    n_train: int
    seen: Int64 | None = None
    item: Int64 | None = None
    labels: NDArray[np.generic] | None = None
    run: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        n = check_shape(self.voxels, "B V", name=f"{self.subject}: voxels")["B"]
        for name in ("seen", "item", "labels", "run"):
            values = getattr(self, name)
            if values is not None:
                check_shape(values, "B", name=f"{self.subject}: {name}", B=n)
        if n < 2:
            raise DataError(
                f"{self.subject}: {n} trials cannot be split into training and test. Give more."
            )

    @property
    def items(self) -> Int64 | None:
        """(B,) numbers, equal for repeats of one picture, or None."""
        return self.seen if self.item is None else self.item

    def averaged(self, *, train: bool = True) -> PersonTrials:
        """Return the mean of all trials of a picture, in training and in test by themselves.

        Parameters
        ----------
        train
            Whether training trials are averaged too, or kept each.

        Raises
        ------
        DataError
            If it is not known which trials saw one picture, or their labels differ.
        """
        items = self.items
        if items is None:
            raise DataError(
                f"{self.subject}: repeats cannot be averaged, as nothing says which trials saw one "
                "picture. Give pictures or their numbers."
            )
        sides = np.arange(len(items)) >= self.n_train
        groups = [(bool(test), int(item)) for test, item in zip(sides, items, strict=True)]
        if not train:
            groups[: self.n_train] = [(False, -1 - row) for row in range(self.n_train)]
        number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        to = np.array([number[group] for group in groups])
        first = np.unique(to, return_index=True)[1]
        if self.labels is not None and (self.labels != self.labels[first][to]).any():
            row = int(np.flatnonzero(self.labels != self.labels[first][to])[0])
            raise DataError(
                f"{self.subject}: trials {int(first[to[row]])} and {row} saw one picture and have "
                f"the labels {self.labels[first[to[row]]]} and {self.labels[row]}. Mend the labels."
            )
        total = np.zeros((len(first), self.voxels.shape[1]))
        np.add.at(total, to, self.voxels)
        return PersonTrials(
            self.subject,
            (total / np.bincount(to)[:, None]).astype(np.float32),
            int(np.count_nonzero(first < self.n_train)),
            *(_taken(values, first) for values in (self.seen, self.item, self.labels)),
        )


def join_people(
    people: Sequence[PersonTrials],
    pictures: Float32 | UInt8 | None,
    sources: Mapping[str, str],
    notes: Sequence[str] = (),
) -> Trials:
    """Return the trials of all people, one person after another, without folds.

    Parameters
    ----------
    people
        Each with trials that all have pictures and labels, or none.
    pictures
        (N, C, H, W) what `seen` counts: uint8, which is kept as it is, or float32 in [0, 1].
    sources
        Digests of the files.
    notes
        What a reader of the scores must know.
    """
    sizes = tuple(person.voxels.shape[1] for person in people)
    person_of = np.repeat(np.arange(len(people)), [len(person.voxels) for person in people])
    voxels = np.zeros((len(person_of), max(sizes)), np.float32)
    for place, person in enumerate(people):
        voxels[person_of == place, : sizes[place]] = person.voxels
    labels = _joined([person.labels for person in people])
    seen, items = (_joined([getattr(p, name) for p in people]) for name in ("seen", "items"))
    shown: Float32 | StoredPictures | None = None
    if pictures is not None and seen is not None:
        stored = pictures.dtype == np.uint8
        shown = StoredPictures(pictures.astype(np.uint8, copy=False), seen) if stored else None
        shown = pictures[seen].astype(np.float32) if shown is None else shown
    return Trials(
        voxels,
        shown,
        None if labels is None else labels.astype(np.int64),
        (),
        tuple(person.subject for person in people),
        dict(sources),
        tuple(notes),
        person=person_of.astype(np.int64),
        sizes=sizes,
        item=items,
        run=_joined([person.run for person in people]),
    )


def shuffled_pairs(trials: Trials, seed: int) -> Trials:
    """Return the trials with another picture and label to each, of repeats the same to all.

    Pictures stay on the side of the split that repeats of one picture share.
    """
    items = trials.item if trials.item is not None else number_equal(trials.voxels)
    number = number_equal(items)
    first = np.unique(number, return_index=True)[1]
    rows = first[np.random.default_rng(seed).permutation(len(first))][number]
    shown = trials.pictures
    return replace(
        trials,
        pictures=shown.take(rows) if isinstance(shown, StoredPictures) else _taken(shown, rows),
        labels=_taken(trials.labels, rows),
        item=_taken(trials.item, rows),
        notes=(*trials.notes, "Negative control: brains and pictures were paired at random."),
    )


def _taken(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]


def _joined(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    there = [part for part in parts if part is not None]
    if there and len(there) < len(parts):
        raise DataError("some people have pictures or labels and others none. Give all or none.")
    return np.concatenate(there) if there else None
