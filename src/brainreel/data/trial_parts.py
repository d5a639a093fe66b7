"""Where single-trial voxel vectors come from: windows after events of a run, or images of betas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from brainreel.errors import AlignmentError, ConfigError, DataError
from brainreel.files import digest_file
from brainreel.fmri.betas import BetaImage, read_betas
from brainreel.fmri.bids import Run
from brainreel.fmri.bold import Float32, VoxelMask
from brainreel.fmri.images import check_same_grid, load_mask
from brainreel.fmri.make import RunPlan
from brainreel.fmri.prepare import PrepareConfig, plan_runs
from brainreel.fmri.roi_masks import keep_rois
from brainreel.fmri.rois import Regions
from brainreel.fmri.store import PreparedRun, read_run
from brainreel.fmri.trial_tables import TrialRow, is_trial, read_trials
from brainreel.fmri.window_means import means_over, n_shared, trial_volumes


@dataclass(frozen=True, eq=False)
class TrialPart(ABC):
    """The trials of one run or image.

    Attributes
    ----------
    subject, label
        Who (`"01"`), and what errors call it.
    table
        Where the trials stand.
    rows
        The trials, in the order of their vectors.
    mask, regions
        The columns, and what they are members of.
    n_left_out
        Trials whose window is not in the scan.
    """

    subject: str
    label: str
    table: Path
    rows: tuple[TrialRow, ...]
    mask: VoxelMask
    regions: Regions
    n_left_out: int

    @property
    def runs(self) -> list[str]:
        """The run of each trial."""
        return [f"{self.label}_run-{row.run}" if row.run else self.label for row in self.rows]

    @property
    def n_sharing(self) -> int:
        """Trials that share a volume with the one before them."""
        return 0

    @abstractmethod
    def vectors(self) -> Float32:
        """Read (B, V) voxel vectors."""

    @abstractmethod
    def sources(self) -> dict[str, str]:
        """Return the digests of the files, by what they are."""


@dataclass(frozen=True, eq=False)
class EventPart(TrialPart):
    """Means of a prepared run over windows after the onset of events.

    Attributes
    ----------
    plan
        The run.
    windows
        Volumes of each trial.
    units
        Percent of each voxel's mean over the run, or the scanner's.
    """

    plan: RunPlan
    windows: tuple[range, ...]
    units: Literal["percent", "scanner"]

    @property
    def n_sharing(self) -> int:
        """Trials that share a volume with the one before them."""
        return n_shared(self.windows)

    def vectors(self) -> Float32:
        """Read (B, V) means over the windows.

        100 (mean over the window of x - m) / m in percent, m the mean over the run before cleaning.
        """
        run = read_run(self.plan.folder)
        means = means_over(run.bold().data, self.windows)
        return means if self.units == "scanner" else _percent(run, means)

    def sources(self) -> dict[str, str]:
        """Return the digests of BOLD and events."""
        kept = read_run(self.plan.folder).manifest["sources"]
        return {f"{self.label} {role}": source["sha256"] for role, source in kept.items()}


@dataclass(frozen=True, eq=False)
class BetaPart(TrialPart):
    """Betas of trials as they stand in an image.

    Attributes
    ----------
    image
        One volume a row of the table.
    nonfinite
        What to do with voxels that have no betas.
    """

    image: BetaImage
    nonfinite: Literal["refuse", "zero"]

    def vectors(self) -> Float32:
        """Read (B, V) betas."""
        values, _ = read_betas(self.image.image, self.mask, self.nonfinite)
        return values[[row.row - 1 for row in self.rows]]

    def sources(self) -> dict[str, str]:
        """Return the digests of image and table."""
        path = self.image.image.path
        return {path.name: digest_file(path), self.table.name: digest_file(self.table)}


def _percent(run: PreparedRun, means: Float32) -> Float32:
    moments, raw_mean = run.moments, run.raw_mean
    changing = moments.std > 0
    low = changing & (raw_mean <= 0)
    if low.any():
        raise DataError(
            f"{run.label}: {int(low.sum())} voxels have no positive mean, so their change in "
            "percent has no meaning. Narrow the mask, or set trials.units=scanner."
        )
    scale = np.where(changing, 100.0 / np.where(changing, raw_mean, 1.0), 0.0)
    return ((means - moments.mean) * scale).astype(np.float32)


def parts_of_events(runs: Sequence[Run], store: Path, config: PrepareConfig) -> list[EventPart]:
    """Plan the trials of runs; headers, masks and tables are checked, no voxel is read.

    Raises
    ------
    DataError, AlignmentError
        If a run has no table of events or no trial in it, runs of a person differ in voxels, or
        trials are not wholly in the scan.
    """
    if config.window_s is not None:
        raise ConfigError(
            "window_s averages whole runs; trials have from_s and to_s. Leave it out."
        )
    return [_event_part(plan, config) for plan in plan_runs(runs, store, config)]


def _event_part(plan: RunPlan, config: PrepareConfig) -> EventPart:
    run, told = plan.run, config.trials
    choose = "Choose runs with trials by --task."
    if run.events is None:
        raise DataError(f"{run.label}: no table of events. {choose}")
    rows = read_trials(run.events, told, onsets=True)
    if not rows:
        raise DataError(f"{run.events}: no row is a trial with a picture. {choose}")
    onsets = [(row.onset_s or 0) - run.film_start_s for row in rows]
    window = (told.from_s, told.to_s)
    windows = trial_volumes(plan.grid, onsets, window, where=run.label)
    lost = [row for row, found in zip(rows, windows, strict=True) if found is None]
    if lost and told.outside == "refuse":
        first = float(lost[0].onset_s or 0)
        scanned = float(plan.n_volumes * plan.tr_s)
        raise AlignmentError(
            f"{run.label}: the window of {len(lost)} of {len(rows)} trials is not in the scan of "
            f"{scanned:g} s, the first of a trial at {first:g} s (row {lost[0].row} of "
            f"{run.events.name}). Shorten trials.to_s, or set trials.outside=drop."
        )
    pairs = [(row, w) for row, w in zip(rows, windows, strict=True) if w is not None]
    if not pairs:
        raise AlignmentError(f"{run.label}: none of its trials lies in the scan. Check the onsets.")
    return EventPart(
        subject=run.subject,
        label=run.key,
        table=run.events,
        rows=tuple(row for row, _ in pairs),
        mask=plan.mask,
        regions=plan.regions,
        n_left_out=len(lost),
        plan=plan,
        windows=tuple(w for _, w in pairs),
        units=told.units,
    )


_OF_BETAS = ("mask", "rois", "nonfinite", "trials")


def parts_of_betas(betas: Sequence[BetaImage], config: PrepareConfig) -> list[BetaPart]:
    """Plan the trials of betas; headers, masks and tables are checked, no voxel is read.

    Raises
    ------
    ConfigError
        If there is neither mask nor region, or an option that says nothing about betas.
    DataError
        If an image and its table differ in length or a mask lies on another grid.
    """
    default = PrepareConfig()
    for name in type(config).model_fields:
        if name not in _OF_BETAS and getattr(config, name) != getattr(default, name):
            raise ConfigError(f"{name} says nothing about betas. Leave it out.")
    if config.mask is None and not config.rois.given:
        raise ConfigError("betas need a mask or regions. Give --rois, or mask=IMAGE.")
    return [_beta_part(found, config) for found in betas]


def _beta_part(found: BetaImage, config: PrepareConfig) -> BetaPart:
    image = found.image
    if config.mask is None:
        mask = VoxelMask(np.ones(image.grid, bool), image.affine, found.space)
    else:
        mask = load_mask(config.mask, space=found.space)
        check_same_grid(mask, image, mask_name=f"the mask {config.mask.name}")
    mask, regions = keep_rois(mask, config.rois, found.subject)
    rows = read_trials(found.table, config.trials, onsets=False)
    if len(rows) != image.n_volumes:
        raise DataError(
            f"{image.path}: {image.n_volumes} volumes, and {found.table.name} has {len(rows)} "
            "rows. Give a table with one row a volume, in their order."
        )
    kept = tuple(row for row in rows if is_trial(row, config.trials))
    if not kept:
        raise DataError(f"{found.table}: no row is a trial with a picture.")
    return BetaPart(
        subject=found.subject,
        label=found.label,
        table=found.table,
        rows=kept,
        mask=mask,
        regions=regions,
        n_left_out=0,
        image=found,
        nonfinite=config.nonfinite,
    )
