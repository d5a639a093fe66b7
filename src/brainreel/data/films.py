"""Films and the BOLD of those who watched them, from a store of prepared runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.config import Config
from brainreel.data.cuts import trs_within
from brainreel.data.readers import read_table
from brainreel.data.samples import Recording, Series
from brainreel.data.splits import HoldOutStimulus, SeriesSplitConfig, make_folds
from brainreel.errors import AlignmentError, DataError
from brainreel.files import digest_file, digest_json
from brainreel.fmri.bold import Bold
from brainreel.fmri.store import PreparedRun, read_store
from brainreel.stimulus.events import event_regressors
from brainreel.stimulus.film import probe_film
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]


class FilmsData(Config):
    """Prepared runs with the films that were shown in them."""

    name: Literal["films"] = "films"
    path: Path
    """Store that `brainreel prepare` made."""
    subjects: tuple[str, ...] = ()
    """People to take; empty: all."""
    tasks: tuple[str, ...] = ()
    """Tasks to take; empty: all that have a film."""
    prepared_with: str = ""
    """Beginning of the digest of the prepare options to take; empty: those prepared last."""
    film_mismatch: Literal["refuse", "trim"] = "refuse"
    """Where film and scan do not cover the same time: refuse the run, or trim it to the TRs that
    lie in the film."""
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
        runs = read_store(
            self.path,
            subjects=self.subjects or None,
            tasks=self.tasks or None,
            config_digest=self.prepared_with or None,
        )
        runs, notes = self._shown(runs)
        check_same_voxels(runs)
        events = _events_of(runs, self.shift_s) if self.events else {}
        recordings = [self._recording(run, events.get(run.label)) for run in runs]
        notes += [
            f"{run.label}: {run.n_constant} of {run.n_voxels} voxels never change."
            for run in runs
            if run.n_constant
        ]
        notes += _trimmed(runs, recordings)
        if self.shift_s:
            recordings = [_shifted(recording, self.shift_s) for recording in recordings]
            notes.append(f"Negative control: the film was shifted by {self.shift_s:g} s.")
        folds = make_folds(recordings, self.splits)
        return Series(tuple(recordings), folds, _sources(runs), tuple(notes))

    def _shown(self, runs: list[PreparedRun]) -> tuple[list[PreparedRun], list[str]]:
        """Leave out runs without a film where no task is named, and say so."""
        films = [run for run in runs if run.film is not None]
        if self.tasks or self.events or not films or len(films) == len(runs):
            return runs, []
        left_out = len(runs) - len(films)
        return films, [f"{left_out} of {len(runs)} runs were left out: they have no film."]

    def _recording(self, run: PreparedRun, events: Float32 | None) -> Recording:
        """Return a run as a recording on its film's clock."""
        film = run.film
        bold = run.bold()
        trs = range(bold.n_trs)
        if film is not None:
            _check_unchanged(run, film)
            trs = self._trs_in_film(run, bold.grid, film)
        if len(trs) < bold.n_trs:
            grid = bold.grid.part(trs.start, trs.stop)
            bold = Bold(bold.data[trs.start : trs.stop], grid, bold.mask, bold.names)
        features = {} if events is None else {"events": events[trs.start : trs.stop]}
        return Recording(
            run.subject,
            run.key,
            run.key if film is None else film.stem,
            bold,
            film=film,
            features=features,
            film_digest="" if film is None else run.manifest["sources"]["film"]["sha256"],
            prepared=run,
        )

    def _trs_in_film(self, run: PreparedRun, grid: TrGrid, film: Path) -> range:
        duration = probe_film(film).duration_s
        if self.film_mismatch == "refuse":
            try:
                grid.check_covered(duration, where=run.label)
            except AlignmentError as problem:
                raise AlignmentError(
                    f"{problem} To keep the TRs that lie in the film: data.film_mismatch=trim."
                ) from problem
            return range(grid.n_trs)
        # A last TR that the film leaves half way through is kept, as `check_covered` keeps it.
        trs = trs_within(grid, (Fraction(0), duration + grid.tr_s))
        if not trs:
            raise AlignmentError(
                f"{run.label}: no TR lies in the film. Mend the film's onset in the events table."
            )
        return trs


def _trimmed(runs: Sequence[PreparedRun], recordings: Sequence[Recording]) -> list[str]:
    """Say how many TRs lie outside of their film and were left out."""
    pairs = zip(runs, recordings, strict=True)
    lost = [n for run, item in pairs if (n := run.grid.n_trs - item.bold.n_trs)]
    if not lost:
        return []
    each = f"{min(lost)} to {max(lost)}" if min(lost) < max(lost) else f"{lost[0]}"
    return [
        f"TRs outside of the film were left out in {len(lost)} of {len(runs)} runs: {each} each."
    ]


def check_same_voxels(runs: Sequence[PreparedRun]) -> None:
    """Refuse runs of one person whose columns are not the same voxels.

    Raises
    ------
    DataError
        Naming both runs.
    """
    first: dict[str, PreparedRun] = {}
    for run in runs:
        other = first.setdefault(run.subject, run)
        if other.manifest["mask_digest"] != run.manifest["mask_digest"]:
            raise DataError(
                f"{other.label} and {run.label} have different masks ({other.n_voxels} and "
                f"{run.n_voxels} voxels). Prepare them with mask_over=subject, or with one mask."
            )


def _check_unchanged(run: PreparedRun, film: Path) -> None:
    """Refuse a film that is gone or another: its digest names it for the leak check."""
    kept = run.manifest["sources"]["film"]
    if not film.is_file():
        raise DataError(f"{run.label}: its film {film} is gone. Put it back, or prepare again.")
    state = film.stat()
    untouched = (state.st_size, state.st_mtime_ns) == (kept["bytes"], kept["modified_ns"])
    if not untouched and digest_file(film) != kept["sha256"]:
        raise DataError(f"{run.label}: its film {film} was changed since. Prepare the run again.")


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


def _sources(runs: Sequence[PreparedRun]) -> dict[str, str]:
    """Return the digests of what the runs were made from and how, by name."""
    sources: dict[str, str] = {}
    for run in runs:
        for role, source in run.manifest["sources"].items():
            name = Path(source["path"]).name if role == "film" else f"{run.label} {role}"
            sources[name] = source["sha256"]
        facts = [run.manifest[key] for key in ("config_digest", "mask_digest", "grid")]
        sources[f"{run.label} preparation"] = digest_json(facts)
    return sources
