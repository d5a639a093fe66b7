"""Films and the BOLD of those who watched them, from a store of prepared runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.data.prepared import PreparedData, check_same_voxels, notes_of, sources_of
from brainreel.data.readers import read_table
from brainreel.data.samples import Recording, Series
from brainreel.data.splits import HoldOutStimulus, SeriesSplitConfig, make_folds
from brainreel.errors import DataError
from brainreel.fmri.bold import Bold
from brainreel.fmri.store import PreparedRun
from brainreel.stimulus.events import event_regressors

Float32 = NDArray[np.float32]


class FilmsData(PreparedData):
    """Prepared runs with the films that were shown in them."""

    name: Literal["films"] = "films"
    tasks: tuple[str, ...] = ()
    """Tasks to take; empty: all that have a film."""
    events: bool = False
    """Whether to add one regressor for each trial_type of the runs' event tables."""
    shift_s: float = 0.0
    """Negative control: pair each TR with the film of so many seconds earlier; scores must fall."""
    splits: tuple[SeriesSplitConfig, ...] = (HoldOutStimulus(),)
    """How films, time or people are parted into training and test; each is scored by itself."""

    def open(self) -> Series:
        """Read the store and make the folds; BOLD stays on disk, memory-mapped.

        Raises
        ------
        DataError
            If the store is missing, a person's runs differ in voxels, or a film is gone or was
            changed since.
        AlignmentError
            If a film and its scan do not cover the same time.
        LeakError
            If a split's training and test data are nearer than its gap.
        """
        runs, notes = self._shown(self.runs())
        check_same_voxels(runs)
        events = _events_of(runs, self.shift_s) if self.events else {}
        recordings = [self.recording(run, events.get(run.label)) for run in runs]
        notes += notes_of(runs, recordings)
        if self.shift_s:
            recordings = [_shifted(recording, self.shift_s) for recording in recordings]
            notes.append(f"Negative control: the film was shifted by {self.shift_s:g} s.")
        folds = make_folds(recordings, self.splits)
        return Series(tuple(recordings), folds, sources_of(runs), tuple(notes))

    def _shown(self, runs: list[PreparedRun]) -> tuple[list[PreparedRun], list[str]]:
        """Leave out runs without a film where no task is named, and say so."""
        films = [run for run in runs if run.film is not None]
        if self.tasks or self.events or not films or len(films) == len(runs):
            return runs, []
        left_out = len(runs) - len(films)
        return films, [f"{left_out} of {len(runs)} runs were left out: they have no film."]


def _events_of(runs: Sequence[PreparedRun], shift_s: float) -> dict[str, Float32]:
    """Return the event regressors (T, K) of each run; the K kinds are those of all runs."""
    values: dict[str, tuple[Float32, tuple[str, ...]]] = {}
    for run in runs:
        if run.events is None:
            raise DataError(f"{run.label}: has no table of events. Set events to false.")
        table = read_table(run.events, ("onset", "duration", "trial_type"))
        # BIDS counts onsets from the first volume of the file; the grid lives in film time.
        film_start_s = float(Fraction(run.manifest["film_start_s"]))
        table = table.assign(onset=table["onset"] - film_start_s)
        values[run.label] = event_regressors(table, run.grid.delayed(shift_s))
    kinds = sorted({kind for _, names in values.values() for kind in names})
    return {label: _in_order(*found, kinds) for label, found in values.items()}


def _in_order(values: Float32, names: Sequence[str], kinds: Sequence[str]) -> Float32:
    columns = np.zeros((len(values), len(kinds)), np.float32)
    columns[:, [kinds.index(name) for name in names]] = values
    return columns


def _shifted(recording: Recording, shift_s: float) -> Recording:
    """Return a recording whose clock claims that each TR saw what came `shift_s` earlier."""
    bold = recording.bold
    moved = Bold(bold.data, bold.grid.delayed(shift_s), bold.mask, bold.names)
    return replace(recording, bold=moved)
