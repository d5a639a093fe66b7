"""Splits of people: nobody, and no family, is on two sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from brainreel.config import Config
from brainreel.data.leaks import check_families, check_no_leak, check_sides
from brainreel.data.people_labels import PeopleLabels
from brainreel.data.samples import Fold, Recording, Segment
from brainreel.data.splits import check_labels
from brainreel.errors import DataError, LeakError, did_you_mean

_SIDES = ("train", "validation", "test")


class PeopleSplit(Config):
    """What every split of people has."""

    label: str = ""
    """What its scores are called; empty: the name of the split."""

    @property
    def called(self) -> str:
        """The label, or the split's name."""
        return self.label or str(getattr(self, "name", ""))


class HeldOutPeople(PeopleSplit):
    """A random share of the people is tested, of every class alike; families stay together."""

    name: Literal["held_out"] = "held_out"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of the people to test on."""
    validation: float = Field(0.0, ge=0, lt=1)
    """Share of the people to stop the training by."""
    seed: int = Field(0, ge=0)
    """Seed of the draw, so that it can be made again."""

    @model_validator(mode="after")
    def _room_for_training(self) -> Self:
        if self.test + self.validation >= 1:
            raise ValueError("test and validation leave nobody to train on")
        return self

    def make(self, people: Sequence[str], labels: PeopleLabels) -> dict[str, dict[str, str]]:
        """Return the side of each person in one fold."""
        shares = [1 - self.test - self.validation, self.validation, self.test]
        dealt = deal(people, labels, shares, self.seed)
        return {self.called: {who: _SIDES[part] for who, part in dealt.items()}}


class StratifiedPeople(PeopleSplit):
    """Random folds of people, each tested once, of every class alike; families stay together."""

    name: Literal["stratified"] = "stratified"
    n_folds: int = Field(5, ge=2)
    """Folds; each person is tested once."""
    validation: float = Field(0.0, ge=0, lt=1)
    """Share of a fold's training people to stop the training by."""
    seed: int = Field(0, ge=0)
    """Seed of the draw, so that it can be made again."""

    def make(self, people: Sequence[str], labels: PeopleLabels) -> dict[str, dict[str, str]]:
        """Return the side of each person in the folds `label-1`, `label-2`, ..."""
        part_of = deal(people, labels, [1 / self.n_folds] * self.n_folds, self.seed)
        folds = {}
        for number in range(self.n_folds):
            rest = [who for who in people if part_of[who] != number]
            shares = [1 - self.validation, self.validation]
            held = deal(rest, labels, shares, self.seed + 1 + number)
            sides = {who: _SIDES[held[who]] if who in held else "test" for who in people}
            folds[f"{self.called}-{number + 1}"] = sides
        return folds


class GivenPeople(PeopleSplit):
    """Test on people by name; families must be together already."""

    name: Literal["given"] = "given"
    test_subjects: tuple[str, ...] = ()
    """People to test on."""
    validation_subjects: tuple[str, ...] = ()
    """People to stop the training by; empty: none."""

    def make(self, people: Sequence[str], labels: PeopleLabels) -> dict[str, dict[str, str]]:
        """Return the side of each person in one fold."""
        side_of = dict.fromkeys(people, "train")
        for side, named in (("validation", self.validation_subjects), ("test", self.test_subjects)):
            for name in named:
                who = f"sub-{name.removeprefix('sub-')}"
                if who in (*labels.missing, *labels.other):
                    raise DataError(
                        f"split '{self.called}': {who} is to be on the side of {side}, and has no "
                        "label, or none that is asked for. Name others, or mend the table."
                    )
                if who not in side_of:
                    near = did_you_mean(who, people)
                    raise DataError(f"split '{self.called}': no subject '{name}'.{near}")
                if side_of[who] == "validation":
                    raise DataError(f"split '{self.called}': {who} is to validate and to test.")
                side_of[who] = side
        return {self.called: side_of}


PeopleSplitConfig = Annotated[
    HeldOutPeople | StratifiedPeople | GivenPeople, Field(discriminator="name")
]


