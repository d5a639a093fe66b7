"""The split `cells`: one fit, tested on seen and unseen people at seen and unseen film."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from brainreel.data.cuts import WindowsOfFilm, count_trs, extents_of, segments_within
from brainreel.data.leaks import check_everybody_tested, films_of
from brainreel.data.samples import Cell, Fold, Recording, Segment
from brainreel.data.split_base import Amount, SeriesSplit, check_known, checked
from brainreel.data.time_splits import TimeSplit
from brainreel.errors import DataError

CellName = Literal[
    "unseen_person-unseen_film",
    "seen_person-unseen_film",
    "unseen_person-seen_film",
    "seen_person-seen_film",
]
CELLS: tuple[CellName, ...] = get_args(CellName)


class CellsSplit(SeriesSplit):
    """Hold out people and a part of every film; test on the four cells they make."""

    name: Literal["cells"] = "cells"
    test_subjects: tuple[str, ...] = ()
    """People to hold out; empty: n_test_subjects of them are drawn."""
    n_test_subjects: Amount = 0.2
    """How many people are drawn to be held out, a count or a share below 1, at least one."""
    seed: int = Field(0, ge=0)
    """Seed of that draw."""
    test_stimuli: tuple[str, ...] = ()
    """Films to hold out whole; empty: the last part of every film."""
    validation_stimuli: tuple[str, ...] = ()
    """Films to stop the training by, where whole films are held out; empty: none."""
    test: Amount = 0.25
    """Last TRs of every film to hold out, a count or a share below 1."""
    validation: Amount = 0
    """TRs before them, a gap away on both sides, to stop the training by."""
    tested: tuple[CellName, ...] = Field(CELLS, min_length=1)
    """Cells to test. A model with a readout for each person can only be tested on seen people. What
    is trained on is the same, whichever are tested."""

    def make(self, recordings: Sequence[Recording]) -> list[Fold]:
        """Return one fold with its cells; group means, which hold everybody, are left out."""
        held = self._held_out(recordings)
        films = films_of(recordings)
        seen, validating, unseen = (
            [s for s in segments_within(recordings, films, side) if _alone(recordings, s)]
            for side in self._windows(recordings, films)
        )
        if not self.test_stimuli:
            everybody = Fold(self.called, self.called, train=tuple(seen), test=tuple(unseen))
            check_everybody_tested(recordings, everybody)

        def of_people(segments: Sequence[Segment], *, unseen_person: bool) -> tuple[Segment, ...]:
            return tuple(
                s for s in segments if (recordings[s.recording].subject in held) == unseen_person
            )

        cells = []
        for name in dict.fromkeys(self.tested):
            person, film = (part.startswith("unseen") for part in name.split("-"))
            test = of_people(unseen if film else seen, unseen_person=person)
            called = f"{self.label}_{name}" if self.label else name
            cells.append(Cell(called, test, unseen_person=person, unseen_film=film))
        fold = Fold(
            self.called,
            self.called,
            train=of_people(seen, unseen_person=False),
            validation=of_people(validating, unseen_person=False),
            test=tuple(segment for cell in cells for segment in cell.test),
            cells=tuple(cells),
        )
        return checked(recordings, [fold], self.gap_s)

    def _held_out(self, recordings: Sequence[Recording]) -> frozenset[str]:
        """Return the people that are not trained on."""
        names = sorted({r.subject for r in recordings if not r.members})
        check_known(self.test_subjects, names, "subject", self.called)
        held = self.test_subjects
        if not held:
            n = max(1, count_trs(self.n_test_subjects, len(names)))
            drawn = np.random.default_rng(self.seed).permutation(len(names))[:n]
            held = tuple(names[i] for i in sorted(drawn))
        if len(set(held)) >= len(names):
            raise DataError(
                f"split '{self.called}': {len(set(held))} of {len(names)} people are held out, and "
                "nobody is left to train on. Hold out fewer, or give more people."
            )
        return frozenset(held)

    def _windows(
        self, recordings: Sequence[Recording], films: Sequence[int]
    ) -> tuple[WindowsOfFilm, WindowsOfFilm, WindowsOfFilm]:
        """Return the seen, validating and unseen windows of every film."""
        if not self.test_stimuli:
            cut = TimeSplit(
                label=self.called, gap_s=self.gap_s, validation=self.validation, test=self.test
            )
            return cut.windows(recordings, films)
        named = self.test_stimuli + self.validation_stimuli
        check_known(named, sorted({r.stimulus for r in recordings}), "stimulus", self.called)
        sides: tuple[WindowsOfFilm, WindowsOfFilm, WindowsOfFilm] = ({}, {}, {})
        for film, (extent, _, _) in extents_of(recordings, films).items():
            names = {r.stimulus for r, n in zip(recordings, films, strict=True) if n == film}
            tests, validates = (
                not names.isdisjoint(part) for part in (self.test_stimuli, self.validation_stimuli)
            )
            for side, wanted in enumerate((not (tests or validates), validates, tests)):
                sides[side][film] = [extent] if wanted else []
        return sides


def _alone(recordings: Sequence[Recording], segment: Segment) -> bool:
    """Whether a segment is of one person, not of a mean of several."""
    return not recordings[segment.recording].members
