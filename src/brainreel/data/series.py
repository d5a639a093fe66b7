"""Time series of one or many people from one file by key, with events, words or regressors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from brainreel.config import Config
from brainreel.data.readers import (
    check_same_length,
    read_numbers,
    read_scalar,
    read_table,
    read_texts,
)
from brainreel.data.samples import Recording, Series
from brainreel.data.splits import SeriesSplitConfig, make_folds
from brainreel.data.time_splits import TimeSplit
from brainreel.errors import AlignmentError, DataError
from brainreel.files import digest_file
from brainreel.fmri.bold import Bold
from brainreel.shapes import check_shape
from brainreel.stimulus.events import event_regressors, word_regressors
from brainreel.timebase import Seconds, TrGrid, exact

Float32 = NDArray[np.float32]
GROUP = "group"

_AXES = ("people", "time", "voxels")


class WordKeys(Config):
    """Where the words that were heard or read stand in the file."""

    word: str = "word"
    """Key of the words."""
    onset_s: str = "word_onset_s"
    """Key of their onsets in seconds of the film clock."""
    offset_s: str = "word_offset_s"
    """Key of their ends in seconds of the film clock."""


class SeriesData(Config):
    """BOLD time series (voxels or regions) of people who had the same stimulus."""

    name: Literal["series"] = "series"
    path: Path
    """A .npz, .mat, .h5 or .npy file."""
    bold_key: str = "bold"
    """Array of the signal."""
    axes: str = "people time voxels"
    """Order of its axes: people, time, voxels; without people for one person."""
    tr_s: float | str = "tr_s"
    """Repetition time in seconds, or the key that holds it."""
    n_dummy: int = Field(default=0, ge=0)
    """Volumes that were discarded before the first one in the file."""
    film_start_s: float = 0.0
    """Scan time at which the stimulus began, in seconds after the first volume, discarded ones
    counted."""
    stimulus: str = ""
    """Name of what was presented; empty: the name of the file."""
    subjects_key: str = ""
    """Key of the people's names; empty: sub-01, sub-02, ..."""
    voxel_names_key: str = ""
    """Key of the names of the voxels or regions; empty: none."""
    number_columns_as: str = ""
    """Where the file has no names: what the columns are, such as region for region-1, region-2,
    ...; empty: voxels."""
    events: Path | None = None
    """A table with onset, duration and trial_type, beside the file or from the working folder:
    one regressor for each trial_type."""
    words: WordKeys | None = None
    """Words with onsets and offsets: rate, duration and length in each TR."""
    regressors: dict[str, str] = Field(default_factory=dict)
    """Feature name -> key of an array (time), (time, D), (people, time) or (people, time, D)."""
    group_mean: bool = False
    """Whether to add a person 'group': the mean of all people."""
    shift_s: float = 0.0
    """Negative control: pair each TR with the stimulus of so many seconds earlier; scores must
    fall."""
    splits: tuple[SeriesSplitConfig, ...] = (TimeSplit(),)
    """How time or people are parted into training and test; each is scored by itself."""

    @model_validator(mode="after")
    def _known_axes(self) -> Self:
        axes = self.axes.split()
        if not set(axes) <= set(_AXES) or len(set(axes)) < len(axes) or not {*_AXES[1:]} <= {*axes}:
            raise ValueError(
                "axes should be an order of 'people time voxels' or 'time voxels', where regions "
                f"count as voxels (given: '{self.axes}')"
            )
        return self

    def open(self) -> Series:
        """Read the file, lay the stimulus on the clock of the TRs, and make the folds.

        Raises
        ------
        DataError
            For keys of different lengths, NaN, or nobody with variance.
        AlignmentError
            If events or words lie outside the scan.
        LeakError
            If a split's training and test data are nearer than its gap.
        """
        bold = self._bold()
        n_people, n_trs, n_voxels = bold.shape
        grid = self._grid(n_trs)
        subjects = self._names(self.subjects_key, n_people, "people")
        people = _People(
            subjects or tuple(f"sub-{i + 1:02d}" for i in range(n_people)),
            bold,
            self._features(grid, n_people),
            grid,
            self._column_names(n_voxels),
            self.stimulus or self.path.stem,
        )
        recordings, notes = self._recordings(people)
        if self.shift_s:
            notes.append(f"Negative control: the stimulus was shifted by {self.shift_s:g} s.")
        folds = make_folds(recordings, self.splits)
        return Series(tuple(recordings), folds, self._sources(), tuple(notes))

    def _grid(self, n_trs: int) -> TrGrid:
        """Return the clock of the TRs."""
        tr_s = self.tr_s if isinstance(self.tr_s, float) else read_scalar(self.path, self.tr_s)
        try:
            return TrGrid.of_scan(tr_s, n_trs, film_start_s=self.film_start_s, n_dummy=self.n_dummy)
        except DataError as problem:
            raise DataError(
                f"{self.path}: {problem} Give another data.tr_s or bold_key."
            ) from problem

    def _bold(self) -> Float32:
        """Return the signal as (people, time, voxels)."""
        values = read_numbers(self.path, self.bold_key)
        axes = self.axes.split()
        check_shape(values, self.axes, name=f"{self.path} '{self.bold_key}'")
        if "people" not in axes:
            values, axes = values[None], ["people", *axes]
        return np.ascontiguousarray(values.transpose([axes.index(axis) for axis in _AXES]))

    def _names(self, key: str, n: int, what: str) -> tuple[str, ...]:
        if not key:
            return ()
        names = read_texts(self.path, key)
        check_same_length({self.bold_key: n, key: len(names)}, what=what, where=str(self.path))
        if len(set(names)) < len(names):
            raise DataError(f"{self.path} '{key}': a name stands twice; names must be unique.")
        return names

    def _column_names(self, n_voxels: int) -> tuple[str, ...]:
        if self.voxel_names_key or not self.number_columns_as:
            return self._names(self.voxel_names_key, n_voxels, "voxels")
        digits = len(str(n_voxels))
        return tuple(f"{self.number_columns_as}-{i + 1:0{digits}d}" for i in range(n_voxels))

    def _features(self, grid: TrGrid, n_people: int) -> dict[str, Float32]:
        """Return each feature space as (1 or people, time, D)."""
        shifted = grid.delayed(self.shift_s)
        features: dict[str, Float32] = {}
        if self.events is not None:
            table = read_table(self._beside(self.events), ("onset", "duration", "trial_type"))
            values, _ = event_regressors(table, shifted)
            features["events"] = values[None]
        if self.words is not None:
            word, onset, offset = self._words(self.words)
            values = word_regressors(word, onset, offset, shifted)["words"]
            features["words"] = values[None]
        for name, key in self.regressors.items():
            values = self._regressor(key, n_people, grid.n_trs)
            features[name] = shifted_in_trs(values, self.shift_s, grid)
        return features

    def _words(self, keys: WordKeys) -> tuple[Sequence[str], Float32, Float32]:
        word = read_texts(self.path, keys.word)
        onset = read_numbers(self.path, keys.onset_s).ravel()
        offset = read_numbers(self.path, keys.offset_s).ravel()
        lengths = {keys.word: len(word), keys.onset_s: len(onset), keys.offset_s: len(offset)}
        check_same_length(lengths, what="words", where=str(self.path))
        return word, onset, offset

    def _regressor(self, key: str, n_people: int, n_trs: int) -> Float32:
        values = read_numbers(self.path, key)
        if values.ndim == 1 or (values.ndim == 2 and values.shape[0] == n_trs != n_people):
            values = values[None]
        if values.ndim == 2:
            values = values[:, :, None]
        check_shape(values.reshape(values.shape[0], -1), "P N", name=f"{self.path} '{key}'")
        if values.ndim != 3:
            raise DataError(
                f"{self.path} '{key}': its {values.ndim} axes are not (time), (time, D)."
            )
        trs = {self.bold_key: n_trs, key: int(values.shape[1])}
        check_same_length(trs, what="TRs", where=str(self.path))
        if values.shape[0] not in (1, n_people):
            people = {self.bold_key: n_people, key: int(values.shape[0])}
            check_same_length(people, what="people", where=str(self.path))
        return values

    def _recordings(self, people: _People) -> tuple[list[Recording], list[str]]:
        """Return a recording of everybody whose signal changes, and notes on the others."""
        changes = [bool(np.ptp(signal, axis=0).any()) for signal in people.bold]
        kept = [i for i, changing in enumerate(changes) if changing]
        if not kept:
            raise DataError(f"{self.path} '{self.bold_key}': nobody's signal ever changes.")
        notes = [
            f"{subject} was left out: its signal never changes."
            for subject, changing in zip(people.subjects, changes, strict=True)
            if not changing
        ]
        recordings = [people.recording(people.subjects[i], [i]) for i in kept]
        if self.group_mean:
            members = tuple(people.subjects[i] for i in kept)
            if GROUP in members:
                raise DataError(f"{self.path}: a person is called '{GROUP}', the mean's own name.")
            recordings.append(people.recording(GROUP, kept, members))
        return recordings, notes

    def _beside(self, table: Path) -> Path:
        """Find a table beside the data file, or else from the working folder."""
        beside = self.path.parent / table
        return beside if beside.is_file() else table

    def _sources(self) -> dict[str, str]:
        files = [self.path] if self.events is None else [self.path, self._beside(self.events)]
        return {file.name: digest_file(file) for file in files}


