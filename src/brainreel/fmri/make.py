"""Make one prepared run: stream, mask, smooth, clean, take moments, and write it whole or not."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainreel.errors import BrainreelError, DataError
from brainreel.files import write_aside, write_json
from brainreel.fmri.bids import Run
from brainreel.fmri.bold import Float32, VoxelMask
from brainreel.fmri.columns import change_columns, write_rows
from brainreel.fmri.confounds import read_confounds
from brainreel.fmri.images import save_volume
from brainreel.fmri.normalize import CleanConfig, Moments, make_cleaner
from brainreel.fmri.placement import Placement
from brainreel.fmri.rois import Regions, save_regions
from brainreel.fmri.sources import MANIFEST, describe_source
from brainreel.fmri.store import BOLD, CONFOUNDS, FORMAT, MASK, MOMENTS, REGIONS
from brainreel.fmri.volumes import read_volumes
from brainreel.fmri.window_means import average_windows, windowed
from brainreel.timebase import TrGrid

_FLOAT32_STEP = 1e-6  # a spread below this share of the signal is rounding, not signal
Cleaner = Callable[[NDArray[np.floating]], NDArray[np.float64]]
_VERSIONS_OF = ("brainreel", "nibabel", "nilearn", "numpy", "scipy")


@dataclass(frozen=True, eq=False)
class RunPlan:
    """All that one job needs to prepare one run; nothing of it is decided later.

    Attributes
    ----------
    run
        The files.
    folder
        Where the result goes.
    mask
        Voxels to keep.
    mask_digest
        Digest of them.
    tr_s, n_dummy, n_volumes
        TR in seconds, volumes to drop from the head, volumes in the file.
    clean
        What to remove.
    nonfinite
        `"refuse"` voxels with NaN or infinite values, or set them to `"zero"`.
    sources
        Role -> file that the result depends on.
    config
        The options, as the manifest keeps them.
    config_digest
        Digest of the options.
    placement
        How volumes come to another grid, or None.
    window_s
        Seconds that cleaned volumes are averaged over, or None.
    regions
        Name -> (V,) boolean, the regions that the mask was narrowed to, if it was.
    """

    run: Run
    folder: Path
    mask: VoxelMask
    mask_digest: str
    tr_s: Fraction
    n_dummy: int
    n_volumes: int
    clean: CleanConfig
    nonfinite: Literal["refuse", "zero"]
    sources: dict[str, Path]
    config: dict[str, Any]
    config_digest: str
    placement: Placement | None = None
    window_s: Fraction | None = None
    regions: Regions = field(default_factory=dict)

    @property
    def n_trs(self) -> int:
        """Volumes kept."""
        return self.n_volumes - self.n_dummy

    @property
    def grid(self) -> TrGrid:
        """The kept TRs on the film's clock: volumes, or windows of them."""
        if self.window_s is None:
            return self.volumes
        return windowed(self.volumes, self.window_s, where=self.run.label)

    @property
    def volumes(self) -> TrGrid:
        """The kept volumes on the film's clock."""
        return TrGrid.of_scan(
            self.tr_s,
            self.n_trs,
            film_start_s=self.run.film_start_s,
            n_dummy=self.n_dummy,
            slice_time_s=self.run.slice_time_s,
        )


def make_run(plan: RunPlan) -> Path:
    """Prepare one run into `plan.folder`, whole or not at all.

    Raises
    ------
    DataError
        Naming the run and what is wrong with its files.
    OutputError
        If the disk is full or the folder cannot be written.
    """
    remove_leftovers(plan.folder)
    table = used_confounds(plan)
    confounds = table.to_numpy(np.float64) if table.shape[1] else None
    cleaner = make_cleaner(plan.n_trs, plan.tr_s, plan.clean, confounds, where=plan.run.label)
    with write_aside(plan.folder) as aside, ThreadPoolExecutor(max_workers=1) as worker:
        aside.mkdir()
        digests = worker.submit(_describe, plan.sources)  # hashing beside reading
        broken = _stream(plan, aside / BOLD)
        kept = _clean_in_place(plan, aside / BOLD, cleaner, broken)
        if plan.window_s is not None:
            kept = _averaged(plan, aside / BOLD, kept)
        save_volume(aside / MASK, np.ones(plan.mask.n_voxels, np.float32), plan.mask)
        np.savez(
            aside / MOMENTS,
            mean=kept.mean,
            std=kept.std,
            raw_mean=kept.raw_mean,
            least=kept.least.min(),
        )
        if plan.regions:
            save_regions(aside / REGIONS, plan.regions)
        if table.shape[1]:
            np.save(aside / CONFOUNDS, table.to_numpy(np.float64))
        facts = _manifest(plan, kept, digests.result(), list(table.columns), int(broken.sum()))
        write_json(aside / MANIFEST, facts)
        if plan.folder.exists():  # made from sources that have changed since
            shutil.rmtree(plan.folder)
    return plan.folder


