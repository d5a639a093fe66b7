"""What a data set gives: recordings in time, trials without, and the folds that part them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.stored_pictures import StoredPictures
from brainreel.errors import DataError
from brainreel.fmri.bold import Bold
from brainreel.fmri.store import PreparedRun
from brainreel.shapes import DataSpec, check_shape

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Recording:
    """One person's BOLD of one run, with what they watched or heard on the same clock.

    Attributes
    ----------
    subject, run
        Who, and which run (`"task-cartoon_run-1"`); together they are unique.
    stimulus
        What was presented: recordings that share it saw the same thing at the same film time.
    bold
        (T, V) signal; `bold.grid` is the clock.
    film
        The film file, or None.
    features
        Named feature spaces that come with the data, (T, D) float32 each (events, words).
    film_digest
        SHA-256 of the film file, or empty: the same film under two names is one film.
    members
        The people that a group mean was made of, or empty.
    prepared
        The prepared run that it was read from, or None; it keeps moments and level of the run.
    """

    subject: str
    run: str
    stimulus: str
    bold: Bold
    film: Path | None = None
    features: Mapping[str, Float32] = field(default_factory=dict)
    film_digest: str = ""
    members: tuple[str, ...] = ()
    prepared: PreparedRun | None = None

    def __post_init__(self) -> None:
        for name, values in self.features.items():
            check_shape(values, "T D", name=f"{self.label} feature '{name}'", T=self.bold.n_trs)

    @property
    def label(self) -> str:
        """Subject and run, as errors name them."""
        return f"{self.subject} {self.run}"

    @property
    def level(self) -> Float32 | None:
        """(V,) what cleaning took off each voxel's mean; None where nothing was, or is known."""
        return None if self.prepared is None else self.prepared.level


@dataclass(frozen=True)
class Segment:
    """The TRs [start_tr, stop_tr) of recording number `recording`."""

    recording: int
    start_tr: int
    stop_tr: int

    @property
    def n_trs(self) -> int:
        """Number of TRs."""
        return self.stop_tr - self.start_tr


@dataclass(frozen=True)
class Cell:
    """One of several tests of one fit, scored by itself.

    Attributes
    ----------
    name
        What its scores are called.
    test
        Its segments.
    unseen_person, unseen_film
        What of it the training must not hold: its people, the parts of films near its own. With
        neither it is training data, tested again.
    """

    name: str
    test: tuple[Segment, ...]
    unseen_person: bool
    unseen_film: bool