@dataclass(frozen=True, eq=False)
class _People:
    """Everybody's signal (people, time, voxels) and features (1 or people, time, D)."""

    subjects: tuple[str, ...]
    bold: Float32
    features: Mapping[str, Float32]
    grid: TrGrid
    voxel_names: tuple[str, ...]
    run: str

    def recording(
        self, name: str, people: Sequence[int], members: tuple[str, ...] = ()
    ) -> Recording:
        """Return the recording of one person, or the mean of several."""
        signal = self.bold[list(people)].mean(axis=0, dtype=np.float64).astype(np.float32)
        features = {
            key: values[list(people) if len(values) > 1 else [0]].mean(axis=0)
            for key, values in self.features.items()
        }
        bold = Bold(signal, self.grid, names=self.voxel_names)
        return Recording(name, self.run, self.run, bold, features=features, members=members)


def shifted_in_trs(values: Float32, shift_s: Seconds, grid: TrGrid) -> Float32:
    """Return (P, T, D) values whose TR i holds what stood `shift_s` seconds earlier, 0 outside.

    Raises
    ------
    AlignmentError
        If the shift is no whole number of TRs.
    """
    trs = exact(shift_s) / grid.tr_s
    if trs.denominator != 1:
        raise AlignmentError(
            f"shift_s of {float(exact(shift_s)):g} s is no whole number of TRs of "
            f"{float(grid.tr_s):g} s, and regressors cannot be shifted by less. Give a multiple."
        )
    moved = np.zeros_like(values)
    n = int(trs)
    if abs(n) < grid.n_trs:
        moved[:, max(n, 0) : grid.n_trs + min(n, 0)] = values[
            :, max(-n, 0) : grid.n_trs - max(n, 0)
        ]
    return moved
