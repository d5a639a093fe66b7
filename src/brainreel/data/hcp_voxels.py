"""Voxels of visual cortex of people at rest (HCP), as MinD-Vis's data folder holds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.data.person_trials import PersonTrials, join_people
from brainreel.data.readers import read_array
from brainreel.data.samples import Trials
from brainreel.data.trial_folders import as_voxels, chosen, require_tree
from brainreel.data.trial_splits import HeldOutSubjects, TrialSplitConfig, make_trial_folds
from brainreel.errors import DataError
from brainreel.files import digest_file

TREE = """
100307/HCP_visual_voxel.npz     V1, V2, V3, V4: (1200, n) each, volumes by voxels
100408/HCP_visual_voxel.npz
...
"""
_FILE = "HCP_visual_voxel.npz"
_REGIONS = ("V1", "V2", "V3", "V4")


class HcpVoxelsData(Config):
    """Voxels of V1 to V4 of people at rest: vectors without pictures, to pretrain on."""

    name: Literal["hcp_voxels"] = "hcp_voxels"
    path: Path
    """The folder `HCP/npz` of MinD-Vis's data: a folder of each person."""
    subjects: tuple[str, ...] = ()
    """People, as their folders are called; empty: all that are there."""
    roi: Literal["VC", "V1", "V2", "V3", "V4"] = "VC"
    """Region; VC is all four, one after another."""
    window_trs: int = Field(10, ge=1)
    """Volumes that are averaged to one vector; 10 are about 8 s, as published. What is left at the
    end of a scan is left out."""
    splits: tuple[TrialSplitConfig, ...] = (HeldOutSubjects(test=0.1),)
    """How vectors are parted; held_out: people are tested who took no part."""

    def open(self) -> Trials:
        """Read and average the people's volumes.

        Raises
        ------
        DataError
            If there are no such files (the expected ones are shown), or volumes of wrong shapes.
        """
        there = sorted(path.parent.name for path in self.path.glob(f"*/{_FILE}"))
        if not there:
            require_tree(self.path, [f"PERSON/{_FILE}"], TREE)
        names = chosen(self.subjects, there, "person", self.path)
        people = []
        for who in names:
            vectors = self._vectors(self.path / who / _FILE)
            people.append(PersonTrials(who, vectors, len(vectors)))
        sources = {f"{who}/{_FILE}": digest_file(self.path / who / _FILE) for who in names}
        trials = join_people(people, None, sources)
        firsts = [person.n_train for person in people]
        return replace(trials, folds=make_trial_folds(trials, firsts, self.splits))

    def _vectors(self, path: Path) -> NDArray[np.float32]:
        regions = _REGIONS if self.roi == "VC" else (self.roi,)
        parts = [as_voxels(read_array(path, key), f"{path} '{key}'") for key in regions]
        if len({len(part) for part in parts}) > 1:
            told = ", ".join(f"{r} {len(p)}" for r, p in zip(regions, parts, strict=True))
            raise DataError(f"{path}: the regions have different numbers of volumes: {told}.")
        volumes = np.concatenate(parts, axis=1)
        n_windows = len(volumes) // self.window_trs
        if n_windows < 2:
            raise DataError(
                f"{path}: {len(volumes)} volumes are fewer than two windows of "
                f"{self.window_trs}. Give a smaller data.window_trs."
            )
        whole = volumes[: n_windows * self.window_trs].reshape(n_windows, self.window_trs, -1)
        return np.asarray(whole.mean(axis=1), dtype=np.float32)
