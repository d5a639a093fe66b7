"""Recordings from a store of prepared runs: what the data kinds that read one have in common."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.config import Config
from brainreel.data.cuts import trs_within
from brainreel.data.samples import Recording
from brainreel.errors import AlignmentError, DataError
from brainreel.files import digest_file, digest_json
from brainreel.fmri.bold import Bold
from brainreel.fmri.store import PreparedRun, read_store
from brainreel.stimulus.film import probe_film
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]


class PreparedData(Config):
    """Runs of a store."""

    name: str
    path: Path
    """Store that `brainreel prepare` made."""
    subjects: tuple[str, ...] = ()
    """People to take; empty: all."""
    tasks: tuple[str, ...] = ()
    """Tasks to take; empty: all."""
    prepared_with: str = ""
    """Beginning of the digest of the prepare options to take; empty: those prepared last."""
    film_mismatch: Literal["refuse", "trim"] = "refuse"
    """Where film and scan do not cover the same time: refuse the run, or trim it to the TRs that
    lie in the film."""

    def runs(self) -> list[PreparedRun]:
        """Read the chosen runs; their BOLD stays on disk."""
        return read_store(
            self.path,
            subjects=self.subjects or None,
            tasks=self.tasks or None,
            config_digest=self.prepared_with or None,
        )

    def recording(self, run: PreparedRun, events: Float32 | None = None) -> Recording:
        """Return a run as a recording on its film's clock, with (T, K) regressors of its events.

        Raises
        ------
        DataError
            If its film is gone or was changed since.
        AlignmentError
            If the film and the scan do not cover the same time.
        """
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


def notes_of(runs: Sequence[PreparedRun], recordings: Sequence[Recording]) -> list[str]:
    """Say which voxels never change, and how many TRs outside of their film were left out."""
    notes = [
        f"{run.label}: {run.n_constant} of {run.n_voxels} voxels never change."
        for run in runs
        if run.n_constant
    ]
    pairs = zip(runs, recordings, strict=True)
    lost = [n for run, item in pairs if (n := run.grid.n_trs - item.bold.n_trs)]
    if lost:
        each = f"{min(lost)} to {max(lost)}" if min(lost) < max(lost) else f"{lost[0]}"
        notes.append(
            f"TRs outside of the film were left out in {len(lost)} of {len(runs)} runs: {each} "
            "each."
        )
    return notes


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


def sources_of(runs: Sequence[PreparedRun]) -> dict[str, str]:
    """Return the digests of what the runs were made from and how, by name."""
    sources: dict[str, str] = {}
    for run in runs:
        for role, source in run.manifest["sources"].items():
            name = Path(source["path"]).name if role == "film" else f"{run.label} {role}"
            sources[name] = source["sha256"]
        facts = [run.manifest[key] for key in ("config_digest", "mask_digest", "grid")]
        sources[f"{run.label} preparation"] = digest_json(facts)
    return sources


def _check_unchanged(run: PreparedRun, film: Path) -> None:
    """Refuse a film that is gone or another: its digest names it for the leak check."""
    kept = run.manifest["sources"]["film"]
    if not film.is_file():
        raise DataError(f"{run.label}: its film {film} is gone. Put it back, or prepare again.")
    state = film.stat()
    untouched = (state.st_size, state.st_mtime_ns) == (kept["bytes"], kept["modified_ns"])
    if not untouched and digest_file(film) != kept["sha256"]:
        raise DataError(f"{run.label}: its film {film} was changed since. Prepare the run again.")
