"""Task `volumes`: brain volumes through a bottleneck and back, by TFF."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from brainreel.data.loading import mixed_seed
from brainreel.data.samples import Series
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeBatch, VolumeWindowsConfig
from brainreel.errors import DataError
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec
from brainreel.train.learning import LearningTask
from brainreel.train.losses import SumAndCount
from brainreel.train.optim import OptimConfig
from brainreel.train.predictions import Prediction
from brainreel.train.task import Job, State, TaskConfig
from brainreel.train.trainer import predict_device
from brainreel.train.volume_objective import Parts, VolumeLoss, VolumeLossConfig
from brainreel.train.volume_predictions import predict_volumes
from brainreel.train.volume_runs import (
    begun_network,
    kept,
    restored,
    settled_volumes,
    train_volumes,
)

_LOG = logging.getLogger(__name__)


class VolumesConfig(TaskConfig):
    """A network learns brain volumes themselves: what TFF is pretrained on."""

    data_kinds: ClassVar[tuple[str, ...]] = ("films", "people")
    model_kinds: ClassVar[tuple[str, ...]] = ("tff_autoencoder", "tff")

    name: Literal["volumes"] = "volumes"
    windows: VolumeWindowsConfig = VolumeWindowsConfig()
    """How recordings are cut into sequences of volumes; window_trs=1 for single ones."""
    loss: VolumeLossConfig = VolumeLossConfig()
    """What reconstructed volumes are held to."""
    start_from: Path | None = None
    """Run folder of an import or a fit of TFF whose weights the training starts from, those that
    the network has by name; sizes of the model that are not given are taken from there."""

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the sizes of the weights in `start_from`."""
        return settled_volumes(model, self.start_from, self.windows.window_trs)

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return self.data(job).spec

    def fit(self, job: Job) -> State:
        """Train on the fold's training segments; stop or choose by its validation segments."""
        for name, value in self.loss.told().items():
            _LOG.info("%s: %s", name, value)
        data = self.data(job)
        network, begun = begun_network(job, data, start_from=self.start_from)
        learning = ReconstructTask(network, job.optim, self.loss, job.seed)
        return kept(train_volumes(job, data, learning, begun, self.to_dict()), data)

    def predict(self, job: Job, state: State) -> list[Prediction]:
        """Reconstruct the test segments of every person, in units of the training deviation."""
        data = self.data(job)
        network, device = restored(job, data, state), predict_device(job.trainer)

        def decode(batch: VolumeBatch) -> tuple[Tensor, None]:
            return network(batch.views.to(device)), None

        return predict_volumes(data, decode, target=self.loss.target)

    def protocol(self) -> dict[str, Any]:
        """Say that the measured volume is seen, and what it was held to."""
        told = {
            "predicted": "a reconstruction: the measured volumes went through the network, so "
            "that its scores say how much of them is kept, not what is known beforehand"
        }
        if self.start_from is not None:
            told["start_from"] = str(self.start_from)
        return told | self.loss.told()

    def data(self, job: Job) -> VolumeModule:
        """Return the volumes of the job's fold."""
        if not isinstance(job.data, Series):
            raise DataError("volumes needs recordings in time; the data gives single trials.")
        return VolumeModule(job.data, job.fold, self.windows, seed=job.seed)


class ReconstructTask(LearningTask):
    """One step: volumes through the network, and the loss over all that counts on all ranks."""

    def __init__(
        self, model: nn.Module, optim: OptimConfig, loss: VolumeLossConfig, seed: int
    ) -> None:
        super().__init__(model, optim)
        self.loss, self.seed = VolumeLoss(loss), seed
        self.scores = tuple(f"validation_{name}" for name in self.loss.weights)
        self.sums: dict[str, list[SumAndCount]] = {}

    def training_step(self, batch: VolumeBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        place = (self.current_epoch, batch_idx, self.global_rank)
        parts = self.loss(self.model(batch.views), batch, mixed_seed(self.seed, *place))
        return self.share_of_losses(weighed(parts, self.loss.weights), len(batch.row))

    def on_validation_epoch_start(self) -> None:
        """Begin the sums."""
        self.sums = {name: [] for name in self.scores}

    def validation_step(self, batch: VolumeBatch, batch_idx: int) -> None:
        """Add one batch to the sums; its slices are the same each time."""
        seed = mixed_seed(self.seed, batch_idx, self.global_rank)
        for name, part in self.loss(self.model(batch.views), batch, seed).items():
            self.sums[f"validation_{name}"].append(part)

    def on_validation_epoch_end(self) -> None:
        """Log the loss and its parts over all ranks."""
        weights = {f"validation_{name}": weight for name, weight in self.loss.weights.items()}
        self.log_means(self.sums, weights)


def weighed(parts: Parts, weights: Mapping[str, float]) -> list[tuple[float, SumAndCount]]:
    """Return each part with its weight."""
    return [(weights[name], part) for name, part in parts.items()]
