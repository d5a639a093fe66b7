"""Task `supervised`: film -> BOLD by a network, trained fold by fold, for all people at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.checkpoints.store import load_state
from brainreel.data.module import FilmModule, film_spec
from brainreel.data.samples import Series
from brainreel.data.strips import WindowsConfig
from brainreel.errors import DataError
from brainreel.fmri.normalize import Moments
from brainreel.models.base import ModelConfig
from brainreel.models.encoding import EncodingConfig
from brainreel.shapes import DataSpec
from brainreel.timebase import exact
from brainreel.train.begin import NETWORK
from brainreel.train.film_prediction import Asked, FilmPredictor
from brainreel.train.film_readout import FilmReadout, person_of
from brainreel.train.losses import LossName
from brainreel.train.predictions import Prediction, bold_prediction
from brainreel.train.stored_backbone import settled_backbone
from brainreel.train.supervised import build_network, fit_supervised, predict_supervised
from brainreel.train.task import Job, State, TaskConfig
from brainreel.train.trainer import predict_device


class SupervisedConfig(TaskConfig):
    """A network learns to predict BOLD from the pictures and the sound of a film."""

    data_kinds: ClassVar[tuple[str, ...]] = ("films",)
    model_kinds: ClassVar[tuple[str, ...]] = ("encoding",)
    reads_out_people: ClassVar[bool] = True

    name: Literal["supervised"] = "supervised"
    loss: LossName = "mse"
    """mse of z-scored BOLD, or correlation (1 - r within windows), blind to scale."""
    windows: WindowsConfig = WindowsConfig()
    """How films are cut into windows."""
    cache: Path | None = None
    """Folder of decoded frames and sound, kept for later runs; none: in the folder of the fold."""
    backbone_from: Path | None = None
    """Run folder of an import, or of a fit, whose weights the backbone begins with; its head is
    dropped, and options of model.backbone that are not given are taken from there."""

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the backbone that lies in `backbone_from`."""
        if self.backbone_from is None or not isinstance(model, EncodingConfig):
            return model
        backbone = settled_backbone(model.backbone, self.backbone_from, key="model.backbone")
        return model.model_copy(update={"backbone": backbone})

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return film_spec(_series(job), self.windows, _model(job).senses)

    def fit(self, job: Job) -> State:
        """Train on the fold's training segments; stop or choose by its validation segments."""
        data = self.data(job)
        data.setup()
        weights = fit_supervised(
            _model(job),
            data,
            job.optim,
            job.trainer,
            folder=job.folder,
            seed=job.seed,
            loss=self.loss,
            start=network_state(job.start),
            backbone_from=self.backbone_from,
        )
        state: State = {NETWORK + name: value.numpy() for name, value in weights.items()}
        for who, moments in data.moments.items():
            state[f"{who}/bold_mean"] = moments.mean.astype(np.float32)
            state[f"{who}/bold_std"] = moments.std.astype(np.float32)
        return state

    def predict(self, job: Job, state: State) -> list[Prediction]:
        """Predict the test segments of every person, in units of the training deviation."""
        series, data = _series(job), self.data(job)
        network = build_network(_model(job), data, job.seed)
        load_state(network, network_state(state), where=f"fold '{job.fold.name}'")
        data.moments = _moments(state, series.subjects)
        data.setup()
        network = network.to(predict_device(job.trainer))
        predicted = predict_supervised(network, data, job.fold.test)
        predictions = []
        for who in series.subjects:
            segments = series.of_subject(who, job.fold.test)
            if segments:
                measured = [data.bold(s.recording)[s.start_tr : s.stop_tr] for s in segments]
                values = [predicted[segment] for segment in segments]
                sides = (series, job.fold, segments, values, measured)
                same = [data.moments[who]] * len(segments)
                predictions.append(bold_prediction(*sides, moments=same))
        return predictions

    def predictor(self, job: Job, state: State, asked: Asked) -> FilmPredictor:
        """Return what predicts a new film's BOLD of a person with a readout."""
        data = self.data(job)
        network = build_network(_model(job), data, job.seed)
        load_state(network, network_state(state), where=f"fold '{job.fold.name}'")
        person = person_of(data, _moments(state, data.series.subjects), asked)
        row = data.spec.subjects.index(person.subject)
        return FilmPredictor(
            person,
            exact(data.spec.tr_s),
            self.windows,
            _model(job).senses,
            network.context_trs,
            FilmReadout(network.to(predict_device(job.trainer)).eval(), row, person.mask.n_voxels),
            {"ScaleDescription": f"{person.known_by}."},
            self.cache,
        )

    def protocol(self) -> dict[str, Any]:
        """Return where the backbone's weights come from."""
        return {} if self.backbone_from is None else {"backbone_from": str(self.backbone_from)}

    def data(self, job: Job) -> FilmModule:
        """Return the windows of the job's fold."""
        cache = self.cache or job.folder / "frames"
        return FilmModule(
            _series(job),
            job.fold,
            self.windows,
            cache=cache,
            seed=job.seed,
            senses=_model(job).senses,
        )


def network_state(state: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return the network's own weights from the state of a fit."""
    return {
        name.removeprefix(NETWORK): torch.tensor(value)
        for name, value in state.items()
        if name.startswith(NETWORK)
    }


def _series(job: Job) -> Series:
    if not isinstance(job.data, Series):
        raise DataError("supervised needs recordings in time; the data gives single trials.")
    return job.data


def _model(job: Job) -> EncodingConfig:
    if not isinstance(job.model, EncodingConfig):
        raise DataError(f"supervised cannot fit a model '{job.model.name}'. Use 'encoding'.")
    return job.model


def _moments(state: State, subjects: Sequence[str]) -> dict[str, Moments]:
    """Return the training moments that the fit kept, for the people it knew."""
    kept = {
        who: (state[f"{who}/bold_mean"], state[f"{who}/bold_std"])
        for who in subjects
        if f"{who}/bold_mean" in state
    }
    return {
        who: Moments(0, mean.astype(np.float64), std.astype(np.float64))
        for who, (mean, std) in kept.items()
    }
