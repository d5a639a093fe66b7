"""Task `mask`: voxel vectors with most patches hidden are filled in; SC-MBM's pretraining."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.store import load_state
from brainreel.data.samples import Series, Trials
from brainreel.data.voxel_module import VoxelModule, voxel_spec
from brainreel.data.voxel_rows import VoxelChanges
from brainreel.errors import ConfigError, DataError
from brainreel.files import digest_json
from brainreel.layers.positions import fit_positions
from brainreel.models.base import ModelConfig
from brainreel.models.sc_mbm import SCMBM, SCMBMConfig
from brainreel.shapes import DataSpec
from brainreel.train.begin import NETWORK, read_start, take_over
from brainreel.train.filling import fill, rounds
from brainreel.train.film_network import network_state
from brainreel.train.first_stage_begin import without_stage
from brainreel.train.kept_moments import kept_moments, moments_state
from brainreel.train.mask_learning import MaskTask, settled_voxels
from brainreel.train.picture_targets import PictureTargets, ToldPictures, told_pictures
from brainreel.train.predictions import Prediction, bold_prediction
from brainreel.train.stored_backbone import check_unseen
from brainreel.train.task import Job, State, TaskConfig
from brainreel.train.trainer import fit_network, own_randomness, predict_device


class MaskConfig(TaskConfig):
    """A network fills in the hidden patches of voxel vectors: what SC-MBM is pretrained on."""

    data_kinds: ClassVar[tuple[str, ...]] = (
        "films", "people", "series", "trials", "god", "bold5000", "hcp_voxels", "mixed",
    )  # fmt: skip
    model_kinds: ClassVar[tuple[str, ...]] = ("sc_mbm",)

    name: Literal["mask"] = "mask"
    batch: int = Field(100, ge=1)
    """Voxel vectors in a batch, per process; 100 as published."""
    start_from: Path | None = None
    """Run folder of an import or a fit of SC-MBM whose weights the training starts from; sizes of
    the model that are not given are taken from there, positions moved to other numbers of voxels.
    """
    voxel_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of a training vector's voxels that are set to their mean before it is seen; what is to
    be filled in stays as it was. 0.2 was meant in MinD-Vis."""
    interpolation: float = Field(0.0, ge=0, le=1)
    """Share of training vectors that are mixed, in random parts, with another of the same person
    and run; MinD-Vis adds as many mixed vectors as there are others (0.5)."""
    pictures: PictureTargets | None = None
    """Of trials with pictures: tell features of what was seen too, by model.picture_features
    ([channels, H, W]); {} for pixels. None: patches alone."""
    transductive: bool = False
    """Learn from the brains of the test part instead of those of the training part (MinD-Vis fine-
    tunes so; what they saw stays unseen). Every score of this run, and of all runs that begin with
    its weights, is stamped with it."""

    @property
    def learns_pictures(self) -> bool:
        """Whether features of pictures are told."""
        return self.pictures is not None

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the sizes of the weights in `start_from`."""
        return model if self.start_from is None else settled_voxels(model, self.start_from)

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return voxel_spec(_data(job))

    def fit(self, job: Job) -> State:
        """Train on the fold's training part; stop or choose by its validation part."""
        data = self.data(job)
        network = _built(job, data)
        data.setup()
        pictures = self._pictures(job)
        begun = self._begin(job, network)
        if network.factors is not None and "factors.loadings" not in begun:
            with own_randomness(job.seed):
                network.factors.begin(network.encoder.patches(data.learned()))
        settings = [self.to_dict(), job.model.to_dict(), job.optim.to_dict()]
        facts = [data.spec.to_json(), dict(data.data.sources), str(job.fold), job.seed, begun]
        weights = fit_network(
            MaskTask(network, job.optim, job.seed, pictures=pictures),
            data,
            job.trainer,
            job.folder,
            seed=job.seed,
            identity=digest_json([settings, job.trainer.decisive(), facts]),
            validates=bool(job.fold.validation or job.fold.validation_trials),
        )
        state: State = {NETWORK + name: value.numpy() for name, value in weights.items()}
        return state | moments_state(data.moments)

    def predict(self, job: Job, state: State) -> list[Prediction]:
        """Fill in every patch of the test segments from the others, in training deviations."""
        series, data = _data(job), self.data(job)
        if not isinstance(series, Series):
            raise DataError(
                "filled-in voxels are scored over time, and the data gives single trials. Let "
                "another task be the last of the stages, or give recordings."
            )
        network = _built(job, data)
        load_state(network, network_state(state), where=f"fold '{job.fold.name}'")
        data.moments = kept_moments(state, series.subjects)
        data.setup()
        noise = rounds(
            network.encoder.n_patches,
            network.mask_ratio,
            torch.Generator().manual_seed(job.seed),
        )
        network = network.to(predict_device(job.trainer)).eval()
        predictions = []
        for who in series.subjects:
            segments = series.of_subject(who, job.fold.test)
            if not segments:
                continue
            measured = [data.scored.of(s) for s in segments]
            filled = [_filled(network, values, noise, self.batch) for values in measured]
            moments = [data.scored.moments_of(s.recording) for s in segments]
            sides = (series, job.fold, segments, filled, measured)
            predictions.append(bold_prediction(*sides, moments=moments))
        return predictions

    def protocol(self) -> dict[str, Any]:
        """Say what of a measured volume is seen, and how."""
        told = {
            "predicted": "hidden voxels: each patch was filled in from other patches of the same "
            "volume, so that scores say how much patches share, not what is known beforehand",
            "unseen people": "z-scored by the moments of their own recordings",
        }
        return told if self.start_from is None else told | {"start_from": str(self.start_from)}

    def data(self, job: Job) -> VoxelModule:
        """Return the voxel vectors of the job's fold."""
        return VoxelModule(
            _data(job),
            job.fold,
            batch=self.batch,
            seed=job.seed,
            transductive=self.transductive,
            changes=VoxelChanges(self.voxel_dropout, self.interpolation, job.seed),
        )

    def _pictures(self, job: Job) -> ToldPictures | None:
        if self.transductive and self.pictures is not None:
            raise ConfigError(
                "task.transductive learns from brains of the test part, whose pictures must stay "
                "unseen. Leave task.pictures and model.picture_features out."
            )
        assert isinstance(job.model, SCMBMConfig)
        sides = (job.model, _data(job), job.fold)
        return told_pictures(self.pictures, *sides, interpolation=self.interpolation)

    def _begin(self, job: Job, network: SCMBM) -> dict[str, float]:
        """Put in the weights of the stage before or of `start_from`; tell them apart by numbers."""
        # A first stage of pictures is for the stages to come.
        if handed := without_stage(network_state(job.start)):
            state, where = handed, "the stage before"
        elif self.start_from is not None:
            check_unseen(self.start_from, job.data)
            state, where = read_start(self.start_from, job.fold.name)[0], str(self.start_from)
        else:
            return {}
        fitted, own = fit_positions(network, state), network.state_dict()
        # Factors of another number of voxels cannot be moved, and are found anew.
        for name in [name for name in fitted if name.startswith("factors.")]:
            if name not in own or own[name].shape != fitted[name].shape:
                del fitted[name]
        return take_over(network, fitted, where=where)


def _filled(
    network: SCMBM, values: np.ndarray[Any, np.dtype[np.float32]], noise: Tensor, batch: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    device = next(network.parameters()).device
    parts = torch.split(torch.from_numpy(values), batch)
    return torch.cat([fill(network, part.to(device), noise).cpu() for part in parts]).numpy()


def _built(job: Job, data: VoxelModule) -> SCMBM:
    """Return the network with first weights drawn from the seed; the data learns its length."""
    model = job.model
    if not isinstance(model, SCMBMConfig):
        raise DataError(f"mask cannot fit a model '{model.name}'. Use 'sc_mbm'.")
    if model.mask_ratio == 0:
        raise ConfigError("model.mask_ratio is 0, so nothing is left to fill in. Give a share.")
    with own_randomness(job.seed):
        network = model.build(data.spec)
    data.length = network.encoder.n_patches * model.patch
    data.padding = model.padding
    return network


def _data(job: Job) -> Series | Trials:
    if not isinstance(job.data, Series | Trials):
        raise DataError("mask needs recordings or trials; the data gives labelled items.")
    return job.data