def try_to_make(plan: RunPlan) -> str | BrainreelError:
    """Prepare one run; hand back its label, or the error, so that other runs go on."""
    try:
        make_run(plan)
    except BrainreelError as problem:
        return problem
    return plan.run.label


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left beside `folder`."""
    for left in folder.parent.glob(f".????????.{folder.name}"):
        shutil.rmtree(left, ignore_errors=True)


def used_confounds(plan: RunPlan) -> pd.DataFrame:
    """Return the (T, K) confounds of the kept volumes."""
    wanted, path = plan.clean.confounds, plan.run.confounds
    if not wanted:
        return pd.DataFrame(index=range(plan.n_trs))
    if path is None:
        raise DataError(
            f"{plan.run.label}: no table of confounds, and {', '.join(wanted)} should be removed. "
            "Give one, or set clean.confounds to []."
        )
    table = read_confounds(path, wanted)
    if len(table) != plan.n_volumes:
        raise DataError(
            f"{path}: {len(table)} rows, the run has {plan.n_volumes} volumes. Give the table of "
            "this run."
        )
    return table.iloc[plan.n_dummy :].reset_index(drop=True)


def _describe(sources: dict[str, Path]) -> dict[str, dict[str, Any]]:
    return {role: describe_source(path) for role, path in sources.items()}


def _stream(plan: RunPlan, path: Path) -> NDArray[np.bool_]:
    """Write the masked volumes to `path`; return which voxels (V,) were ever not finite."""
    finite = np.ones(plan.mask.n_voxels, bool)

    def blocks() -> Iterator[Float32]:
        how: dict[str, Any] = {"smoothing_mm": plan.clean.smoothing_mm, "placement": plan.placement}
        for start, block in read_volumes(plan.run.bold, plan.mask, **how):
            kept = block[max(0, plan.n_dummy - start) :]
            np.logical_and(finite, np.isfinite(kept).all(axis=0), out=finite)
            yield kept

    write_rows(path, blocks(), plan.n_trs, plan.mask.n_voxels)
    broken = ~finite
    if broken.any() and plan.nonfinite == "refuse":
        where = np.argwhere(plan.mask.inside)[np.flatnonzero(broken)[0]]
        raise DataError(
            f"{plan.run.bold}: {int(broken.sum())} voxels in the mask hold NaN or infinite values, "
            f"the first at {tuple(map(int, where))}. Mend them, narrow the mask, or set "
            "nonfinite: zero."
        )
    return broken


@dataclass(frozen=True, eq=False)
class _Kept:
    """Moments of the cleaned columns, (V,) each; their mean before, and their least value on it."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    raw_mean: Float32
    least: Float32


def _clean_in_place(
    plan: RunPlan, path: Path, cleaner: Cleaner, broken: NDArray[np.bool_]
) -> _Kept:
    n_voxels = plan.mask.n_voxels
    kept = _Kept(*np.zeros((2, n_voxels)), *np.zeros((2, n_voxels), np.float32))

    def change(columns: slice, raw: Float32) -> Float32:
        raw[:, broken[columns]] = 0.0
        result = cleaner(raw).astype(np.float32)
        low, high = raw.min(axis=0), raw.max(axis=0)
        std = result.std(axis=0, dtype=np.float64)
        # What is left of a constant voxel is rounding, and must not be scaled up later.
        still = (low == high) | (std <= np.maximum(np.abs(low), np.abs(high)) * _FLOAT32_STEP)
        result[:, still] = 0.0
        kept.std[columns] = np.where(still, 0.0, std)
        kept.mean[columns] = result.mean(axis=0, dtype=np.float64)
        kept.raw_mean[columns] = raw.mean(axis=0, dtype=np.float64)
        level = kept.raw_mean[columns] - kept.mean[columns]
        kept.least[columns] = result.min(axis=0) + level
        return result

    change_columns(path, plan.n_trs, n_voxels, change)
    return kept


def _averaged(plan: RunPlan, path: Path, kept: _Kept) -> _Kept:
    """Replace cleaned volumes by their means over windows; return the moments of those."""
    means = average_windows(np.load(path, mmap_mode="r"), plan.volumes, plan.grid)
    np.save(path, means)
    moments = Moments.of([means])
    level = kept.raw_mean - kept.mean
    raw_mean = (level + moments.mean).astype(np.float32)
    least = (level + means.min(axis=0)).astype(np.float32)
    return _Kept(moments.mean, moments.std, raw_mean, least)


def _manifest(
    plan: RunPlan,
    kept: _Kept,
    sources: dict[str, dict[str, Any]],
    confounds: list[str],
    n_nonfinite: int,
) -> dict[str, Any]:
    run, grid = plan.run, plan.grid
    moments = Moments(grid.n_trs, kept.mean, kept.std)
    windows = {"tr_s": str(plan.tr_s), "n_trs": plan.n_trs}
    return {
        "format": FORMAT,
        "label": run.label,
        "subject": run.subject,
        "session": run.session,
        "task": run.task,
        "run": run.run,
        "key": run.key,
        "space": run.space,
        "grid": {"tr_s": str(grid.tr_s), "n_trs": grid.n_trs, "first_s": str(grid.first_s)},
        "averaged_volumes": None if plan.window_s is None else windows,
        "film_start_s": str(run.film_start_s),
        "slice_time_s": str(run.slice_time_s),
        "n_dummy": plan.n_dummy,
        "n_voxels": plan.mask.n_voxels,
        "n_constant": int((kept.std == 0).sum()),
        "n_nonfinite": n_nonfinite,
        "regions": {name: int(members.sum()) for name, members in plan.regions.items()},
        "moments": {"global_mean": moments.global_mean, "global_std": moments.global_std},
        "confounds": confounds,
        "config": plan.config,
        "config_digest": plan.config_digest,
        "mask_digest": plan.mask_digest,
        "sources": sources,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _VERSIONS_OF},
        },
    }
