"""What a fitted diffusion draws of the test trials of a fold, from their brains or from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainreel.data.picture_module import PictureModule
from brainreel.data.stored_pictures import mean_picture, number_equal
from brainreel.models.brain_diffusion import BrainDiffusion
from brainreel.train.drawing import DrawOptions, chosen, draw_pictures, seeds_of
from brainreel.train.picture_controls import brains_of_class, other_brains
from brainreel.train.predictions import PicturePrediction
from brainreel.train.task import Job
from brainreel.train.trainer import predict_device

CONTROLS = ("brain_shuffled", "class_alone")


@dataclass(frozen=True, eq=False)
class Drawn:
    """Pictures that a fitted network draws.

    Attributes
    ----------
    job
        The fold, and the seed that all draws come from.
    data
        Its pairs, with moments of the training part and first guesses of all trials.
    network
        With its weights.
    options
        How pictures are drawn.
    """

    job: Job
    data: PictureModule
    network: BrainDiffusion
    options: DrawOptions

    def of(self, brains: Sequence[int], seeds_like: Sequence[int]) -> NDArray[np.float32]:
        """Return (B, S, C, H, W) drawn of the brains of some trials, with the seeds of others."""
        device = predict_device(self.job.trainer)
        seeds = seeds_of(self.job.seed, seeds_like, self.options.samples)
        rows = self.data.rows(brains)
        return draw_pictures(self.network, rows, seeds, self.options, device, self.data.batch)

    def predictions(self, control: str) -> list[PicturePrediction]:
        """Draw pictures of the test trials, person by person.

        Parameters
        ----------
        control
            Empty for their own brains; `"brain_shuffled"`, each with the brain of another test
            trial of the person, who saw another picture; `"class_alone"`, with a training brain of
            the class that its brain is told to be of. Nothing for a person whose test has no such
            trial, who has no training trials, or where classes are not known.
        """
        trials, fold = self.data.trials, self.job.fold
        if control == "class_alone" and trials.labels is None:
            return []
        test = np.array(fold.test_trials, dtype=np.int64)
        people = np.unique(trials.person[test])
        found = [self._of_person(int(p), test[trials.person[test] == p], control) for p in people]
        return [one for one in found if one is not None]

    def _of_person(
        self, person: int, rows: NDArray[np.int64], control: str
    ) -> PicturePrediction | None:
        trials, fold = self.data.trials, self.job.fold
        train = np.array(fold.train_trials, dtype=np.int64)
        train = train[trials.person[train] == person]
        brains = self._brains(rows, train, control)
        if brains is None:
            return None
        samples = self.of(brains.tolist(), rows.tolist())
        assert trials.pictures is not None
        labels = np.full(len(rows), -1) if trials.labels is None else trials.labels[rows]
        seen = train if len(train) else np.array(fold.train_trials, dtype=np.int64)
        return PicturePrediction(
            split=fold.split,
            fold=fold.name,
            subject=trials.subjects[person],
            predicted=chosen(samples, self.options.rule),
            true=trials.pictures[rows],
            labels=labels.astype(np.int64),
            trials=rows,
            baseline=mean_picture(trials.pictures, seen),
            samples=samples,
            rule=self.options.rule,
        )

    def _brains(
        self, rows: NDArray[np.int64], train: NDArray[np.int64], control: str
    ) -> NDArray[np.int64] | None:
        """Return whose brains one person's test trials get; None where there are none to give."""
        trials, seed = self.data.trials, self.job.seed
        if control == "brain_shuffled":
            assert trials.pictures is not None
            order = other_brains(number_equal(np.asarray(trials.pictures[rows])), seed)
            return None if order is None else rows[order]
        if control == "class_alone":
            sides = train.tolist(), rows.tolist()
            return brains_of_class(trials, self.data.scored, *sides, seed) if len(train) else None
        return rows
