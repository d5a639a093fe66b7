"""Task `autoencode`: the first stage of latent diffusion, learned from the training pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from brainreel.checkpoints.store import load_state
from brainreel.data.stored_pictures import mean_picture
from brainreel.errors import ConfigError
from brainreel.files import digest_json
from brainreel.layers.picture_changes import PictureChanges
from brainreel.models.base import ModelConfig
from brainreel.models.picture_autoencoder import PictureAutoencoder, PictureAutoencoderConfig
from brainreel.shapes import DataSpec
from brainreel.train.autoencode_learning import AutoencodeTask
from brainreel.train.begin import NETWORK, take_over
from brainreel.train.film_network import network_state
from brainreel.train.first_stage_begin import (
    SCALE,
    check_same_stage,
    in_batches,
    measure_scale,
    of_stage,
    settled_stage,
    stage_weights,
)
from brainreel.train.picture_task import PictureTaskConfig
from brainreel.train.predictions import PicturePrediction
from brainreel.train.task import Job, State
from brainreel.train.trainer import fit_network, own_randomness, predict_device


class AutoencodeConfig(PictureTaskConfig):
    """Pictures -> latents -> the same pictures: what a latent diffusion will draw in."""

    model_kinds: ClassVar[tuple[str, ...]] = ("first_stage",)

    name: Literal["autoencode"] = "autoencode"
    batch: int = Field(25, ge=1)
    """Pictures of the training part in a batch, per process."""
    start_from: Path | None = None
    """First stage that the training goes on from: a run folder, a folder of diffusers, or a file
    of latent diffusion or of its first stage. Sizes that are not given are taken from there."""
    changes: PictureChanges = PictureChanges()
    """Random changes of training pictures."""
    absolute: float = Field(1.0, ge=0)
    """Weight of the absolute error of pixels beside the squared one; it keeps edges sharper."""
    codebook: float = Field(1.0, ge=0)
    """Of a first stage vq: weight of the distance between latents and their codes."""
    kl: float = Field(1e-6, ge=0)
    """Of a first stage kl: weight of the KL between latents and a standard Gaussian (latent
    diffusion: 1e-6)."""
    revive: int = Field(100, ge=0)
    """Steps after which codes that nothing was nearest to are put where latents are; 0 for never.
    """

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the sizes of the weights in `start_from`."""
        if self.start_from is None or not isinstance(model, PictureAutoencoderConfig):
            return model
        options = settled_stage(model.first_stage, self.start_from)
        return PictureAutoencoderConfig.parse({"first_stage": options}, where="model")

    def fit(self, job: Job) -> State:
        """Train on the fold's training pictures; stop or choose by those of its validation part."""
        data = self.learned(job, self.batch)
        network = built(job, self.spec(job))
        begun = self._begin(job, network)
        data.setup()
        settings = [self.to_dict(), job.model.to_dict(), job.optim.to_dict()]
        facts = [data.spec.to_json(), dict(data.trials.sources), str(job.fold), job.seed, begun]
        facts += data.further_digests()
        learning = AutoencodeTask(
            network,
            job.optim,
            job.seed,
            changes=self.changes,
            absolute=self.absolute,
            cost=self.codebook if _model(job).first_stage.name == "vq" else self.kl,
            revive=self.revive,
        )
        weights = fit_network(
            learning,
            data,
            job.trainer,
            job.folder,
            seed=job.seed,
            identity=digest_json([settings, job.trainer.decisive(), facts]),
            validates=bool(job.fold.validation_trials),
        )
        if SCALE in weights:
            network = built(job, self.spec(job))
            load_state(network, weights, where="the first stage")
            stage = network.to(predict_device(job.trainer)).eval().first_stage
            measure_scale(stage, data.trials, job.fold.train_trials, self.batch)
            weights = {**weights, SCALE: torch.as_tensor(stage.scale).cpu()}
        return {NETWORK + name: value.numpy() for name, value in weights.items()}

    def predict(self, job: Job, state: State) -> list[PicturePrediction]:
        """Send the test pictures through the network, person by person; no brain takes part."""
        trials, fold = self.trials(job), job.fold
        network = built(job, self.spec(job))
        load_state(network, network_state(state), where=f"fold '{fold.name}'")
        network = network.to(predict_device(job.trainer)).eval()
        test = np.array(fold.test_trials, dtype=np.int64)
        people = np.unique(trials.person[test])
        return [self._of_person(job, network, test[trials.person[test] == p]) for p in people]

    def _of_person(
        self, job: Job, network: PictureAutoencoder, rows: NDArray[np.int64]
    ) -> PicturePrediction:
        trials, fold, device = self.trials(job), job.fold, predict_device(job.trainer)
        pictures = trials.pictures
        assert pictures is not None
        batches = in_batches(lambda chosen: pictures[chosen], tuple(rows), self.batch)
        made = [network.reconstructed(values.to(device)).cpu() for values in batches]
        labels = np.full(len(rows), -1) if trials.labels is None else trials.labels[rows]
        return PicturePrediction(
            split=fold.split,
            fold=fold.name,
            subject=trials.subjects[trials.person[rows[0]]],
            predicted=torch.cat(made).numpy(),
            true=pictures[rows],
            labels=labels.astype(np.int64),
            trials=rows,
            baseline=mean_picture(pictures, fold.train_trials),
        )

    def protocol(self) -> dict[str, Any]:
        """Say that no brain took part."""
        told: dict[str, Any] = {
            "stamps": [
                "No brain took part: each test picture itself went through the network and back. "
                "These scores are the ceiling of any model that draws with this first stage."
            ]
        }
        if self.more_pictures is not None:
            told["further pictures"] = str(self.more_pictures)
        return told if self.start_from is None else told | {"start_from": str(self.start_from)}

    def _begin(self, job: Job, network: PictureAutoencoder) -> dict[str, float]:
        """Put in the weights of the stage before or of `start_from`; tell them apart by numbers."""
        where, state = "the stage before", of_stage(network_state(job.start))
        if not state and self.start_from is not None:
            where, state = str(self.start_from), stage_weights(self.start_from, job)
        check_same_stage(network.first_stage, state, where)
        return take_over(network, state, where=where)


def built(job: Job, spec: DataSpec) -> PictureAutoencoder:
    """Return the network with first weights drawn from the seed."""
    with own_randomness(job.seed):
        return _model(job).build(spec)


def _model(job: Job) -> PictureAutoencoderConfig:
    if not isinstance(job.model, PictureAutoencoderConfig):
        raise ConfigError(f"autoencode cannot fit a model '{job.model.name}'. Use 'first_stage'.")
    return job.model
