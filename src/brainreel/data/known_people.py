"""What a fit knows of the people it learned from, and of people like them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Recording, Segment, Series
from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.normalize import Moments
from brainreel.fmri.prepare import PrepareConfig
from brainreel.fmri.store import MASK, PreparedRun

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Person:
    """Whose volumes are predicted, and how predictions come into the units of their scanner.

    y_v = level_v + std_v z_v

    Attributes
    ----------
    subject
        `"sub-30"`.
    space
        Space of the volumes, as `BidsName.space`; empty if unknown.
    mask
        Where the V columns lie, on the whole grid.
    level
        (V,) what the person's volumes are on average, in scanner units.
    std
        (V,) the deviation of their signal.
    known_by
        Where level and deviation come from, in a sentence.
    """

    subject: str
    space: str
    mask: VoxelMask
    level: Float32
    std: Float32
    known_by: str


@dataclass(frozen=True, eq=False)
class KnownPeople:
    """People of a fold's training part, with the moments of their signal that the fit kept.

    Attributes
    ----------
    series
        Recordings from a store of prepared runs.
    training
        Segments of the training part.
    moments
        Person to mean and deviation of each voxel's signal.
    """

    series: Series
    training: tuple[Segment, ...]
    moments: Mapping[str, Moments]

    @property
    def mask(self) -> VoxelMask:
        """Somebody's mask, whose grid is everybody's."""
        return _mask_of(self.series.recordings[0])

    @property
    def config(self) -> PrepareConfig:
        """The options that the runs were prepared with."""
        run = self.prepared()
        return PrepareConfig.parse(run.manifest["config"], where=str(run.folder))

    def prepared(self) -> PreparedRun:
        """Return one of the prepared runs."""
        for recording in self.series.recordings:
            if recording.prepared is not None:
                return recording.prepared
        raise DataError(
            "the fit's data was not prepared from images, so nothing is known of places in the "
            "brain. Use a run on data that 'brainreel prepare' made."
        )

    def mask_of(self, who: str) -> VoxelMask:
        """Return the mask of a person."""
        return _mask_of(next(r for r in self.series.recordings if r.subject == who))

    @property
    def shared_mask(self) -> Path | None:
        """The file of the mask, where one was given for all runs."""
        return self.prepared().folder / MASK if self.config.mask is not None else None

    def level(self, who: str) -> Float32:
        """Return (V,) what cleaning took off the mean of each voxel, over a person's training."""
        total, n_trs = np.zeros(self.mask_of(who).n_voxels), 0
        for segment in self.series.of_subject(who, self.training):
            level = self.series.recordings[segment.recording].level
            if level is not None:
                total += segment.n_trs * level.astype(np.float64)
            n_trs += segment.n_trs
        return np.asarray(total / max(n_trs, 1), np.float32)

    def person(self, who: str) -> Person:
        """Return a person of the training part.

        Raises
        ------
        DataError
            Naming those that the fit knows.
        """
        if who not in self.moments:
            known = ", ".join(self.moments)
            raise DataError(f"the fit does not know {who}. It knows {known}.")
        mask, moments = self.mask_of(who), self.moments[who]
        level = self.level(who) + moments.mean.astype(np.float32)
        told = "level and deviation of each voxel are those of the person's training runs"
        return Person(who, mask.space, mask, level, moments.std.astype(np.float32), told)

    def relative_std(self) -> Float32:
        """Return (X, Y, Z) std / level of a voxel, the mean over people who have it there.

        Where nobody has it, the median over all voxels.

        Raises
        ------
        DataError
            If nobody's level is above 0, as in data without it.
        """
        total, count = np.zeros(self.mask.grid), np.zeros(self.mask.grid)
        for who, moments in self.moments.items():
            level = self.level(who) + moments.mean
            varies = (level > 0) & (moments.std > 0)
            share = np.divide(moments.std, level, out=np.zeros(len(level)), where=varies)
            inside = self.mask_of(who).inside
            total[inside] += share
            count[inside] += varies
        if not count.any():
            raise DataError(
                "the levels of the training people's voxels are not above 0, so the deviation of "
                "somebody else's cannot be told. Give a run of the person, not a single volume."
            )
        mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        mean[count == 0] = np.median(mean[count > 0])
        return mean.astype(np.float32)

    def typical_n(self) -> int:
        """Return the number of training TRs of the person in the middle."""
        return max(2, int(np.median([moments.n for moments in self.moments.values()])))


def _mask_of(recording: Recording) -> VoxelMask:
    if recording.bold.mask is None:
        raise DataError(
            f"{recording.label} has columns without places in the brain; images need a mask. Use "
            "runs that were prepared from images."
        )
    return recording.bold.mask
