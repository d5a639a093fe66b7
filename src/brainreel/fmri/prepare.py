"""Prepare runs: mask, clean and store them time first; in parallel, resumable, never twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import joblib
from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from brainreel.config import Config
from brainreel.errors import BrainreelError, DataError
from brainreel.files import digest_json
from brainreel.fmri.bids import Run
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.grids import GridConfig, placed
from brainreel.fmri.images import BoldImage, open_bold_image
from brainreel.fmri.make import RunPlan, try_to_make
from brainreel.fmri.masks import mask_digest, masks_of_runs
from brainreel.fmri.normalize import CleanConfig
from brainreel.fmri.roi_masks import RoiConfig, keep_rois
from brainreel.fmri.rois import Regions, regions_digest
from brainreel.fmri.sources import is_current, note_paths
from brainreel.fmri.store import (
    FORMAT,
    PreparedRun,
    open_store,
    read_run,
    read_store,
    update_index,
)
from brainreel.fmri.trial_tables import TrialConfig
from brainreel.fmri.workers import workers
from brainreel.timebase import exact

__all__ = ["PrepareConfig", "PreparedRun", "plan_runs", "prepare", "read_run", "read_store"]


class PrepareConfig(Config):
    """How runs are prepared. Any change makes new files beside the old."""

    clean: CleanConfig = CleanConfig()
    """What is taken out of every voxel's time course."""
    mask: Path | None = None
    """Mask image for all runs; by default each run's own brain mask, or one found in its data."""
    mask_over: Literal["run", "subject", "all"] = "subject"
    """Whose masks are intersected, so that columns mean the same voxels."""
    grid: GridConfig = GridConfig()
    """On which grid volumes are kept."""
    nonfinite: Literal["refuse", "zero"] = "refuse"
    """Voxels with NaN or infinite values: refuse the run, or set those voxels to 0 throughout."""
    tr_s: float | None = Field(None, gt=0)
    """Repetition time in seconds, where header and sidecar are wrong."""
    n_dummy: int | None = Field(None, ge=0)
    """Volumes to drop from the head of every run; by default those that fMRIPrep marks."""
    window_s: float | None = Field(None, gt=0)
    """Average the cleaned volumes over windows of so many seconds, which then are the TRs; none:
    keep every volume."""
    rois: RoiConfig = RoiConfig()
    """Regions whose voxels alone are kept (--rois)."""
    trials: TrialConfig = TrialConfig()
    """How runs or betas become one voxel vector a trial, with the picture that was seen
    (--trials)."""

    def options(self) -> dict[str, Any]:
        """Return the options; of mask and regions only voxels count, and they are digested apart.

        Without cropping, resampling and windows they are those of stores from before there were
        any.
        """
        left_out = {"mask", "rois", "trials"}
        left_out |= {"grid"} if self.grid == GridConfig() else set()
        left_out |= {"window_s"} if self.window_s is None else set()
        told = {**self.to_dict(), "grid": self.grid.facts()}
        return {key: value for key, value in told.items() if key not in left_out}

    def options_digest(self) -> str:
        """Return the digest that `read_store` knows the options by."""
        return digest_json(self.options())


def prepare(
    runs: Sequence[Run],
    store: Path,
    config: PrepareConfig | None = None,
    *,
    n_jobs: int | None = 1,
    backend: str | None = None,
    progress: bool | Console = False,
) -> list[Path]:
    """Prepare runs into a store and return their folders, in the order of `runs`.

    A run that is there already, made with the same options from the same sources, is left as it
    is; so a call that was killed is finished by the next. A run that fails leaves nothing behind
    and does not stop the others.

    Parameters
    ----------
    runs
        From `find_runs` or `Run.single`.
    store
        Folder, made if missing.
    config
        Options.
    n_jobs, backend
        As joblib takes them; None leaves it to `joblib.parallel_config`.
    progress
        Show a bar (on the given console).

    Raises
    ------
    DataError, OutputError
        Naming the first run that could not be prepared.
    """
    config = config or PrepareConfig()
    plans = plan_runs(runs, store, config)
    is_new = not Path(store).exists()
    # The pool first: a wrong backend must leave no store behind.
    with workers(n_jobs, backend) as pool:
        open_store(store)
        there = [is_current(plan.folder, plan.sources) for plan in plans]
        todo = [plan for plan, done in zip(plans, there, strict=True) if not done]
        for plan, done in zip(plans, there, strict=True):
            if done:
                note_paths(plan.folder, plan.sources)
        made = _shown(_made(todo, pool), len(todo), progress)
        faults = [done for done in made if isinstance(done, BrainreelError)]
    if is_new and len(faults) == len(plans):
        shutil.rmtree(store)  # nothing came of it
        raise _joined(faults, len(plans))
    whole = {plan.run.label: plan.folder for plan in plans if plan.folder.is_dir()}
    update_index(Path(store), whole)
    if faults:
        raise _joined(faults, len(plans))
    return [plan.folder for plan in plans]


