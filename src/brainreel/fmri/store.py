"""The store of prepared runs: one folder a run, named by what it was made with, and an index."""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainreel.errors import DataError, did_you_mean
from brainreel.files import new_folder, read_json, write_json
from brainreel.fmri.bold import Bold, Float32, VoxelMask
from brainreel.fmri.images import load_mask
from brainreel.fmri.normalize import CleanConfig, Moments, clean
from brainreel.fmri.rois import Regions, read_regions
from brainreel.fmri.sources import MANIFEST
from brainreel.fmri.window_means import average_windows
from brainreel.timebase import TrGrid

FORMAT = 1  # raised when the files of a prepared run change their meaning
BOLD, MASK = "bold.npy", "mask.nii.gz"
MOMENTS, CONFOUNDS, REGIONS = "moments.npz", "confounds.npy", "regions.npz"
_INDEX = "index.json"
_AGAIN = "Delete its folder and prepare again."


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """One prepared run on disk; its arrays are read when asked for.

    Attributes
    ----------
    folder
        Holds `bold.npy`, `manifest.json`, `mask.nii.gz`, `moments.npz` and `confounds.npy`.
    manifest
        What it was made from and with.
    masks
        Masks that were read, by digest, shared by the runs of one reading.
    """

    folder: Path
    manifest: Mapping[str, Any]
    masks: dict[str, VoxelMask] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name as errors and files use it: `"sub-01_task-film_run-1"`."""
        return str(self.manifest["label"])

    @property
    def subject(self) -> str:
        """Who: `"sub-01"`."""
        return f"sub-{self.manifest['subject']}"

    @property
    def key(self) -> str:
        """Session, task and run, the same for all people."""
        return str(self.manifest["key"])

    @property
    def task(self) -> str:
        """Value of the task entity."""
        return str(self.manifest["task"])

    @property
    def film(self) -> Path | None:
        """The film that was shown, or None."""
        source = self.manifest["sources"].get("film")
        return Path(source["path"]) if source else None

    @property
    def events(self) -> Path | None:
        """The table of events, or None."""
        source = self.manifest["sources"].get("events")
        return Path(source["path"]) if source else None

    @property
    def grid(self) -> TrGrid:
        """The kept TRs on the film's clock."""
        facts = self.manifest["grid"]
        return TrGrid(Fraction(facts["tr_s"]), int(facts["n_trs"]), Fraction(facts["first_s"]))

    @property
    def n_dummy(self) -> int:
        """Volumes dropped from the head of the file."""
        return int(self.manifest["n_dummy"])

    @property
    def n_voxels(self) -> int:
        """Columns of the data."""
        return int(self.manifest["n_voxels"])

    @property
    def n_constant(self) -> int:
        """Voxels without variance, which are 0 throughout."""
        return int(self.manifest["n_constant"])

    @property
    def config_digest(self) -> str:
        """Digest of the options it was made with."""
        return str(self.manifest["config_digest"])

    @property
    def clean_config(self) -> CleanConfig:
        """What was taken out of the data."""
        return CleanConfig.parse(self.manifest["config"]["clean"], where=str(self.folder))

    @property
    def confounds_used(self) -> pd.DataFrame:
        """(T, K) confounds that were regressed out of T volumes; K = 0 without."""
        names = self.manifest["confounds"]
        if not names:
            return pd.DataFrame(index=range(self._volumes.n_trs))
        values = np.load(self.folder / CONFOUNDS, allow_pickle=False)
        return pd.DataFrame(values, columns=names)

    @property
    def _volumes(self) -> TrGrid:
        """The volumes that were cleaned: the TRs, unless windows of them were averaged."""
        facts = self.manifest.get("averaged_volumes")
        if facts is None:
            return self.grid
        return TrGrid(Fraction(facts["tr_s"]), int(facts["n_trs"]), self.grid.first_s)

    @property
    def regions(self) -> Regions:
        """Name -> (V,) boolean, the regions that columns lie in; empty without any."""
        return read_regions(self.folder / REGIONS) if self.manifest.get("regions") else {}

    @property
    def mask(self) -> VoxelMask:
        """Where the columns lie in the brain; runs of one mask share it."""
        digest = str(self.manifest["mask_digest"])
        file = self.folder / MASK
        if digest not in self.masks or not file.is_file():
            self.masks[digest] = load_mask(file, space=str(self.manifest["space"]))
        return self.masks[digest]

    @property
    def moments(self) -> Moments:
        """Moments of this run alone; merge those of the training runs."""
        with np.load(self.folder / MOMENTS, allow_pickle=False) as kept:
            return Moments(self.grid.n_trs, kept["mean"], kept["std"])

    @property
    def raw_mean(self) -> Float32:
        """(V,) mean over time before cleaning: the person's reference volume."""
        with np.load(self.folder / MOMENTS, allow_pickle=False) as kept:
            mean: Float32 = kept["raw_mean"]
            return mean

    @property
    def level(self) -> Float32:
        """(V,) what cleaning took off each voxel's mean: signal and level make the volume seen."""
        with np.load(self.folder / MOMENTS, allow_pickle=False) as kept:
            level: Float32 = (kept["raw_mean"] - kept["mean"]).astype(np.float32)
            return level

    @property
    def least(self) -> float | None:
        """Least value of signal and level; None where an earlier version did not keep it."""
        with np.load(self.folder / MOMENTS, allow_pickle=False) as kept:
            return float(kept["least"]) if "least" in kept else None

    def bold(self) -> Bold:
        """Return the cleaned signal, (T, V) float32, memory-mapped and read-only."""
        path = self.folder / BOLD
        try:
            data = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as problem:
            raise DataError(f"{path}: missing or broken. {_AGAIN}") from problem
        if data.shape != (self.grid.n_trs, self.n_voxels):
            raise DataError(
                f"{path}: holds {data.shape}, not {self.grid.n_trs} TRs of {self.n_voxels} voxels. "
                f"{_AGAIN}"
            )
        return Bold(data, self.grid, self.mask)

    def clean(self, data: NDArray[np.floating]) -> Float32:
        """Clean (T, n) time courses exactly as this run was cleaned (a known truth, say)."""
        table, volumes = self.confounds_used, self._volumes
        confounds = table.to_numpy(np.float64) if table.shape[1] else None
        cleaned = clean(data, volumes.tr_s, self.clean_config, confounds, where=self.label)
        if volumes == self.grid:
            return cleaned
        return average_windows(cleaned, volumes, self.grid)


