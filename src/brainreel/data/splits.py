"""Splits of recordings into training, validation and test that cannot leak: by film, by person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from brainreel.data.cell_splits import CellsSplit
from brainreel.data.samples import Fold, Recording
from brainreel.data.split_base import SeriesSplit, check_known, checked, sides
from brainreel.data.time_splits import BlocksSplit, TimeSplit
from brainreel.errors import DataError


class HoldOutStimulus(SeriesSplit):
    """Test on films that nobody saw in training."""

    name: Literal["hold_out_stimulus"] = "hold_out_stimulus"
    test_stimuli: tuple[str, ...] = ()
    """Names of the films to test on; empty: the last by name."""
    validation_stimuli: tuple[str, ...] = ()
    """Films to stop the training by; empty: none."""

    def make(self, recordings: Sequence[Recording]) -> list[Fold]:
        """Return one fold; its three sides are whole recordings."""
        names = sorted({recording.stimulus for recording in recordings})
        check_known(self.test_stimuli + self.validation_stimuli, names, "stimulus", self.called)
        test = self.test_stimuli or names[-1:]
        parts = sides(recordings, lambda r: r.stimulus, test, self.validation_stimuli)
        fold = Fold(self.called, self.called, *parts)
        return checked(recordings, [fold], self.gap_s)


class HoldOutSubject(SeriesSplit):
    """Test on people who were not in training; they may have seen the same film."""

    name: Literal["hold_out_subject"] = "hold_out_subject"
    test_subjects: tuple[str, ...] = ()
    """People to test on; empty: the last by name."""
    validation_subjects: tuple[str, ...] = ()
    """People to stop the training by; empty: none."""

    def make(self, recordings: Sequence[Recording]) -> list[Fold]:
        """Return one fold; group means, which hold everybody, are left out of it."""
        names = sorted({r.subject for r in recordings if not r.members})
        check_known(self.test_subjects + self.validation_subjects, names, "subject", self.called)
        test = self.test_subjects or names[-1:]
        parts = sides(recordings, lambda r: r.subject, test, self.validation_subjects, alone=True)
        fold = Fold(self.called, self.called, *parts)
        return checked(recordings, [fold], self.gap_s, across_subjects=True)


SeriesSplitConfig = Annotated[
    HoldOutStimulus | HoldOutSubject | TimeSplit | BlocksSplit | CellsSplit,
    Field(discriminator="name"),
]


def make_folds(
    recordings: Sequence[Recording], splits: Iterable[SeriesSplitConfig]
) -> tuple[Fold, ...]:
    """Make the folds of several splits, all checked for leaks.

    Raises
    ------
    LeakError
        If training and test data are nearer than the gap.
    DataError
        If a side is empty, or two splits have one label.
    """
    splits = tuple(splits)
    check_labels([split.called for split in splits])
    return tuple(fold for split in splits for fold in split.make(recordings))


def check_fold_name(name: str) -> None:
    """Refuse what weights and files cannot be called by."""
    if set(name) & set("/:\\"):
        raise DataError(
            f"split '{name}': weights and files are called by it, so it cannot hold '/', ':' or "
            "'\\'. Give another label, or rename the runs."
        )


def check_labels(labels: Sequence[str]) -> None:
    """Refuse two splits with one label, whose scores could not be told apart, or one no file can
    have.
    """
    for label in labels:
        check_fold_name(label)
        if labels.count(label) > 1:
            raise DataError(f"two splits are called '{label}'. Give each its own label.")