def make_people_folds(
    recordings: Sequence[Recording], labels: PeopleLabels, splits: Iterable[PeopleSplitConfig]
) -> tuple[Fold, ...]:
    """Make the folds of several splits, all checked for leaks.

    Raises
    ------
    LeakError
        If a family is on two sides.
    DataError
        If a side is empty, a class is not in training, or two splits have one label.
    """
    splits = tuple(splits)
    check_labels([split.called for split in splits])
    people = list(dict.fromkeys(recording.subject for recording in recordings))
    folds = []
    for split in splits:
        for name, side_of in split.make(people, labels).items():
            parts: dict[str, list[Segment]] = {side: [] for side in _SIDES}
            for number, recording in enumerate(recordings):
                segment = Segment(number, 0, recording.bold.n_trs)
                parts[side_of[recording.subject]].append(segment)
            train, validation, test = (tuple(parts[side]) for side in _SIDES)
            fold = Fold(split.called, name, train, validation, test)
            check_sides(recordings, fold, across_subjects=True)
            check_no_leak(recordings, fold, 0, across_subjects=True)
            check_families(recordings, fold, labels.families)
            _check_classes(fold, side_of, labels)
            folds.append(fold)
    return tuple(folds)


def check_stage_people(
    trained: Sequence[Recording],
    tested: Sequence[Recording],
    families: Mapping[str, str],
    where: str,
) -> None:
    """Refuse people, or their families, that an earlier stage was trained on and a last one tests.

    Names mean the same people where both stages read one store; of two stores the images tell.

    Raises
    ------
    LeakError
        Naming the person.
    """
    one_store = bool(_stores(trained) & _stores(tested))
    known = {_told(recording, one_store): recording.subject for recording in trained}
    kin = {families[who] for who in known.values() if who in families} if one_store else set()
    for recording in tested:
        who = recording.subject
        if _told(recording, one_store) in known or families.get(who) in kin:
            raise LeakError(
                f"{where}: {who}, or their family, is trained on in an earlier stage and tested in "
                "the last. Give all stages the same splits."
            )


def _stores(recordings: Sequence[Recording]) -> set[Path]:
    return {item.prepared.folder.parent.resolve() for item in recordings if item.prepared}


def _told(recording: Recording, one_store: bool) -> str:
    """Return what tells whose recording it is: the name, or the digest of the image."""
    if one_store or recording.prepared is None:
        return recording.subject
    return str(recording.prepared.manifest["sources"]["bold"]["sha256"])


def deal(
    people: Sequence[str], labels: PeopleLabels, shares: Sequence[float], seed: int
) -> dict[str, int]:
    """Deal people to parts in given shares, of every class alike, families whole.

    Large families come first, in random order among equals; each goes to the part that lacks its
    classes most, by how full the part would be with half of it: min over parts p of
    sum_k f_k (c_pk + f_k / 2) / (s_p n_k), f the family's people of class k, c_p the part's, n all,
    s the share. For families of one and one class this is the method of Sainte-Laguë.

    Parameters
    ----------
    people
        Who.
    labels
        Their classes and families; people without a class, or with a number, are of one class.
    shares
        Share of each part; none of a part whose share is 0.
    seed
        Seed of the order.

    Returns
    -------
    dict
        Person to the number of their part.
    """
    class_of = {who: int(labels.values.get(who, 0)) if labels.classes else 0 for who in people}
    n_classes = max(len(labels.classes), 1)
    families: dict[str, list[str]] = defaultdict(list)
    for who in people:
        families[labels.families.get(who, f"alone {who}")].append(who)
    rng = np.random.default_rng(seed)
    order = [list(families.values())[i] for i in rng.permutation(len(families))]
    wanted = np.outer(shares, np.bincount(list(class_of.values()), minlength=n_classes))
    held: NDArray[np.float64] = np.zeros_like(wanted)
    part_of: dict[str, int] = {}
    for family in sorted(order, key=len, reverse=True):
        counts = np.bincount([class_of[who] for who in family], minlength=n_classes)
        room = np.where(wanted > 0, wanted, 1e-9)
        full = (counts * (held + counts / 2) / room).sum(axis=1)
        part = int(np.argmin(full))
        held[part] += counts
        part_of.update(dict.fromkeys(family, part))
    return part_of


def _check_classes(fold: Fold, side_of: Mapping[str, str], labels: PeopleLabels) -> None:
    """Refuse a fold that tests what it never trains, or holds one class alone to test."""
    where = f"split '{fold.split}', fold '{fold.name}'"
    if not labels.classes:
        return
    of_side = {
        side: {labels.values[who] for who, own in side_of.items() if own == side} for side in _SIDES
    }
    for number in sorted(of_side["test"] - of_side["train"]):
        raise DataError(
            f"{where}: nobody of '{labels.classes[int(number)]}' is left to train on. Give more "
            "people, or leave that class out with data.classes."
        )
    if len(of_side["test"]) < 2:
        (number,) = of_side["test"]
        raise DataError(
            f"{where}: everybody tested is '{labels.classes[int(number)]}', so nothing can be told "
            "apart. Test more people, or use fewer folds."
        )