def plan_runs(runs: Sequence[Run], store: Path, config: PrepareConfig) -> list[RunPlan]:
    """Decide masks, names and sources of all runs; every header is checked before any work.

    Raises
    ------
    DataError
        If there is no run, two have one label, or a header or mask is not what it should be.
    """
    if not runs:
        raise DataError("prepare: no runs were given.")
    labels = [run.label for run in runs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise DataError(f"prepare: the run {twice[0]} was given twice.")
    images = [_image(run, config) for run in runs]
    masks = masks_of_runs(runs, images, config.mask, config.mask_over)
    kept = _kept_voxels(runs, images, masks, config.rois)
    return [
        _plan(run, image, voxels, Path(store), config)
        for run, image, voxels in zip(runs, images, kept, strict=True)
    ]


class _Voxels(NamedTuple):
    """The voxels of a run, their digest, and the regions that they lie in."""

    mask: VoxelMask
    digest: str
    regions: Regions


def _kept_voxels(
    runs: Sequence[Run], images: Sequence[BoldImage], masks: Sequence[VoxelMask], rois: RoiConfig
) -> list[_Voxels]:
    """Narrow each run's mask to its regions, once for all runs that share both."""
    known: dict[tuple[int, str], _Voxels] = {}
    found = []
    for run, image, mask in zip(runs, images, masks, strict=True):
        key = id(mask), run.subject if rois.of_person else ""
        if key not in known:
            narrow, regions = keep_rois(mask, rois, run.subject, image.placement)
            known[key] = _Voxels(narrow, mask_digest(narrow), regions)
        found.append(known[key])
    return found


def _image(run: Run, config: PrepareConfig) -> BoldImage:
    if config.tr_s is not None:
        image = open_bold_image(run.bold, tr_s=config.tr_s, trust_tr=True)
    else:
        image = open_bold_image(run.bold, tr_s=run.tr_s)
    return placed(image, config.grid)


def _plan(
    run: Run, image: BoldImage, voxels: _Voxels, store: Path, config: PrepareConfig
) -> RunPlan:
    n_dummy = run.n_dummy if config.n_dummy is None else config.n_dummy
    if image.n_volumes - n_dummy < 2:
        told = f"a run of {image.n_volumes} volume is too short. Give the whole BOLD series"
        if n_dummy:
            told = (
                f"{image.n_volumes} volumes less {n_dummy} dummies leave too few. Give a smaller "
                "n_dummy"
            )
        raise DataError(f"{run.bold}: {told}.")
    facts = {
        "format": FORMAT,
        "options": config.options_digest(),
        "mask": voxels.digest,
        "clock": [str(image.tr_s), str(run.film_start_s), n_dummy, str(run.slice_time_s)],
        "film": run.film.name if run.film else "",
    }
    if voxels.regions:
        facts["regions"] = regions_digest(voxels.regions)
    roles = {"bold": run.bold, "film": run.film, "events": run.events}
    if config.clean.confounds:
        roles["confounds"] = run.confounds
    plan = RunPlan(
        run=run,
        folder=store / f"{run.label}_{digest_json(facts)[:8]}",
        mask=voxels.mask,
        mask_digest=voxels.digest,
        tr_s=image.tr_s,
        n_dummy=n_dummy,
        n_volumes=image.n_volumes,
        clean=config.clean,
        nonfinite=config.nonfinite,
        sources={role: path for role, path in roles.items() if path is not None},
        config=config.to_dict(),
        config_digest=config.options_digest(),
        placement=image.placement,
        window_s=None if config.window_s is None else exact(config.window_s),
        regions=voxels.regions,
    )
    _ = plan.grid  # windows that do not fit the run are told before any work
    return plan


def _made(todo: list[RunPlan], pool: joblib.Parallel) -> Iterator[str | BrainreelError]:
    """Make the runs, yielding the label or the fault of each."""
    if todo:
        yield from pool(joblib.delayed(try_to_make)(plan) for plan in todo)


def _shown(
    done: Iterator[str | BrainreelError], n_runs: int, progress: bool | Console
) -> Iterator[str | BrainreelError]:
    if not progress or not n_runs:
        yield from done
        return
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeRemainingColumn(),
        console=progress if isinstance(progress, Console) else None,
    )
    with bar:
        task = bar.add_task("prepare", total=n_runs)
        for item in done:
            bar.update(task, advance=1, description=f"prepare {item}" if _is_label(item) else None)
            yield item


def _is_label(item: str | BrainreelError) -> bool:
    return isinstance(item, str)


def _joined(faults: list[BrainreelError], n_runs: int) -> BrainreelError:
    if len(faults) == 1:
        return faults[0]
    first = faults[0]
    return type(first)(f"{len(faults)} of {n_runs} runs could not be prepared; the first: {first}")