@dataclass(frozen=True)
class Fold:
    """One fit and its test: parts of recordings, or trial indices.

    Attributes
    ----------
    split
        Name of the split that the fold belongs to; test predictions of its folds are pooled.
    name
        Unique name of the fold (`"film"`, `"blocks-3"`).
    train, validation, test
        Segments of recordings.
    train_trials, validation_trials, test_trials
        Indices of trials or labelled items, for data without a time axis.
    cells
        The parts that `test` consists of, where each is scored by itself; else empty.
    """

    split: str
    name: str
    train: tuple[Segment, ...] = ()
    validation: tuple[Segment, ...] = ()
    test: tuple[Segment, ...] = ()
    train_trials: tuple[int, ...] = ()
    test_trials: tuple[int, ...] = ()
    validation_trials: tuple[int, ...] = ()
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, eq=False)
class Series:
    """Recordings in time: what encoding models learn from.

    Attributes
    ----------
    recordings
        All runs of all people.
    folds
        The fits to make, already checked for leaks.
    sources
        Digests of the files it was read from.
    notes
        What a reader of the scores must know (a constant person left out), in sentences.
    """

    recordings: tuple[Recording, ...]
    folds: tuple[Fold, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of_subject(self, subject: str, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Return the segments of one person."""
        return tuple(s for s in segments if self.recordings[s.recording].subject == subject)

    @property
    def subjects(self) -> tuple[str, ...]:
        """People, in order of first appearance."""
        return tuple(dict.fromkeys(recording.subject for recording in self.recordings))

    def bold_of(self, segment: Segment) -> Float32:
        """Return the (T, V) signal of a segment, a view where the data allows it."""
        return self.recordings[segment.recording].bold.data[segment.start_tr : segment.stop_tr]


@dataclass(frozen=True, eq=False)
class Trials:
    """Voxel vectors paired with pictures or labels: what decoding models learn from.

    Attributes
    ----------
    voxels
        (B, V) float32; V is the most voxels that anybody has, and 0 stands behind the voxels of
        those who have fewer.
    pictures
        (B, C, H, W) float32 in [0, 1], or `StoredPictures`, or None.
    labels
        (B,) integers, or None.
    folds
        The fits to make.
    subjects
        Whose brains they are.
    person
        (B,) place of each trial's person in `subjects`; left out, all are of the first.
    sizes
        Voxels of each person; left out, all that there are.
    item
        (B,) numbers, equal where one picture was seen, or None if that is not known.
    run
        (B,) names of the runs that trials were in, or None.
    """

    voxels: Float32
    pictures: Float32 | StoredPictures | None
    labels: Int64 | None
    folds: tuple[Fold, ...]
    subjects: tuple[str, ...] = ("sub-01",)
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    person: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    sizes: tuple[int, ...] = ()
    item: Int64 | None = None
    run: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        found = check_shape(self.voxels, "B V", name="voxels")
        n, most = found["B"], found["V"]
        if not self.person.size:
            object.__setattr__(self, "person", np.zeros(n, np.int64))
        if not self.sizes:
            object.__setattr__(self, "sizes", (most,) * len(self.subjects))
        if self.pictures is not None:
            check_shape(self.pictures, "B C H W", name="pictures", B=n)
        for name in ("labels", "person", "item", "run"):
            values = getattr(self, name)
            if values is not None:
                check_shape(values, "B", name=name, B=n)
        if not np.isfinite(self.voxels).all():
            raise DataError("voxels hold NaN or infinite values. Clean or drop those trials.")
        self._check_people(most)

    def _check_people(self, most: int) -> None:
        n_people = len(self.subjects)
        if len(set(self.subjects)) < n_people or len(self.sizes) != n_people:
            raise DataError(
                f"{n_people} people {self.subjects} with {len(self.sizes)} numbers of voxels. Give "
                "each person once, with one number."
            )
        if max(self.sizes) != most or min(self.sizes) < 1:
            raise DataError(f"people of {self.sizes} voxels do not fill vectors of {most}.")
        if self.person.size and not 0 <= self.person.min() <= self.person.max() < n_people:
            raise DataError(f"trials of people beyond the {n_people} that are named.")

    @property
    def subject(self) -> str:
        """The only person.

        Raises
        ------
        DataError
            If there are several.
        """
        if len(self.subjects) > 1:
            raise DataError(
                f"one person is needed, and the data has {len(self.subjects)}: "
                f"{', '.join(self.subjects)}. Give the data of one alone, or use a task and model "
                "that take several."
            )
        return self.subjects[0]

    def of_person(self, person: int) -> NDArray[np.intp]:
        """Return the rows of person number `person`, in order."""
        return np.flatnonzero(self.person == person)

    def own_voxels(self, person: int, rows: Sequence[int] | NDArray[np.integer]) -> Float32:
        """Return (B, V) vectors of some of one person's rows, without the zeros behind them."""
        return self.voxels[np.asarray(rows, np.int64), : self.sizes[person]]

    def spec(self) -> DataSpec:
        """Return the facts that size a model."""
        return DataSpec(
            subjects=self.subjects,
            n_voxels=self.sizes,
            picture_shape=() if self.pictures is None else tuple(self.pictures.shape[1:]),
            classes={} if self.labels is None else {"label": int(np.max(self.labels)) + 1},
        )
