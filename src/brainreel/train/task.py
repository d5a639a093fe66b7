"""Task: what is learned from what. A task fits one fold and predicts its test part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from brainreel.config import Config
from brainreel.data.catalog import Opened
from brainreel.data.samples import Fold
from brainreel.errors import DataError
from brainreel.files import digest_json
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec
from brainreel.train.film_prediction import Asked, FilmPredictor
from brainreel.train.optim import OptimConfig
from brainreel.train.picture_reconstruction import DrawAsked, Reconstructor
from brainreel.train.predictions import AnyPrediction
from brainreel.train.trainer import TrainerConfig

State = dict[str, NDArray[np.float32]]

# Not a name of a file: the digest of the folds beside those of the sources.
FOLDS = "folds"


@dataclass(frozen=True, eq=False)
class Job:
    """One fit to make: the data, the fold and the settings that concern it.

    Attributes
    ----------
    data
        Recordings, trials or labelled items.
    fold
        Which part is for training, which for testing.
    model, optim, trainer, seed
        Settings of the run.
    folder
        Where checkpoints and learning curves of this fold go.
    start
        Weights handed on by the stages before, the latest of each name, or empty.
    """

    data: Opened
    fold: Fold
    model: ModelConfig
    optim: OptimConfig
    trainer: TrainerConfig
    seed: int
    folder: Path
    start: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class TaskConfig(Config):
    """Base of all tasks."""

    name: str

    data_kinds: ClassVar[tuple[str, ...]] = ()
    model_kinds: ClassVar[tuple[str, ...]] = ()
    reads_out_people: ClassVar[bool] = False
    """Whether only people with training data of their own can be predicted."""

    def check_fits(self, data: str, model: str) -> None:
        """Refuse data or a model that this task cannot use, naming those that it can."""
        for kind, given, known in (
            ("data", data, self.data_kinds),
            ("model", model, self.model_kinds),
        ):
            if given not in known:
                raise ValueError(
                    f"task '{self.name}' cannot use {kind} '{given}'; it uses {' or '.join(known)}"
                )

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model's options with those filled in that the task's files decide."""
        return model

    def starts(self) -> tuple[Path, ...]:
        """Return the run folders whose weights the fit begins with: its options `..._from`."""
        given = (getattr(self, name) for name in type(self).model_fields if name.endswith("_from"))
        return tuple(folder for folder in given if isinstance(folder, Path))

    @property
    def learns_pictures(self) -> bool:
        """Whether the fit learns from the pictures that were seen, not from brains alone."""
        return False

    def further_pictures(self, shape: Sequence[int]) -> NDArray[np.float32] | None:
        """Return (N, C, H, W) pictures of a shape that are learned beside those of the data."""
        return None

    @abstractmethod
    def fit(self, job: Job) -> State:
        """Learn from the training part of the job's fold alone; return the weights."""

    @abstractmethod
    def predict(self, job: Job, state: State) -> Sequence[AnyPrediction]:
        """Predict the test part of the job's fold."""

    def control_names(self) -> tuple[str, ...]:
        """Return the negative controls that are scored beside the predictions."""
        return ()

    def predict_control(self, job: Job, state: State, control: str) -> Sequence[AnyPrediction]:
        """Predict the test part of the job's fold with something withheld from the model."""
        raise DataError(f"task '{self.name}' has no control '{control}'.")

    def predictor(self, job: Job, state: State, asked: Asked) -> FilmPredictor:
        """Return what predicts a person's BOLD of a film that nobody was scanned with.

        Raises
        ------
        DataError
            If the task cannot, or what is asked of it is not there.
        """
        raise DataError(
            f"task '{self.name}' cannot predict a new film. Give a run of task film_vae or "
            "supervised."
        )

    def reconstructor(self, job: Job, state: State, asked: DrawAsked) -> Reconstructor:
        """Return what gives pictures of a person's brains that nobody tested on.

        Raises
        ------
        BrainreelError
            If the task cannot, or what is asked of it is not there.
        """
        raise DataError(
            f"task '{self.name}' reconstructs no pictures. Give a run of task pictures or denoise."
        )

    @abstractmethod
    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""

    def protocol(self) -> dict[str, Any]:
        """Return what of the task a reader of the scores must know."""
        return {}


def folds_digest(folds: Sequence[Fold]) -> str:
    """Return the digest by which a fitted run knows its folds."""
    told = [asdict(fold) for fold in folds]
    # Folds without cells keep the digest that runs from before there were any have.
    return digest_json([{k: v for k, v in one.items() if k != "cells" or v} for one in told])
