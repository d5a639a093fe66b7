"""The mask of every run: given, fMRIPrep's, or found in the data; intersected where asked."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nilearn.masking import compute_epi_mask

from brainreel.errors import DataError
from brainreel.fmri.bids import Run
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.images import BoldImage, check_same_grid, lies_on, load_mask
from brainreel.fmri.volumes import read_volumes

_VOLUMES_FOR_MASK = 20  # their mean shows the brain; reading a whole run for it would cost minutes


def masks_of_runs(
    runs: Sequence[Run],
    images: Sequence[BoldImage],
    given: Path | None,
    over: Literal["run", "subject", "all"],
) -> list[VoxelMask]:
    """Return the mask of each run, one object for all runs that share it.

    Parameters
    ----------
    runs, images
        The runs and their checked headers.
    given
        One mask image for all, or None for each run's own.
    over
        Intersect the masks of nobody else, of the person's runs, or of all runs.

    Raises
    ------
    DataError
        If a mask is empty or on another grid, or masks to be intersected do not overlap.
    """
    if given is not None:
        shared = load_mask(given, space=runs[0].space)
        return [_placed_mask(shared, image, given.name) for image in images]
    own = [_own_mask(run, image) for run, image in zip(runs, images, strict=True)]
    group_of = {"run": lambda run: run.label, "subject": lambda run: run.subject}
    groups = [group_of[over](run) if over in group_of else "" for run in runs]
    joined: dict[str, VoxelMask] = {}
    for group in dict.fromkeys(groups):
        members = [number for number, name in enumerate(groups) if name == group]
        joined[group] = _intersected(members, runs, images, own)
    return [joined[group] for group in groups]


def _own_mask(run: Run, image: BoldImage) -> VoxelMask:
    if run.mask is None:
        return find_mask(image, space=run.space)
    return _placed_mask(load_mask(run.mask, space=run.space), image, run.mask.name)


def _placed_mask(mask: VoxelMask, image: BoldImage, name: str) -> VoxelMask:
    """Return a mask of the kept volumes; one of the volumes in the file is brought there."""
    placement = image.placement
    if placement is not None and lies_on(mask, placement.file_grid, placement.file_affine):
        try:
            return placement.mask(mask)
        except DataError as problem:
            raise DataError(
                f"{image.path}: cropping or resampling leaves nothing of the mask {name}. Crop "
                "less, or resample to a grid that holds the brain."
            ) from problem
    check_same_grid(mask, image, mask_name=f"the mask {name}")
    return mask


def find_mask(image: BoldImage, *, space: str = "") -> VoxelMask:
    """Find the brain in the mean of a run's first volumes (`nilearn.masking.compute_epi_mask`).

    Raises
    ------
    DataError
        If no brain is to be seen.
    """
    everywhere = VoxelMask(np.ones(image.grid, bool), image.affine)
    total, n_seen = np.zeros(everywhere.n_voxels), 0
    for start, block in read_volumes(image.path, everywhere, placement=image.placement):
        part = block[: _VOLUMES_FOR_MASK - start]
        total, n_seen = total + part.sum(axis=0, dtype=np.float64), start + len(part)
        if n_seen >= _VOLUMES_FOR_MASK:
            break
    mean = np.nan_to_num(everywhere.unmask(total / n_seen), posinf=0.0, neginf=0.0)
    unseen = DataError(f"{image.path}: no brain is to be seen in its volumes. Give one: mask=PATH.")
    if mean.min() == mean.max():
        raise unseen
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty mask is told below
            found = compute_epi_mask(nib.Nifti1Image(mean.astype(np.float32), image.affine))
    except (ValueError, IndexError) as problem:
        raise unseen from problem
    inside = np.asarray(found.dataobj) > 0
    if not inside.any():
        raise unseen
    return VoxelMask(inside, image.affine, space)


def _intersected(
    members: list[int],
    runs: Sequence[Run],
    images: Sequence[BoldImage],
    own: Sequence[VoxelMask],
) -> VoxelMask:
    first = own[members[0]]
    inside = first.inside.copy()
    for number in members[1:]:
        name = f"the mask of {runs[members[0]].label}"
        check_same_grid(first, images[number], mask_name=name)
        inside &= own[number].inside
    if not inside.any():
        raise DataError(
            f"{runs[members[0]].label} and {len(members) - 1} more runs: their masks have no voxel "
            "in common. Are they in one space? Else set mask_over: run."
        )
    return VoxelMask(inside, first.affine, first.space)


def mask_digest(mask: VoxelMask) -> str:
    """Return the SHA-256 of which voxels are inside and where they lie."""
    digest = hashlib.sha256(repr(mask.grid).encode())
    digest.update(np.packbits(mask.inside).tobytes())
    digest.update(np.round(mask.affine, 4).astype("<f8").tobytes())
    return digest.hexdigest()
