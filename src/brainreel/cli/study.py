"""Commands about data: simulate a study, prepare runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from brainreel.cli.console import console
from brainreel.config import override
from brainreel.fmri.bids import Run, find_runs
from brainreel.fmri.prepare import PrepareConfig, plan_runs
from brainreel.fmri.prepare import prepare as prepare_runs
from brainreel.fmri.store import is_current
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.simulate.truth import StudyTruth


def simulate(out: Path, seed: int, subjects: int, films: int, film_duration_s: float) -> None:
    """Simulate a study and say where it lies."""
    config = StudyConfig.parse(
        {
            "seed": seed,
            "n_subjects": subjects,
            "n_films": films,
            "film_duration_s": film_duration_s,
        },
        where="simulate",
    )
    truth = simulate_with_bar(out, config)
    console.print(f"{len(truth.labels)} runs of {config.n_subjects} people in {out}")
    hint = f"Next: brainreel prepare {out} --out STORE clean.confounds=[motion:basic]"
    console.print(hint, markup=False)


def simulate_with_bar(out: Path, config: StudyConfig) -> StudyTruth:
    """Simulate a study under a progress bar."""
    bar = Progress(
        TextColumn("simulate {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        return simulate_study(
            out,
            config,
            progress=lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )


def single_run(bold: Path, film: Path | None, film_start_s: float) -> list[Run]:
    """Return the one run of a NIfTI file and its film."""
    return [Run.single(bold, film, film_start_s=film_start_s)]


def found_runs(
    bids: Path,
    derivatives: Path | None,
    subjects: Sequence[str] | None,
    tasks: Sequence[str] | None,
    space: str | None,
) -> list[Run]:
    """Return the runs of a BIDS or fMRIPrep folder."""
    return find_runs(
        bids,
        derivatives=derivatives,
        subjects=subjects or None,
        tasks=tasks or None,
        space=space,
    )


def prepare(
    runs: Sequence[Run],
    out: Path,
    options: Sequence[str],
    n_jobs: int,
    backend: str | None,
    dry_run: bool,
) -> None:
    """Prepare runs into a store, or list what would be done."""
    config = PrepareConfig.parse(override({}, options), where="prepare")
    if dry_run:
        for plan in plan_runs(runs, out, config):
            state = "is there" if is_current(plan.folder, plan.sources) else "to do"
            console.print(f"{plan.run.label}: {state} ({plan.folder})")
        return
    folders = prepare_runs(runs, out, config, n_jobs=n_jobs, backend=backend, progress=console)
    console.print(f"{len(folders)} runs stand in {out}")
