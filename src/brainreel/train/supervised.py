"""Task `supervised`: a network learns BOLD from film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainreel.data.module import FilmModule
from brainreel.data.samples import Segment
from brainreel.data.windows import WindowBatch
from brainreel.files import digest_json
from brainreel.models.encoding import EncodingConfig, EncodingModel
from brainreel.train.learning import LearningTask
from brainreel.train.losses import LOSSES, LossName, SumAndCount, correlation
from brainreel.train.optim import OptimConfig
from brainreel.train.stored_backbone import check_unseen, load_backbone
from brainreel.train.trainer import TrainerConfig, fit_network, own_randomness

Float32 = NDArray[np.float32]


class SupervisedTask(LearningTask):
    """One step: predict, take the loss over everything that counts on all ranks."""

    scores = ("validation_r",)

    def __init__(self, model: nn.Module, optim: OptimConfig, loss: LossName) -> None:
        super().__init__(model, optim)
        self.loss = loss
        self.validation: dict[str, list[SumAndCount]] = {}

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        predicted = self.model(**batch.inputs()).float()
        total, count = LOSSES[self.loss](predicted, batch.bold, batch.counted)
        return self.share_of_loss(total, count, len(batch.film))

    def on_validation_epoch_start(self) -> None:
        """Begin the sums."""
        self.validation = {"validation_loss": [], "validation_r": []}

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        """Add one batch to the sums."""
        predicted = self.model(**batch.inputs()).float()
        scored = (predicted, batch.bold, batch.counted)
        self.validation["validation_loss"].append(LOSSES[self.loss](*scored))
        self.validation["validation_r"].append(correlation(*scored))

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the mean correlation within windows over all ranks."""
        self.log_means(self.validation)


def fit_supervised(
    model: EncodingConfig,
    data: FilmModule,
    optim: OptimConfig,
    trainer: TrainerConfig,
    *,
    folder: Path,
    seed: int,
    loss: LossName = "mse",
    start: Mapping[str, Tensor] | None = None,
    backbone_from: Path | None = None,
) -> dict[str, Tensor]:
    """Train an encoding model on one fold and return its weights.

    Parameters
    ----------
    model
        Options of the model; its sizes come from `data.spec`.
    data
        Windows of the fold; its `context_trs` is set to the model's.
    optim, trainer
        Optimiser and training options.
    folder
        Run folder; see `fit_network` for what is written and how a broken run goes on.
    seed
        Seed of the first weights and of dropout.
    loss
        `"mse"` of z-scored BOLD, or `"correlation"` (1 - r within windows).
    start
        Weights to begin with, all or some; names that are not there are drawn anew.
    backbone_from
        Run folder whose weights the backbone begins with, where `start` has none.

    Returns
    -------
    dict
        Name to tensor.
    """
    network = build_network(model, data, seed)
    begun: dict[str, float] = {}
    if backbone_from is not None:
        check_unseen(backbone_from, data.series)
        begun = load_backbone(
            network, model.backbone, backbone_from, data.fold.name, part="backbone"
        )
    if start:
        network.load_state_dict(dict(start), strict=False)
    settings = [item.to_dict() for item in (model, optim, data.config)]
    sources = {"data": dict(data.series.sources), "fold": str(data.fold)}
    begun |= {name: value.double().sum().item() for name, value in (start or {}).items()}
    told = [settings, trainer.decisive(), data.spec.to_json(), sources, seed, loss, begun]
    return fit_network(
        SupervisedTask(network, optim, loss),
        data,
        trainer,
        folder,
        seed=seed,
        identity=digest_json(told),
        validates=bool(data.fold.validation),
    )


def build_network(model: EncodingConfig, data: FilmModule, seed: int) -> EncodingModel:
    """Return the model with first weights drawn from `seed`, and tell the data its context."""
    with own_randomness(seed):
        network = model.build(data.spec)
    data.context_trs = network.context_trs
    return network


@torch.no_grad()
def predict_supervised(
    network: EncodingModel, data: FilmModule, segments: Sequence[Segment]
) -> dict[Segment, Float32]:
    """Predict every TR of some segments.

    Returns
    -------
    dict
        Segment to (T, V) BOLD in standard deviations of the person's training part.
    """
    data.setup()
    data.context_trs = network.context_trs
    network = network.eval()
    device = next(network.parameters()).device
    found: dict[tuple[int, int], Float32] = {}
    loader = data.loader(segments, shuffle=False, own_context=False)
    windows = iter(data.windows(segments, own_context=False))
    for batch in loader:
        predicted = network(**batch.to(device).inputs()).float().cpu().numpy()
        rows = iter(predicted)
        for _ in range(len(batch.shown)):
            window = next(windows)
            for recording in window.recordings:
                n_voxels = data.series.recordings[recording].bold.n_voxels
                values = next(rows)[: window.stop_tr - window.start_tr, :n_voxels]
                found.update({(recording, window.start_tr + t): v for t, v in enumerate(values)})
    return {
        s: np.stack([found[s.recording, tr] for tr in range(s.start_tr, s.stop_tr)])
        for s in segments
    }
