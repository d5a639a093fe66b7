"""Lightning's view of a film data set: windows of one fold, and the DataSpec that sizes a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.loading import ResumableLoader, ShardedBatches
from brainreel.data.resumable_module import ResumableModule
from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.strips import SEEING, FilmStrip, WindowsConfig, open_strips, window_facts
from brainreel.data.windows import (
    Window,
    WindowDataset,
    collate_windows,
    plan_windows,
    train_segments_of,
)
from brainreel.errors import DataError
from brainreel.fmri.normalize import Moments, zscore_voxelwise
from brainreel.shapes import DataSpec, Sense
from brainreel.timebase import exact

Float32 = NDArray[np.float32]


class FilmModule(ResumableModule):
    """Windows of film and BOLD of one fold.

    Parameters
    ----------
    series
        Recordings with films.
    fold
        Which segments train, validate and test.
    config
        How films are cut.
    cache
        Folder of the decoded frames; one film is decoded once for all folds.
    seed
        Seed of the shuffling.
    context_trs
        TRs the model looks back; may be set after the model is built.
    senses
        What is loaded: `"pictures"`, `"sound"` or both.

    Attributes
    ----------
    spec
        The facts that size a model; there after `setup`.
    moments
        Mean and deviation of each person's voxels over their training segments alone; taken by
        `setup` unless given before (a fitted run keeps its own).
    """

    def __init__(
        self,
        series: Series,
        fold: Fold,
        config: WindowsConfig,
        *,
        cache: Path,
        seed: int,
        context_trs: int = 0,
        senses: Collection[Sense] = SEEING,
    ) -> None:
        super().__init__()
        self.series, self.fold, self.config, self.senses = series, fold, config, senses
        self.cache, self.seed, self.context_trs = Path(cache), seed, context_trs
        self.spec = film_spec(series, config, senses)
        self.moments: Mapping[str, Moments] = {}
        self.strips: tuple[FilmStrip, ...] = ()
        self.strip_of: tuple[int, ...] = ()
        self._bold: dict[int, Float32] = {}

    def setup(self, stage: str | None = None) -> None:
        """Decode the films, unless they are in the cache, and take the moments."""
        if self.strips:
            return
        self.moments = self.moments or training_moments(self.series, self.fold)
        self.strips, self.strip_of = open_strips(
            self.series.recordings, self.config, self.cache, self.senses
        )

    def train_dataloader(self) -> ResumableLoader:
        """Return shuffled windows of the training segments, from where a broken run stopped."""
        return self.continued(self.loader(self.fold.train, shuffle=True, own_context=True))

    def val_dataloader(self) -> ResumableLoader:
        """Return windows of the validation segments in order."""
        return self.loader(self.fold.validation, shuffle=False, own_context=False)

    def loader(
        self, segments: Sequence[Segment], *, shuffle: bool, own_context: bool
    ) -> ResumableLoader:
        """Return this rank's batches of some segments; `own_context` as in `plan_windows`."""
        dataset = self.dataset(segments, own_context=own_context)
        rank, n_ranks = self.ranks
        batches = ShardedBatches(
            len(dataset),
            self.config.batch_windows,
            seed=self.seed if shuffle else None,
            rank=rank,
            n_ranks=n_ranks,
        )
        return ResumableLoader(
            dataset, batches, collate=collate_windows, n_workers=self.config.n_workers
        )

    def windows(self, segments: Sequence[Segment], *, own_context: bool) -> tuple[Window, ...]:
        """Return the windows of some segments, in the order of an unshuffled loader."""
        return plan_windows(
            segments,
            self.strip_of,
            self.config.window_trs,
            context_trs=self.context_trs,
            own_context=own_context,
        )

    def dataset(self, segments: Sequence[Segment], *, own_context: bool) -> WindowDataset:
        """Return the windows of some segments; BOLD in units of the training deviation."""
        windows = self.windows(segments, own_context=own_context)
        used = {recording for window in windows for recording in window.recordings}
        return WindowDataset(
            windows,
            self.strips,
            {number: self.bold(number) for number in used},
            [self.spec.subjects.index(r.subject) for r in self.series.recordings],
            self.spec.n_voxels,
            window_trs=self.config.window_trs,
            context_trs=self.context_trs,
        )

    def bold(self, recording: int) -> Float32:
        """Return the (T, V) BOLD of a recording, z-scored by its person's training moments."""
        if recording not in self._bold:
            record = self.series.recordings[recording]
            scored = zscore_voxelwise(record.bold.data, self.moments[record.subject])
            self._bold[recording] = np.asarray(scored, np.float32)
        return self._bold[recording]


def training_moments(series: Series, fold: Fold) -> dict[str, Moments]:
    """Return the moments of each person's voxels over the fold's training segments alone.

    Rounded to the float32 that weights are kept in, so that a fitted run, read back, divides by
    the same numbers.
    """
    moments = {}
    for who, mine in train_segments_of(series, fold).items():
        seen = Moments.of(series.bold_of(segment) for segment in mine)
        mean, std = (
            values.astype(np.float32).astype(np.float64) for values in (seen.mean, seen.std)
        )
        moments[who] = Moments(seen.n, mean, std)
    return moments


def film_spec(
    series: Series, config: WindowsConfig, senses: Collection[Sense] = SEEING
) -> DataSpec:
    """Return the facts of a film data set, sound and pictures as they are in one TR.

    Raises
    ------
    DataError
        If a recording has no film, a person's runs differ in voxels, or TRs differ.
    """
    for recording in series.recordings:
        if recording.film is None:
            raise DataError(f"{recording.label} has no film; a network on films needs one.")
    facts = bold_facts(series)
    return replace(facts, **window_facts(config, exact(facts.tr_s), senses))


def bold_facts(series: Series) -> DataSpec:
    """Return the people, their voxels, and the one TR that a network on recordings can have.

    Raises
    ------
    DataError
        If a person's runs differ in voxels, or TRs differ.
    """
    first: dict[str, Recording] = {}
    for recording in series.recordings:
        known = first.setdefault(recording.subject, recording)
        if known.bold.n_voxels != recording.bold.n_voxels:
            raise DataError(
                f"{recording.label} has {recording.bold.n_voxels} voxels, {known.label} has "
                f"{known.bold.n_voxels}. Prepare both runs with one mask."
            )
    trs = sorted({recording.bold.tr_s for recording in series.recordings})
    if len(trs) != 1:
        told = ", ".join(f"{float(tr):g} s" for tr in trs)
        raise DataError(f"the recordings have several TRs ({told}); a network needs one.")
    return DataSpec(
        subjects=tuple(first),
        n_voxels=tuple(recording.bold.n_voxels for recording in first.values()),
        tr_s=float(trs[0]),
    )
