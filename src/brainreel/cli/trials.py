"""`prepare --trials`: one voxel vector a trial, from runs with events or from betas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brainreel.cli.console import console, say
from brainreel.data.trial_parts import TrialPart, parts_of_betas, parts_of_events
from brainreel.data.voxel_trials import TrialPlan, make_trials, plan_trials, read_items, told_of
from brainreel.errors import DataError
from brainreel.files import read_json
from brainreel.fmri.betas import BetaImage
from brainreel.fmri.bids import Run
from brainreel.fmri.prepare import PrepareConfig, prepare
from brainreel.fmri.roi_masks import counts_of
from brainreel.fmri.sources import MANIFEST
from brainreel.fmri.voxel_vectors import vectors_file, vectors_folder


def trials_of_events(
    runs: Sequence[Run],
    folders: Sequence[Path],
    out: Path,
    config: PrepareConfig,
    n_jobs: int,
    backend: str | None,
    dry_run: bool,
) -> None:
    """Prepare runs, and write the vectors of their trials; or list what would be written."""
    parts = parts_of_events(runs, out, config)
    plan = plan_trials(parts, folders, config, out)
    _warn(parts)
    if dry_run:
        _list(plan, out)
        return
    pictures = read_items(plan, config)
    prepare(runs, out, config, n_jobs=n_jobs, backend=backend, progress=console)
    _told(plan, make_trials(plan, pictures, out, config))


def trials_of_betas(
    betas: Sequence[BetaImage],
    folders: Sequence[Path],
    out: Path,
    config: PrepareConfig,
    dry_run: bool,
) -> None:
    """Write the vectors of betas, or list what would be written."""
    plan = plan_trials(parts_of_betas(betas, config), folders, config, out)
    if dry_run:
        _list(plan, out)
        return
    pictures = read_items(plan, config)
    _told(plan, make_trials(plan, pictures, out, config))


def picture_folders(source: Path, given: Path | None) -> list[Path]:
    """Return where pictures are sought: in the folder given, else in the study's `stimuli`.

    Raises
    ------
    DataError
        If the folder that was given is not there.
    """
    if given is not None:
        if not given.is_dir():
            raise DataError(f"{given}: no such folder of pictures.")
        return [given]
    top = source if source.is_dir() else source.parent
    # Of fMRIPrep's folder the study lies two floors above, derivatives/fmriprep.
    places = [folder / "stimuli" for folder in (top, *list(top.resolve().parents)[:2])]
    return [place for place in places if place.is_dir()][:1] or [top]


def _warn(parts: Sequence[TrialPart]) -> None:
    shared = sum(part.n_sharing for part in parts)
    if shared:
        say(
            f"Note: the windows of {shared} trials share volumes with those before them, so test "
            "by run (data.splits.0.name=by_run), or shorten trials.to_s."
        )


def _list(plan: TrialPlan, out: Path) -> None:
    for subject in plan.people:
        say(f"sub-{subject}: {vectors_file(vectors_folder(out, subject))}")
        say(f"  {told_of(plan, subject)}, {_voxels(plan, subject)}")


def _told(plan: TrialPlan, files: dict[str, Path]) -> None:
    for subject, path in files.items():
        n_constant = read_json(path.with_name(MANIFEST))["n_constant"]
        still = f", {n_constant} of them the same in all trials" if n_constant else ""
        say(f"sub-{subject}: {told_of(plan, subject)}, {_voxels(plan, subject)}{still}")
        say(f"  {path}")


def _voxels(plan: TrialPlan, subject: str) -> str:
    part = plan.people[subject][0]
    regions = f" ({counts_of(part.regions)})" if part.regions else ""
    return f"{part.mask.n_voxels} voxels{regions}"
