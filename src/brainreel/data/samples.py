"""What a data set gives: recordings in time, trials without, and the folds that part them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.fmri.bold import Bold
from brainreel.fmri.store import PreparedRun
from brainreel.shapes import DataSpec, check_shape

Float32 = NDArray[np.float32]


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
        (B, V) float32.
    pictures
        (B, C, H, W) float32 in [0, 1], or None.
    labels
        (B,) integers, or None.
    folds
        The fits to make.
    subject
        Whose brain it is.
    """

    voxels: Float32
    pictures: Float32 | None
    labels: NDArray[np.int64] | None
    folds: tuple[Fold, ...]
    subject: str = "sub-01"
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = check_shape(self.voxels, "B V", name="voxels")["B"]
        if self.pictures is not None:
            check_shape(self.pictures, "B C H W", name="pictures", B=n)
        if self.labels is not None:
            check_shape(self.labels, "B", name="labels", B=n)
        if not np.isfinite(self.voxels).all():
            raise DataError("voxels hold NaN or infinite values. Clean or drop those trials.")

    def spec(self) -> DataSpec:
        """Return the facts that size a model."""
        return DataSpec(
            subjects=(self.subject,),
            n_voxels=(int(self.voxels.shape[1]),),
            picture_shape=() if self.pictures is None else tuple(self.pictures.shape[1:]),
            classes={} if self.labels is None else {"label": int(np.max(self.labels)) + 1},
        )
