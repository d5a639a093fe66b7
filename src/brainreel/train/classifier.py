"""The LightningModule of task `classify`, its fit, and scores averaged over views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy
from numpy.typing import NDArray
from torch import Tensor, distributed

from brainreel.data.labelled_batch import LabelledBatch
from brainreel.data.labelled_module import LabelledModule
from brainreel.metrics.ranking import mean_average_precision
from brainreel.models.stimulus import StimulusNetwork
from brainreel.train.class_losses import ClassLossName, labels_loss, split_labels
from brainreel.train.learning import LearningTask
from brainreel.train.losses import SumAndCount
from brainreel.train.mixup import TOGETHER, mix
from brainreel.train.optim import OptimConfig

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Learning:
    """How a classifier learns.

    Attributes
    ----------
    classes
        Label to number of classes, in the order of the logits.
    losses
        Label to the name of its loss.
    smoothing
        Label smoothing.
    mixup
        Alpha of mixup, 0 for none.
    by_sense
        Whether each sense is mixed with a weight of its own.
    seed
        Of the weights of mixup.
    """

    classes: Mapping[str, int]
    losses: Mapping[str, ClassLossName]
    smoothing: float = 0.0
    mixup: float = 0.0
    by_sense: bool = False
    seed: int = 0


class ClassifyTask(LearningTask):
    """One step: mix clips, take logits of each sense, and the mean loss over all clips.

    The parts of a mixed batch (pictures, films) go through the same network one after the other;
    their losses are summed, each over its own labels, and divided by the clips of all parts.
    """

    model: StimulusNetwork

    def __init__(self, model: StimulusNetwork, optim: OptimConfig, learning: Learning) -> None:
        super().__init__(model, optim)
        self.learning = learning
        single = [label for label, loss in learning.losses.items() if loss == "ce"]
        self.single = single
        self.ranked = [label for label in learning.losses if label not in single]
        self.scores = ("validation_top1",) * bool(single) + ("validation_map",) * bool(self.ranked)
        self.sums: dict[str, list[SumAndCount]] = {}
        self.seen: list[tuple[Float32, Float32]] = []

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        # What a step mixes depends on seed, epoch, batch and rank alone, so that it can be resumed.
        place = (self.learning.seed, self.current_epoch, batch_idx, self.global_rank)
        rng = np.random.default_rng(place)
        parts = []
        for part in batch.parts:
            mixed = mix(part, self.learning.mixup, rng, by_sense=self.learning.by_sense)
            logits = self.model.logits_of(mixed.clip)
            there = {"pictures": mixed.clip.seen, "sound": mixed.clip.heard}
            parts.append(
                self._loss(logits, mixed.targets, part.counted, self.learning.smoothing, there)
            )
        total = torch.stack([part[0] for part in parts]).sum()
        count = torch.stack([part[1] for part in parts]).sum()
        if isinstance(self.trainer.strategy, DDPStrategy):
            # A rank's batch may leave some weights unused, which DDP would wait for.
            total = total + 0.0 * torch.stack([p.sum() for p in self._trainable()]).sum()
        return self.share_of_loss(total, count, len(batch))

    def on_validation_epoch_start(self) -> None:
        """Begin the sums."""
        self.sums = {"validation_loss": []}
        self.seen = []

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Add one batch to the sums."""
        for part in batch.parts:
            logits = self.model(part.clip).float()
            loss = self._loss({TOGETHER: logits}, {TOGETHER: part.targets}, part.counted, 0.0)
            self.sums["validation_loss"].append(loss)
            columns = split_labels(logits, self.learning.classes)
            found = {label: columns[label] for label in part.targets}
            single = [label for label in self.single if label in found]
            if single:
                right = [found[k].argmax(1) == part.targets[k].argmax(1) for k in single]
                hits = (torch.stack(right).all(dim=0) & part.counted).sum()
                self.sums.setdefault("validation_top1", []).append((hits, part.counted.sum()))
            if self.ranked and set(self.ranked) <= set(found):
                self.seen.append(
                    (
                        torch.cat([found[k] for k in self.ranked], 1)[part.counted].cpu().numpy(),
                        torch.cat([part.targets[k] for k in self.ranked], 1)[part.counted]
                        .cpu()
                        .numpy(),
                    )
                )

    def on_validation_epoch_end(self) -> None:
        """Log loss, top-1 accuracy (all labels right) and mAP over all ranks."""
        self.log_means(self.sums)
        if self.ranked:
            scores, targets = (np.concatenate(side) for side in zip(*self._gathered(), strict=True))
            self.log("validation_map", mean_average_precision(scores, targets).value, prog_bar=True)

    def _loss(
        self,
        logits: Mapping[str, Tensor],
        targets: Mapping[str, Mapping[str, Tensor]],
        counted: Tensor,
        smoothing: float,
        there: Mapping[str, Tensor | None] | None = None,
    ) -> SumAndCount:
        told = self.learning
        return labels_loss(logits, targets, counted, told.classes, told.losses, smoothing, there)

    def _trainable(self) -> list[Tensor]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _gathered(self) -> list[tuple[Float32, Float32]]:
        """Return the scores and targets of all ranks."""
        if self.trainer.world_size == 1:
            return self.seen
        every: list[list[tuple[Float32, Float32]]] = [[] for _ in range(self.trainer.world_size)]
        distributed.all_gather_object(every, self.seen)
        return [pair for seen in every for pair in seen]


@dataclass(frozen=True, eq=False)
class Viewed:
    """Logits of items, averaged over their views.

    Attributes
    ----------
    logits
        Item to (K,) mean logits.
    n_views
        Item to the number of views.
    """

    logits: Mapping[int, Float32]
    n_views: Mapping[int, int]


@torch.no_grad()
def view_items(network: StimulusNetwork, data: LabelledModule, items: tuple[int, ...]) -> Viewed:
    """Average the logits of each item over its views; what cannot be read is left out.

    Logits, not probabilities, are averaged, as VTN and MBT are tested.
    """
    network = network.eval()
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    sums: dict[int, NDArray[np.float64]] = {}
    counts: dict[int, int] = {}
    for batch in data.views_loader(items):
        for part in batch.to(device).parts:
            rows = network(part.clip).double().cpu().numpy()
            for item, logits, counted in zip(
                part.item.tolist(), rows, part.counted.tolist(), strict=True
            ):
                if counted:
                    sums[item] = sums.get(item, 0.0) + logits
                    counts[item] = counts.get(item, 0) + 1
    mean = {item: (total / counts[item]).astype(np.float32) for item, total in sums.items()}
    return Viewed(mean, counts)
