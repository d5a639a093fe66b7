"""A mask narrowed to named regions: an atlas, mask images, or both; each column's regions kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from brainreel.config import Config
from brainreel.errors import DataError, did_you_mean
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.images import lies_on, load_mask
from brainreel.fmri.names import BidsName
from brainreel.fmri.placement import Placement
from brainreel.fmri.rois import Regions, read_region_names, regions_from_atlas, regions_from_mask

_TABLES = (".tsv", ".csv", ".json")
_WHO = "{subject}"


class RoiConfig(Config):
    """Regions to keep; without any, all voxels of the mask are kept.

    `{subject}` in a path stands for the person (`sub-01`), where each has images of their own.
    """

    atlas: Path | None = None
    """3-D image of whole numbers, one a region; brought to the data's grid by the nearest voxel."""
    names: Path | None = None
    """Names of its numbers: .tsv or .csv with columns index and name, or .json; none: the table
    beside the atlas that is called as it is, else regions are called by their numbers."""
    masks: dict[str, Path] = Field(default_factory=dict)
    """Region to its mask image, on the grid of the data."""
    take: tuple[str, ...] = ()
    """Regions to keep; empty: all that have a voxel in the mask."""

    @property
    def given(self) -> bool:
        """Whether there are regions at all."""
        return self.atlas is not None or bool(self.masks)

    @property
    def of_person(self) -> bool:
        """Whether each person has images of their own."""
        paths = [self.atlas, self.names, *self.masks.values()]
        return any(_WHO in str(path) for path in paths)


def keep_rois(
    mask: VoxelMask, config: RoiConfig, subject: str, placement: Placement | None = None
) -> tuple[VoxelMask, Regions]:
    """Narrow a mask to the union of regions.

    Columns stay in C order of the grid (x slowest), whatever the order of the regions. A voxel
    in several regions is one column, and a member of each.

    Parameters
    ----------
    mask
        The voxels that there are.
    config
        Regions to keep.
    subject
        Whose data it is (`"01"`).
    placement
        How volumes come to the mask's grid; images of regions on the file's grid come along.

    Returns
    -------
    mask, regions
        V voxels, and name -> (V,) boolean; no regions, and the mask as it is, where none are given.

    Raises
    ------
    DataError
        Naming the region that has no voxel in the mask, is not known or is told twice, or the
        image that is in another space or on another grid.
    """
    if not config.given:
        return mask, {}
    person = f"sub-{subject}"
    found: Regions = {}
    named: dict[int, str] | None = None
    if config.atlas is not None:
        atlas = _of_person(config.atlas, person)
        _check_space(atlas, mask)
        named = _names_of(atlas, config.names and _of_person(config.names, person))
        found |= regions_from_atlas(atlas, mask, named)
    for name, given in config.masks.items():
        if name in found:
            raise DataError(f"region '{name}' is in the atlas and a mask image. Rename one.")
        path = _of_person(given, person)
        _check_space(path, mask)
        found[name] = regions_from_mask(name, path, _placed(load_mask(path), placement), mask)
    for name in config.take:
        if name not in found:
            raise _not_there(name, config, found, named or {}, person)
    kept = {name: found[name] for name in config.take or found}
    union = np.any([*kept.values()], axis=0)
    inside = np.zeros_like(mask.inside)
    inside[mask.inside] = union
    narrow = VoxelMask(inside, mask.affine, mask.space)
    return narrow, {name: members[union] for name, members in kept.items()}


def counts_of(regions: Regions) -> str:
    """Say how many voxels each region has: `"V1 34, V2 20"`."""
    return ", ".join(f"{name} {int(members.sum())}" for name, members in regions.items())


def _of_person(path: Path, person: str) -> Path:
    return Path(str(path).replace(_WHO, person))


def _names_of(atlas: Path, table: Path | None) -> dict[int, str] | None:
    if table is not None:
        return read_region_names(table)
    stem = atlas.name.removesuffix(".gz").removesuffix(".nii")
    beside = [atlas.with_name(stem + suffix) for suffix in _TABLES]
    tables = [path for path in beside if path.is_file() and path.suffix != ".json"]
    return read_region_names(tables[0]) if tables else _from_sidecar(beside[-1])


def _from_sidecar(path: Path) -> dict[int, str] | None:
    """A .json beside an image may also be its sidecar, which tells of other things."""
    try:
        return read_region_names(path)
    except DataError:
        return None


def _check_space(path: Path, mask: VoxelMask) -> None:
    """Two spaces may share a grid, so what the file's name says counts too."""
    entities = BidsName.of(path).entities
    told = entities.get("space") or entities.get("tpl", "")
    data = mask.space.partition(":")[0]
    if told and data and told != data:
        raise DataError(
            f"{path}: is in the space {told} by its name, the data in {data}. Bring it there, or "
            "give the regions of that space."
        )


def _placed(region: VoxelMask, placement: Placement | None) -> VoxelMask:
    if placement is not None and lies_on(region, placement.file_grid, placement.file_affine):
        return placement.mask(region)
    return region


def _not_there(
    name: str, config: RoiConfig, found: Regions, named: dict[int, str], person: str
) -> DataError:
    if name in named.values():
        return DataError(
            f"{config.atlas}: region '{name}' has no voxel in the mask of {person}. Take others, "
            "or a larger mask."
        )
    return DataError(f"rois.take: no region is called '{name}'.{did_you_mean(name, found)}")
