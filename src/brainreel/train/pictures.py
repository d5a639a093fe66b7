"""Task `pictures`: reconstruct the picture that was seen from a voxel vector, by ridge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Fold, Trials
from brainreel.data.stored_pictures import StoredPictures, mean_picture, number_equal
from brainreel.data.voxel_rows import ScoredVoxels
from brainreel.errors import DataError
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec
from brainreel.train.picture_controls import other_brains
from brainreel.train.picture_reconstruction import Brain, DrawAsked, Reconstructor
from brainreel.train.predictions import AnyPrediction, PicturePrediction
from brainreel.train.task import Job, State, TaskConfig

Float32 = NDArray[np.float32]


class PicturesConfig(TaskConfig):
    """Voxel vectors of single trials -> the pictures that were seen."""

    data_kinds: ClassVar[tuple[str, ...]] = ("trials", "god", "bold5000")
    model_kinds: ClassVar[tuple[str, ...]] = ("picture_ridge",)

    name: Literal["pictures"] = "pictures"

    @property
    def learns_pictures(self) -> bool:
        """Always."""
        return True

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return _trials(job).spec()

    def fit(self, job: Job) -> State:
        """Fit the training trials."""
        return fit_pictures(_trials(job), job.fold, job.model, job.seed)

    def predict(self, job: Job, state: State) -> list[PicturePrediction]:
        """Reconstruct the pictures of the test trials."""
        return [predict_pictures(_trials(job), job.fold, job.model, state)]

    def control_names(self) -> tuple[str, ...]:
        """Return what is scored beside the reconstructions."""
        return ("brain_shuffled",)

    def predict_control(self, job: Job, state: State, control: str) -> Sequence[AnyPrediction]:
        """Reconstruct the test pictures from each other's brains."""
        if control not in self.control_names():
            return super().predict_control(job, state, control)
        trials = _trials(job)
        found = predict_pictures(trials, job.fold, job.model, state)
        order = other_brains(number_equal(found.true), job.seed)
        return [] if order is None else [replace(found, predicted=found.predicted[order])]

    def reconstructor(self, job: Job, state: State, asked: DrawAsked) -> Reconstructor:
        """Return the fitted ridge, which gives one picture of a brain."""
        trials = _trials(job)
        asked.refuse_draws(job.model.name)
        estimator = job.model.build(trials.spec()).from_state(state)

        def draw(brain: Brain) -> tuple[Float32, Float32]:
            pictures = estimator.predict(brain.voxels[None])
            return pictures, pictures[0]

        moments = ScoredVoxels(trials, job.fold).moments
        return Reconstructor(draw, 1, moments.get(asked.subject), in_words="one of each by ridge")


def fit_pictures(trials: Trials, fold: Fold, model: ModelConfig, seed: int) -> State:
    """Fit a picture model on the fold's training trials; test trials are not looked at.

    Parameters
    ----------
    trials, fold
        Voxels with their pictures, and which of them are for training.
    model
        `PictureRidgeConfig`.
    seed
        Of the inner folds.

    Returns
    -------
    dict
        The arrays of `PictureWeights`, float32.
    """
    if not fold.train_trials:
        raise DataError(f"fold '{fold.name}' has no training trial. Choose another split.")
    rows = _rows_of_one(trials, fold.train_trials)
    estimator = model.build(trials.spec()).fit(
        trials.voxels[rows], _pictures(trials)[rows], rng=np.random.default_rng(seed)
    )
    state: State = estimator.state()
    return state


def predict_pictures(
    trials: Trials, fold: Fold, model: ModelConfig, state: Mapping[str, NDArray[np.float32]]
) -> PicturePrediction:
    """Reconstruct the fold's test pictures, beside the true ones and the mean training picture."""
    rows = _rows_of_one(trials, fold.test_trials)
    estimator = model.build(trials.spec()).from_state(state)
    unlabelled = np.full(len(trials.voxels), -1, dtype=np.int64)
    pictures = _pictures(trials)
    return PicturePrediction(
        split=fold.split,
        fold=fold.name,
        subject=trials.subject,
        predicted=estimator.predict(trials.voxels[rows]),
        true=pictures[rows],
        labels=(unlabelled if trials.labels is None else trials.labels)[rows],
        trials=rows,
        baseline=mean_picture(pictures, fold.train_trials),
    )


def _trials(job: Job) -> Trials:
    if not isinstance(job.data, Trials):
        raise DataError("pictures needs single trials with pictures; the data gives recordings.")
    return job.data


def _rows_of_one(trials: Trials, rows: Sequence[int]) -> NDArray[np.int64]:
    if len(trials.subjects) > 1:
        raise DataError(
            f"picture_ridge fits one person, and the data has {', '.join(trials.subjects)}. Name "
            f"one, data.subjects=[{trials.subjects[0]}], or give the file of one as data.path."
        )
    return np.array(rows, dtype=np.int64)


def _pictures(trials: Trials) -> Float32 | StoredPictures:
    if trials.pictures is None:
        raise DataError("pictures needs the pictures that were seen. Give data.picture_keys.")
    return trials.pictures
