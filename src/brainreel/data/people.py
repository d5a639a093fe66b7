"""Data kind `people`: prepared runs of people, with a label of each, split by people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from brainreel.data.people_labels import LabelKind, PeopleLabels, read_people
from brainreel.data.people_splits import HeldOutPeople, PeopleSplitConfig, make_people_folds
from brainreel.data.prepared import PreparedData, check_same_voxels, notes_of, sources_of
from brainreel.data.samples import Series
from brainreel.errors import DataError
from brainreel.files import digest_file

_NAMED = 10  # so many people are named in a note; the others are counted


@dataclass(frozen=True, eq=False)
class People(Series):
    """Recordings of people, parted by people.

    Attributes
    ----------
    label
        What is told of each; empty for nothing.
    labels
        Person to the number of their class, or to their number.
    classes
        Names of the classes in the order of their numbers; empty where the label is a number.
    families
        Person to family, for those whose family is known.
    """

    label: str = ""
    labels: Mapping[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    families: Mapping[str, str] = field(default_factory=dict)


class PeopleData(PreparedData):
    """Prepared runs, with or without film, and a label of each person; split by people alone."""

    name: Literal["people"] = "people"
    participants: Path | None = None
    """Table with one row a person, such as BIDS' participants.tsv; .csv is read too."""
    label: str = ""
    """Column to learn: a class or a number of each person; empty: nothing, as in pretraining."""
    label_kind: LabelKind = "auto"
    """classes, number, or auto: a number where the column holds more than two different ones and
    nothing else."""
    classes: tuple[str, ...] = ()
    """Classes to keep, in the order of their numbers; empty: all."""
    id_column: str = "participant_id"
    """Column that names the person, as the store does; sub- may be left out."""
    family: str = ""
    """Column that names the family; a family is never on two sides. Empty: everybody is alone."""
    splits: tuple[PeopleSplitConfig, ...] = (HeldOutPeople(),)
    """How people are parted into training and test; each is scored by itself."""

    @field_validator("classes", mode="before")
    @classmethod
    def _as_named(cls, given: Any) -> Any:
        """Classes called 1 and 2 are text in the table."""
        listed = isinstance(given, list | tuple)
        return [str(c) if type(c) is int else c for c in given] if listed else given

    def open(self) -> People:
        """Read the store and the table, and make the folds; BOLD stays on disk, memory-mapped.

        People without a label are left out, and named in a note.

        Raises
        ------
        DataError
            If the store or the table is missing or wrong, or a side of a fold is empty.
        LeakError
            If a family is on two sides.
        """
        runs = self.runs()
        labels = self._labels(list(dict.fromkeys(run.subject for run in runs)))
        if self.label:
            runs = [run for run in runs if run.subject in labels.values]
        check_same_voxels(runs)
        recordings = [self.recording(run) for run in runs]
        notes = [
            *_left_out(labels.missing, f"no '{self.label}' in {self.participants}"),
            *_left_out(labels.other, f"none of {', '.join(labels.classes)}"),
            *notes_of(runs, recordings),
        ]
        sources = sources_of(runs)
        if self.participants is not None:
            sources[self.participants.name] = digest_file(self.participants)
        return People(
            tuple(recordings),
            make_people_folds(recordings, labels, self.splits),
            sources,
            tuple(notes),
            label=self.label,
            labels=labels.values,
            classes=labels.classes,
            families=labels.families,
        )

    def _labels(self, people: Sequence[str]) -> PeopleLabels:
        if self.participants is None:
            if self.label or self.family:
                raise DataError(
                    f"data.{'label' if self.label else 'family'} names a column, and there is no "
                    "table. Give data.participants."
                )
            return PeopleLabels({})
        return read_people(
            self.participants,
            people,
            column=self.label,
            id_column=self.id_column,
            family_column=self.family,
            kind=self.label_kind,
            classes=self.classes,
        )


def _left_out(people: Sequence[str], why: str) -> list[str]:
    if not people:
        return []
    more = f" and {len(people) - _NAMED} more" if len(people) > _NAMED else ""
    who = "1 person was" if len(people) == 1 else f"{len(people)} people were"
    return [f"{who} left out: {', '.join(people[:_NAMED])}{more} ({why})."]
