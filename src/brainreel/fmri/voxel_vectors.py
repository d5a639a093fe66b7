"""A person's voxel vectors on disk, with the mask and regions that tell where columns lie."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import read_json, write_aside, write_json
from brainreel.fmri.bold import Float32, VoxelMask
from brainreel.fmri.images import load_mask, save_volume
from brainreel.fmri.rois import Regions
from brainreel.fmri.sources import MANIFEST


@dataclass(frozen=True, eq=False)
class VoxelVectors:
    """One voxel vector a trial.

    Attributes
    ----------
    voxels
        (B, V) float32; columns are the voxels of `mask` in C order of its grid (x slowest).
    mask
        Where they lie.
    regions
        Name -> (V,) boolean, what each column is a member of; empty without any.
    run
        (B,) place of each trial's run in `runs`.
    runs
        Names of the runs.
    """

    voxels: Float32
    mask: VoxelMask
    regions: Regions
    run: NDArray[np.int64]
    runs: tuple[str, ...]


def vectors_folder(out: Path, subject: str) -> Path:
    """Return the folder of a person's vectors: `OUT/trials/sub-01`."""
    return Path(out) / "trials" / f"sub-{subject}"


def vectors_file(folder: Path) -> Path:
    """Return the file of vectors in a person's folder: `sub-01_trials.npz`."""
    return Path(folder) / f"{Path(folder).name}_trials.npz"


def _mask_file(folder: Path) -> Path:
    return Path(folder) / f"{Path(folder).name}_mask.nii.gz"


def mask_beside(vectors: Path) -> Path | None:
    """Return the mask of the voxels of `sub-01_trials.npz`, if `prepare` wrote one beside it."""
    mask = _mask_file(Path(vectors).parent)
    return mask if mask.is_file() and vectors_file(mask.parent).name == Path(vectors).name else None


def write_vectors(
    folder: Path,
    vectors: VoxelVectors,
    arrays: Mapping[str, NDArray[Any]],
    facts: Mapping[str, Any],
) -> Path:
    """Write vectors, mask and manifest of a person, whole or not at all; return the .npz.

    The .npz holds `voxels` (B, V), `runs` (B,) and `run_names`, `regions` (R, V) boolean and
    `region_names` (R,), `voxel_indices` (V, 3) of the grid, and `arrays`.

    Parameters
    ----------
    folder
        From `vectors_folder`; what was there is replaced.
    vectors
        Voxels, and where they lie.
    arrays
        More arrays of the trials: pictures, labels, ...
    facts
        What the manifest tells beside numbers of trials and voxels.
    """
    n_regions, n_voxels = len(vectors.regions), vectors.mask.n_voxels
    members = np.array([*vectors.regions.values()], bool).reshape(n_regions, n_voxels)
    content: dict[str, NDArray[Any]] = {
        "voxels": vectors.voxels,
        "runs": vectors.run,
        "run_names": np.array(vectors.runs, dtype=str),
        "regions": members,
        "region_names": np.array(list(vectors.regions), dtype=str),
        "voxel_indices": np.argwhere(vectors.mask.inside),
        **arrays,
    }
    with write_aside(folder) as aside:
        aside.mkdir()
        np.savez(aside / vectors_file(folder).name, **content)  # type: ignore[arg-type]
        inside = np.ones(n_voxels, np.float32)
        save_volume(aside / _mask_file(folder).name, inside, vectors.mask)
        write_json(
            aside / MANIFEST,
            {
                "n_trials": len(vectors.voxels),
                "n_voxels": n_voxels,
                "n_constant": int((vectors.voxels.min(0) == vectors.voxels.max(0)).sum()),
                "regions": {name: int(inside.sum()) for name, inside in vectors.regions.items()},
                "space": vectors.mask.space,
                **facts,
            },
        )
        if Path(folder).exists():
            shutil.rmtree(folder)
    return vectors_file(folder)


def save_map(folder: Path, values: NDArray[Any], out: Path) -> Path:
    """Write one number per voxel of a person as a NIfTI in the space of the scans.

    Parameters
    ----------
    folder
        A person's folder that `brainreel prepare --trials` made, or a prepared run's folder.
    values
        (V,), or (K, V) for K volumes, in the order of the columns; text and NaN are refused.
    out
        The image to write, .nii or .nii.gz; 0 outside the voxels.

    Raises
    ------
    DataError
        If there is no mask, or not one number for each voxel.
    """
    folder = Path(folder)
    own = [path for path in (_mask_file(folder), folder / "mask.nii.gz") if path.is_file()]
    if not own:
        raise DataError(f"{folder}: no mask of voxels here. Give a folder that prepare made.")
    values = np.asarray(values)
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise DataError("a map holds finite numbers alone; set voxels without one to 0.")
    space = read_json(folder / MANIFEST).get("space", "")
    return save_volume(Path(out), values.astype(np.float32), load_mask(own[0], space=space))
