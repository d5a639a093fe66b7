"""BOLD5000 (Chang et al. 2019) with GLMsingle's betas, as MinD-Vis's data folder holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.data.person_trials import PersonTrials, join_people
from brainreel.data.pickled_arrays import read_pickled_arrays
from brainreel.data.readers import read_array
from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import squared
from brainreel.data.trial_folders import as_voxels, chosen, require_tree
from brainreel.data.trial_splits import GivenSplit, TrialSplitConfig, make_trial_folds
from brainreel.errors import DataError
from brainreel.files import digest_file, digest_json
from brainreel.stimulus.pictures import read_picture

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Region = Literal["EarlyVis", "LOC", "OPA", "PPA", "RSC"]

TREE = """
BOLD5000_GLMsingle_ROI_betas/py/CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_LHEarlyVis.npy, ...
BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI1/CSI1_sess01/CSI_sess01_run01.txt, ...
BOLD5000_Stimuli/Scene_Stimuli/repeated_stimuli_113_list.txt
BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/    COCO, ImageNet, Scene; or img_dict.npy
"""
_BETAS = Path("BOLD5000_GLMsingle_ROI_betas/py")
_LISTS = Path("BOLD5000_Stimuli/Stimuli_Presentation_Lists")
_SHOWN = Path("BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli")
_REPEATED = Path("BOLD5000_Stimuli/Scene_Stimuli/repeated_stimuli_113_list.txt")
_KIND = "GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses"


class Bold5000Data(Config):
    """BOLD5000: pictures seen once to train on, the 113 that were repeated to test."""

    name: Literal["bold5000"] = "bold5000"
    path: Path
    """The folder `BOLD5000` of MinD-Vis's data."""
    subjects: tuple[str, ...] = ()
    """People (CSI1); empty: all that are there."""
    rois: tuple[Region, ...] = Field(("EarlyVis", "LOC", "OPA", "PPA", "RSC"), min_length=1)
    """Regions, one after another, of each first the left hemisphere, then the right."""
    repeats: Literal["each", "average"] = "average"
    """average: a test picture's mean over its trials, as published; each: those trials."""
    picture_size: int = Field(256, ge=1)
    """Pixels along a side, of which the middle square of each picture is resized."""
    splits: tuple[TrialSplitConfig, ...] = (GivenSplit(),)
    """How trials are parted; given: the repeated pictures are the test."""

    def open(self) -> Trials:
        """Read the people's betas, what they saw in which trial, and those pictures.

        Voxels come as they are in the files; whoever fits them takes moments of the training
        trials alone.

        Raises
        ------
        DataError
            For missing files (the expected ones are shown), lists that do not fit the betas, or
            pictures that are not there.
        """
        require_tree(self.path, [str(_BETAS), str(_LISTS), str(_REPEATED), str(_SHOWN)], TREE)
        files = sorted((self.path / _BETAS).glob(f"*_{_KIND}_*.npy"))
        there = sorted({file.name.split("_")[0] for file in files})
        if not there:
            require_tree(self.path, [str(_BETAS / f"CSI1_{_KIND}_LHEarlyVis.npy")], TREE)
        names = chosen(self.subjects, there, "person", self.path)
        repeated = _lines(self.path / _REPEATED)
        shown = {who: self._list(who) for who in names}
        every = dict.fromkeys(name for listed in shown.values() for name in listed)
        place = {name: i for i, name in enumerate(every)}
        people = [self._person(who, shown[who], place, set(repeated)) for who in names]
        stored = self._pictures(list(place))
        betas = [self._file(who, side, roi) for who in names for roi in self.rois for side in "LR"]
        sources = {file.name: digest_file(file) for file in betas}
        sources |= {"presentation lists": digest_json([shown, repeated])}
        sources |= {"pictures": hashlib.sha256(stored.data).hexdigest()}
        trials = join_people(people, stored, sources)
        firsts = [person.n_train for person in people]
        return replace(trials, folds=make_trial_folds(trials, firsts, self.splits))

    def _file(self, who: str, side: str, roi: str) -> Path:
        return self.path / _BETAS / f"{who}_{_KIND}_{side}H{roi}.npy"

    def _person(
        self, who: str, names: Sequence[str], place: dict[str, int], repeated: set[str]
    ) -> PersonTrials:
        """Return the trials, those of pictures seen once first."""
        parts = []
        for roi in self.rois:
            for side in "LR":
                file = self._file(who, side, roi)
                require_tree(self.path, [str(file.relative_to(self.path))], TREE)
                part = as_voxels(read_array(file), str(file))
                if len(part) != len(names):
                    raise DataError(
                        f"{file}: {len(part)} trials, and the presentation lists of {who} name "
                        f"{len(names)}. Give betas and lists of the same sessions."
                    )
                parts.append(part)
        voxels = np.concatenate(parts, axis=1)
        test = np.array([name in repeated for name in names])
        if test.all() or not test.any():
            raise DataError(
                f"{who}: {test.sum()} of {len(test)} trials are of pictures in {_REPEATED.name}, "
                "and none is left to train or to test on. Give the lists of this study."
            )
        order = np.concatenate([np.flatnonzero(~test), np.flatnonzero(test)])
        seen = np.array([place[name] for name in names])[order]
        person = PersonTrials(who, voxels[order], int(np.count_nonzero(~test)), seen)
        return person.averaged(train=False) if self.repeats == "average" else person

    def _list(self, who: str) -> list[str]:
        """Return the pictures of all trials, session by session, run by run."""
        folder = self.path / _LISTS / who
        files = sorted(folder.glob("*/*.txt"))
        if not files:
            require_tree(self.path, [f"{_LISTS / who}/{who}_sess01/CSI_sess01_run01.txt"], TREE)
        return [name.removeprefix("rep_") for file in files for name in _lines(file)]

    def _pictures(self, names: Sequence[str]) -> UInt8:
        """Return (N, 3, size, size), one picture after another: few are in memory at full size."""
        folder = self.path / _SHOWN
        if (folder / "img_dict.npy").is_file():
            held = read_pickled_arrays(folder / "img_dict.npy")
            _check_there(names, held, folder / "img_dict.npy")
            return np.stack([self._stored(held.pop(name), name) for name in names])
        files = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file()}
        _check_there(names, files, folder)
        return np.stack([squared(read_picture(files[name]), self.picture_size) for name in names])

    def _stored(self, picture: NDArray[np.generic], name: str) -> UInt8:
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
            raise DataError(
                f"img_dict.npy '{name}': should be bytes (H, W, 3), and is {picture.dtype} of "
                f"{picture.shape}."
            )
        square: UInt8 = squared(picture.transpose(2, 0, 1), self.picture_size)
        return square


def _check_there(names: Sequence[str], known: Container[str], where: Path) -> None:
    lost = [name for name in names if name not in known]
    if lost:
        raise DataError(
            f"{where}: {len(lost)} of {len(names)} pictures are missing, the first is {lost[0]}. "
            "Put all presented pictures there."
        )


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path}: cannot be read as a list of pictures ({problem}).") from problem
    if not lines:
        raise DataError(f"{path}: names no picture.")
    return lines