def open_store(store: Path) -> Path:
    """Make a store, or open one; refuse a folder that holds something else."""
    store = Path(store)
    if not (store / _INDEX).is_file():
        new_folder(store)
        write_json(store / _INDEX, {"format": FORMAT, "runs": {}})
    return store


def read_run(folder: Path, masks: dict[str, VoxelMask] | None = None) -> PreparedRun:
    """Read one prepared run, and its mask where `masks` has it not yet."""
    manifest = read_json(Path(folder) / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{folder}: not a run of this version. Prepare it again.")
    return PreparedRun(Path(folder), manifest, {} if masks is None else masks)


def read_store(
    store: Path,
    *,
    subjects: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    config_digest: str | None = None,
) -> list[PreparedRun]:
    """Return the runs that were prepared last, sorted by label.

    Parameters
    ----------
    store
        Folder that `prepare` made.
    subjects, tasks
        Which to keep (`"sub-01"` or `"01"`); all by default.
    config_digest
        Take the runs of these options instead (`PrepareConfig.options_digest`, or its beginning).

    Raises
    ------
    DataError
        If there is no store, a run is missing, or runs were prepared with different options.
    """
    store = Path(store)
    if not (store / _INDEX).is_file():
        raise DataError(f"{store}: no prepared runs here. Make them with: brainreel prepare.")
    if config_digest is None:
        folders = [store / name for name in read_json(store / _INDEX)["runs"].values()]
    else:
        folders = [path.parent for path in store.glob(f"[!.]*/{MANIFEST}")]
    masks: dict[str, VoxelMask] = {}
    runs = [read_run(folder, masks) for folder in folders]
    if config_digest is not None:
        runs = [run for run in runs if run.config_digest.startswith(config_digest)]
    runs = _kept(runs, "sub", "subject", subjects, store)
    runs = _kept(runs, "task", "task", tasks, store)
    _check_one_way(store, runs)
    runs = _made_last(store, runs)
    return sorted(runs, key=lambda run: run.label)


def _kept(
    runs: list[PreparedRun],
    entity: str,
    attribute: str,
    wanted: Sequence[str] | None,
    store: Path,
) -> list[PreparedRun]:
    """Keep the runs of some people or tasks, each of which must be there."""
    if wanted is None:
        return runs
    values = {value.removeprefix(f"{entity}-") for value in wanted}
    there = {getattr(run, attribute).removeprefix(f"{entity}-") for run in runs}
    for value in sorted(values - there):
        near = did_you_mean(value, there)
        raise DataError(f"{store}: no prepared run of {entity}-{value}.{near} Change {attribute}s.")
    return [run for run in runs if getattr(run, attribute).removeprefix(f"{entity}-") in values]


def _check_one_way(store: Path, runs: list[PreparedRun]) -> None:
    if not runs:
        raise DataError(f"{store}: no prepared run fits prepared_with. Give another, or none.")
    ways = {run.config_digest: run.label for run in runs}
    if len(ways) > 1:
        one, other = list(ways.values())[:2]
        raise DataError(
            f"{store}: {one} and {other} were prepared with different options. Prepare all runs "
            "with the same."
        )


def _made_last(store: Path, runs: list[PreparedRun]) -> list[PreparedRun]:
    """Keep one folder of a run that was made by several masks or clocks: the one last made."""
    labels = Counter(run.label for run in runs)
    named = set(read_json(store / _INDEX)["runs"].values())
    kept = [run for run in runs if labels[run.label] == 1 or run.folder.name in named]
    lost = sorted(set(labels) - {run.label for run in kept})
    if lost:
        folders = ", ".join(run.folder.name for run in runs if run.label == lost[0])
        raise DataError(
            f"{store}: {lost[0]} was prepared several times with these options, by different "
            f"masks or clocks ({folders}). Prepare it again, or remove the wrong folder."
        )
    return kept


def update_index(store: Path, made: Mapping[str, Path]) -> None:
    """Point the index at the folders of the runs (label -> folder), keeping the others."""
    with _locked(store):
        index = read_json(store / _INDEX)
        runs = {**index["runs"], **{label: folder.name for label, folder in made.items()}}
        if runs != index["runs"]:
            write_json(store / _INDEX, {"format": FORMAT, "runs": dict(sorted(runs.items()))})


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """Let one process at a time change the index; a killed one leaves no lock behind."""
    with (store / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
