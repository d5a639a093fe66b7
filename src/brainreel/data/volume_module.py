"""Lightning's view of recordings as sequences of brain volumes, with or without film."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.loading import MixedBatches, ResumableLoader
from brainreel.data.module import bold_facts, film_spec
from brainreel.data.people import People
from brainreel.data.recorded_volumes import (
    Box,
    RecordedVolumes,
    common_box,
    training_volume_moments,
)
from brainreel.data.resumable_module import ResumableModule
from brainreel.data.samples import Fold, Segment, Series
from brainreel.data.strips import SEEING, FilmStrip, open_strips
from brainreel.data.volume_dataset import VolumeDataset, as_loaded
from brainreel.data.volume_moments import VolumeMoments
from brainreel.data.volume_references import References
from brainreel.data.volume_windows import (
    VolumeWindow,
    VolumeWindowsConfig,
    plan_prediction,
    plan_training,
)
from brainreel.shapes import DataSpec, Sense

Float32 = NDArray[np.float32]


class VolumeModule(ResumableModule):
    """Sequences of brain volumes of one fold.

    Parameters
    ----------
    series
        Recordings with masks on one grid, and with films where these are asked for.
    fold
        Which segments train, validate and test.
    config
        How recordings are cut.
    cache
        Folder of decoded frames and sound; not needed without film.
    seed
        Seed of the shuffling, and of the references drawn in training.
    context_trs
        TRs of film that the model looks back; may be set after the model is built.
    with_film
        Whether the film is loaded.
    with_reference
        Whether each sequence comes with a reference volume of the person (see `References`).
    senses
        What of the film is loaded.
    box
        The part of the grid that volumes show; by default as the config says.
    own_moments
        Whether each recording is normalised by moments of its own, those of training too, so that
        people on both sides of a split are treated alike.

    Attributes
    ----------
    spec
        The facts that size a model.
    moments
        Of the volumes of each person in training, over the training segments alone; taken by
        `setup` unless given before (a fitted run keeps its own).
    whose
        Person to the person whose reference is taken instead; a control.
    given
        Person to (2, X, Y, Z) views of a reference that is taken in any case.
    volumes
        The recordings as volumes; there after `setup`.
    """

    volumes: RecordedVolumes

    def __init__(
        self,
        series: Series,
        fold: Fold,
        config: VolumeWindowsConfig,
        *,
        cache: Path | None = None,
        seed: int,
        context_trs: int = 0,
        with_film: bool = False,
        with_reference: bool = False,
        senses: Collection[Sense] = SEEING,
        box: Box | None = None,
        own_moments: bool = False,
    ) -> None:
        super().__init__()
        self.series, self.fold, self.config, self.seed = series, fold, config, seed
        self.cache, self.context_trs = cache, context_trs
        self.with_film, self.with_reference, self.senses = with_film, with_reference, senses
        self.box = box or common_box(series, crop=config.crop is not None)
        self.spec = volume_spec(series, config, self.box, senses if with_film else ())
        self.moments: Mapping[str, VolumeMoments] = {}
        self.own_moments = own_moments
        self.whose: Mapping[str, str] = {}
        self.given: Mapping[str, Float32] = {}
        self.strips: tuple[FilmStrip, ...] = ()
        self.strip_of: tuple[int, ...] = (0,) * len(series.recordings)

    def setup(self, stage: str | None = None) -> None:
        """Take the moments, and decode the films unless they are in the cache."""
        if hasattr(self, "volumes"):
            return
        if not self.own_moments:
            self.moments = self.moments or training_volume_moments(self.series, self.fold.train)
        self.volumes = RecordedVolumes(self.series, self.box, self.moments)
        if self.with_film:
            assert self.cache is not None, "films need a cache"
            self.strips, self.strip_of = open_strips(
                self.series.recordings, self.config, self.cache, self.senses
            )

    def train_dataloader(self) -> ResumableLoader:
        """Return shuffled sequences of the training segments, from where a broken run stopped."""
        return self.continued(self.loader(self.fold.train, training=True))

    def val_dataloader(self) -> ResumableLoader:
        """Return the sequences of the validation segments in order."""
        return self.loader(self.fold.validation, training=False)

    def loader(self, segments: Sequence[Segment], *, training: bool) -> ResumableLoader:
        """Return this rank's batches of some segments.

        In training they are shuffled, and moved from epoch to epoch; otherwise they come in order,
        and every TR counts once.
        """
        dataset = self.dataset(segments, training=training)
        rank, n_ranks = self.ranks
        batches = MixedBatches(
            [range(len(dataset))],
            [self.config.batch_windows],
            seed=self.seed if training else None,
            rank=rank,
            n_ranks=n_ranks,
        )
        return ResumableLoader(dataset, batches, collate=as_loaded, n_workers=self.config.n_workers)

    def dataset(self, segments: Sequence[Segment], *, training: bool) -> VolumeDataset:
        """Return the windows of some segments as a data set."""
        config = self.config
        references = None
        if self.with_reference:
            references = References(
                self.volumes, self.fold.train, whose=self.whose, given=self.given
            )
        return VolumeDataset(
            self.windows(segments, training=training),
            self.volumes,
            [self.spec.subjects.index(r.subject) for r in self.series.recordings],
            window_trs=config.window_trs,
            strips=self.strips,
            context_trs=self.context_trs,
            references=references,
            seed=self.seed if training else None,
            stride_trs=self._stride_trs,
        )

    def windows(self, segments: Sequence[Segment], *, training: bool) -> tuple[VolumeWindow, ...]:
        """Return the windows of some segments, in the order of an unshuffled loader."""
        n_trs, n_people = self.config.window_trs, self.config.people_per_window
        n_people = n_people if self.with_film else 1
        if not training:
            return plan_prediction(segments, self.strip_of, n_trs, n_people=n_people)
        return plan_training(
            segments,
            self.strip_of,
            n_trs,
            stride_trs=self._stride_trs,
            context_trs=self.context_trs if self.with_film else 0,
            n_people=n_people,
        )

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the scores must know."""
        trained = {self.series.recordings[s.recording].subject for s in self.fold.train}
        tested = {self.series.recordings[s.recording].subject for s in self.fold.test}
        unseen = sorted(tested - trained)
        if not unseen:
            return ()
        more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
        return (
            f"{self.fold.name}: nobody trained on {', '.join(unseen[:5])}{more}; their volumes are "
            "normalised by the moments of their own runs.",
        )

    @property
    def _stride_trs(self) -> int:
        return self.config.stride_trs or self.config.window_trs


def volume_spec(
    series: Series, config: VolumeWindowsConfig, box: Box, senses: Collection[Sense] = ()
) -> DataSpec:
    """Return the facts of recordings as volumes of a box of their grid, and of the film in a TR.

    Of people with a label that is a class, its classes are told too.

    Raises
    ------
    DataError
        If a person's runs differ in voxels, TRs differ, or a film is asked for and not there.
    """
    facts = film_spec(series, config, senses) if senses else bold_facts(series)
    classes = {}
    if isinstance(series, People) and series.classes:
        classes = {series.label: len(series.classes)}
    return replace(facts, grid=tuple(side.stop - side.start for side in box), classes=classes)
