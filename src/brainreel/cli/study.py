"""The runs that `prepare` is told of, into a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brainreel.cli.console import console, say
from brainreel.errors import ConfigError
from brainreel.files import require_file
from brainreel.fmri.bids import Run, find_runs
from brainreel.fmri.make import RunPlan, used_confounds
from brainreel.fmri.prepare import PrepareConfig, plan_runs, prepare
from brainreel.fmri.roi_masks import counts_of
from brainreel.fmri.sources import is_current


def check_unused(what: str, **given: object) -> None:
    """Refuse options that say nothing about what is prepared, rather than overlook them."""
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} says nothing about {what}. Leave it out."
            )


def single_run(
    bold: Path,
    films: Sequence[str],
    film_start_s: float,
    subjects: Sequence[str] | None,
    tasks: Sequence[str] | None,
    events: Path | None = None,
) -> list[Run]:
    """Return the one run of a NIfTI file, with its film and events."""
    for name, values in (("film", films), ("subject", subjects), ("task", tasks)):
        if values and len(values) > 1:
            raise ConfigError(f"--{name} was given {len(values)} times for one file. Give it once.")
    film = Path(films[0]) if films else None
    (subject,), (task,) = subjects or ("01",), tasks or ("film",)
    run = Run.single(bold, film, subject=subject, task=task, film_start_s=film_start_s)
    return [run if events is None else replace(run, events=require_file(events, "table"))]


def found_runs(
    bids: Path,
    derivatives: Path | None,
    subjects: Sequence[str] | None,
    tasks: Sequence[str] | None,
    space: str | None,
    films: Sequence[str],
) -> list[Run]:
    """Return the runs of a BIDS or fMRIPrep folder."""
    return find_runs(
        bids,
        derivatives=derivatives,
        subjects=subjects or None,
        tasks=tasks or None,
        space=space,
        films=dict(_film_of_task(given) for given in films),
    )


def _film_of_task(given: str) -> tuple[str, Path]:
    task, sign, path = given.partition("=")
    if not sign:
        raise ConfigError(f"--film {given}: in a folder, a task's film. Write --film TASK={given}.")
    return task.removeprefix("task-"), Path(path)


def _facts(plan: RunPlan) -> str:
    """Say what was found for a run: what a wrong film or start would show in."""
    film = "no film"
    if plan.run.film is not None:
        film = f"{plan.run.film.name} from {float(plan.run.film_start_s):g} s"
    grid = " x ".join(map(str, plan.mask.grid))
    voxels = f"{plan.mask.n_voxels} voxels of {grid}"
    regions = f" ({counts_of(plan.regions)})" if plan.regions else ""
    trs = f"{plan.grid.n_trs} TRs of {float(plan.grid.tr_s):g} s"
    return f"{trs}, {voxels}{regions}, {film}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n or 'no'} {what}s"


def prepare_store(
    runs: Sequence[Run],
    out: Path,
    config: PrepareConfig,
    n_jobs: int,
    backend: str | None,
    dry_run: bool,
) -> None:
    """Prepare runs into a store, or list what would be done."""
    if dry_run:
        for plan in plan_runs(runs, out, config):
            state = "is there" if is_current(plan.folder, plan.sources) else "to do"
            confounds = used_confounds(plan).shape[1]
            say(f"{plan.run.label}: {state} ({plan.folder})")
            say(f"  {_facts(plan)}, {_counted(confounds, 'confound')}")
        return
    folders = prepare(runs, out, config, n_jobs=n_jobs, backend=backend, progress=console)
    say(f"{len(folders)} runs stand in {out}")
