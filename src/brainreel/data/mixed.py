"""Data kind `mixed`: voxel vectors of several studies, each read and parted in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.data.bold5000 import Bold5000Data
from brainreel.data.films import FilmsData
from brainreel.data.god import GodData
from brainreel.data.hcp_voxels import HcpVoxelsData
from brainreel.data.leaks import check_no_trial_leak
from brainreel.data.people import PeopleData
from brainreel.data.samples import Fold, Segment, Series, Trials
from brainreel.data.series import SeriesData
from brainreel.data.trial_splits import TrialSplitConfig
from brainreel.data.trials import TrialsData
from brainreel.errors import DataError

Study = Annotated[
    FilmsData | PeopleData | SeriesData | TrialsData | GodData | Bold5000Data | HcpVoxelsData,
    Field(discriminator="name"),
]
_SIDES = ("train", "validation", "test")


class MixedData(Config):
    """Voxel vectors of several studies, with any numbers of voxels: what SC-MBM is pretrained on.

    A TR of a recording is a vector as a trial is; pictures and labels are left out.
    """

    name: Literal["mixed"] = "mixed"
    studies: dict[str, Study] = Field(min_length=1)
    """Name of a study -> its data, with splits that make one fold; people are called study/person.
    """

    @property
    def path(self) -> Path:
        """A file or folder of the studies: one that is not there, where one is not."""
        given = [study.path for study in self.studies.values()]
        paths = [p for one in given for p in (one.values() if isinstance(one, dict) else [one])]
        return next((path for path in paths if not path.exists()), paths[0])

    @property
    def splits(self) -> tuple[TrialSplitConfig, ...]:
        """None of its own: each study has its own."""
        return ()

    def open(self) -> Trials:
        """Read all studies and join their vectors, people and sides.

        Raises
        ------
        DataError
            If a study has several folds, or a person vectors of different lengths.
        LeakError
            If a vector is on two sides, in whatever study.
        """
        vectors: list[NDArray[np.float32]] = []
        person: list[int] = []
        sizes: dict[str, int] = {}
        sides: dict[str, list[int]] = {side: [] for side in _SIDES}
        sources: dict[str, str] = {}
        notes: list[str] = []
        for name, study in self.studies.items():
            data = study.open()
            if len(data.folds) != 1:
                raise DataError(
                    f"data.studies.{name}: its splits make {len(data.folds)} folds, and studies "
                    "are mixed in one. Give it one split with one fold."
                )
            rows = _rows(data)
            for side, numbers in zip(_SIDES, _sides(data, data.folds[0]), strict=True):
                sides[side] += [len(vectors) + number for number in numbers]
            for who, row in rows:
                known = sizes.setdefault(f"{name}/{who}", len(row))
                if known != len(row):
                    raise DataError(
                        f"data.studies.{name}: {who} has vectors of {known} and of {len(row)} "
                        "voxels. Prepare all runs of a person alike."
                    )
                vectors.append(row)
                person.append(list(sizes).index(f"{name}/{who}"))
            sources |= {f"{name}/{file}": digest for file, digest in data.sources.items()}
            notes += [f"{name}: {note}" for note in data.notes]
        voxels = np.zeros((len(vectors), max(sizes.values())), np.float32)
        for place, row in zip(voxels, vectors, strict=True):
            place[: len(row)] = row
        train, validation, test = (tuple(sides[side]) for side in _SIDES)
        fold = Fold("mixed", "mixed", train_trials=train, validation_trials=validation,
                    test_trials=test)  # fmt: skip
        check_no_trial_leak(fold, voxels=voxels, items=None)
        return Trials(
            voxels, None, None, (fold,), tuple(sizes), sources, tuple(notes),
            person=np.array(person, dtype=np.int64), sizes=tuple(sizes.values()),
        )  # fmt: skip


def _rows(data: Series | Trials) -> list[tuple[str, NDArray[np.float32]]]:
    """Return whose each vector is, and the vector: all TRs of all recordings, or all trials."""
    if isinstance(data, Series):
        return [
            (record.subject, row)
            for record in data.recordings
            for row in record.bold.data.astype(np.float32)
        ]
    people = [(data.subjects[p], data.sizes[p]) for p in data.person]
    return [(who, row[:n]) for (who, n), row in zip(people, data.voxels, strict=True)]


def _sides(data: Series | Trials, fold: Fold) -> tuple[Sequence[int], ...]:
    """Return the numbers of the vectors in training, validation and test."""
    if isinstance(data, Trials):
        return fold.train_trials, fold.validation_trials, fold.test_trials
    lengths = [record.bold.n_trs for record in data.recordings]
    starts = np.cumsum([0, *lengths]).tolist()

    def numbers(segments: Sequence[Segment]) -> list[int]:
        return [starts[s.recording] + t for s in segments for t in range(s.start_tr, s.stop_tr)]

    return numbers(fold.train), numbers(fold.validation), numbers(fold.test)
