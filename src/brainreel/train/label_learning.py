"""The LightningModule of task `label`: windows of volumes to a class or a number of the person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.data.volume_windows import VolumeBatch
from brainreel.layers.norm_conv import SLOPE
from brainreel.train.learning import LearningTask
from brainreel.train.losses import SumAndCount
from brainreel.train.optim import OptimConfig

NumberLoss = Literal["l1", "mse"]
NumberScale = Literal["standard", "raw"]


@dataclass(frozen=True)
class LabelObjective:
    """What is learned of a label.

    two classes:  -y log p - (1 - y) log(1 - p), p = sigmoid(z) of the second
    more:         -log softmax(z)_y
    a number:     |z - (y - mean) / scale|, or its square; raw: |leaky_relu(z) - y|

    Attributes
    ----------
    n_classes
        0 for a number.
    loss, number_scale
        Of a number alone.
    mean, scale
        Of the number over the people in training, each counted once.
    """

    n_classes: int
    loss: NumberLoss = "l1"
    number_scale: NumberScale = "standard"
    mean: float = 0.0
    scale: float = 1.0

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(B, K) outputs and (B,) labels to the loss of each row, (B,)."""
        logits = logits.float()
        if self.n_classes > 2:
            return functional.cross_entropy(logits, targets.long(), reduction="none")
        if self.n_classes:
            z = logits[:, 0]
            return functional.binary_cross_entropy_with_logits(z, targets, reduction="none")
        if self.number_scale == "raw":
            off = functional.leaky_relu(logits[:, 0], SLOPE) - targets
        else:
            off = logits[:, 0] - (targets - self.mean) / self.scale
        return off.abs() if self.loss == "l1" else off.square()

    def answers(self, logits: Tensor) -> Tensor:
        """(B, K) outputs to (B, K) probabilities of all classes, or (B, 1) numbers as labelled."""
        logits = logits.double()
        if self.n_classes > 2:
            return logits.softmax(dim=1)
        if self.n_classes:
            return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
        if self.number_scale == "raw":
            return functional.leaky_relu(logits, SLOPE)
        return logits * self.scale + self.mean


def window_outputs(network: nn.Module, batch: VolumeBatch) -> Tensor:
    """Return (B, K) outputs; a window shorter than T is seen as long as it is.

    The volumes that stand in for missing ones are no part of it; a row that does not count at all
    is taken whole.
    """
    n_trs = batch.counted.shape[1]
    place = torch.arange(1, n_trs + 1, device=batch.counted.device)
    last = (batch.counted * place).amax(dim=1)
    lengths: list[int] = torch.where(last == 0, n_trs, last).tolist()
    if min(lengths) == n_trs:
        outputs: Tensor = network(batch.views)
        return outputs
    parts: dict[int, Tensor] = {}
    for length in sorted(set(lengths)):
        rows = [row for row, own in enumerate(lengths) if own == length]
        found = network(batch.views[rows, :length])
        parts |= dict(zip(rows, found, strict=True))
    return torch.stack([parts[row] for row in range(len(lengths))])


class LabelTask(LearningTask):
    """One step: windows through the network, and the loss over all windows that count.

    Parameters
    ----------
    targets, weights
        (S,) label and weight of each person of the spec; NaN for people without a label.
    """

    targets: Tensor
    weights: Tensor

    def __init__(
        self,
        model: nn.Module,
        optim: OptimConfig,
        objective: LabelObjective,
        targets: Tensor,
        weights: Tensor,
    ) -> None:
        super().__init__(model, optim)
        self.objective = objective
        self.register_buffer("targets", targets.float(), persistent=False)
        self.register_buffer("weights", weights.float(), persistent=False)
        self.scores = ("validation_accuracy" if objective.n_classes else "validation_mae",)
        self.sums: dict[str, list[SumAndCount]] = {}

    def training_step(self, batch: VolumeBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        outputs = window_outputs(self.model, batch)
        return self.share_of_loss(*self._loss(outputs, batch), len(batch.row))

    def on_validation_epoch_start(self) -> None:
        """Begin the sums."""
        self.sums = {"validation_loss": [], self.scores[0]: []}

    def validation_step(self, batch: VolumeBatch, batch_idx: int) -> None:
        """Add one batch to the sums; windows, not people, are counted here."""
        outputs = window_outputs(self.model, batch)
        self.sums["validation_loss"].append(self._loss(outputs, batch))
        counted, targets = batch.counted.any(dim=1), self.targets[batch.subject]
        answers = self.objective.answers(outputs)
        if self.objective.n_classes:
            found = (answers.argmax(dim=1) == targets).float()
        else:
            found = (answers[:, 0] - targets).abs().float()
        self.sums[self.scores[0]].append((found[counted].sum(), counted.sum()))

    def on_validation_epoch_end(self) -> None:
        """Log the loss, and accuracy or error of windows, over all ranks."""
        self.log_means(self.sums)

    def _loss(self, outputs: Tensor, batch: VolumeBatch) -> SumAndCount:
        counted, weights = batch.counted.any(dim=1), self.weights[batch.subject]
        each = weights * self.objective.each(outputs, self.targets[batch.subject])
        return torch.where(counted, each, 0.0).sum(), counted.sum()
