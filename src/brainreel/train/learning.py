"""What every Lightning task has in common: optimiser, clipping, losses joined over ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from brainreel.train.losses import SumAndCount
from brainreel.train.optim import (
    OptimConfig,
    decayed_names,
    layer_depths,
    make_optimizer,
    make_schedule,
)
from brainreel.train.trainer import clip_gradients


class LearningTask(LightningModule):  # type: ignore[misc]
    """Base of all tasks that train a network; a subclass adds what one step and validation are.

    Attributes
    ----------
    model
        The network.
    scores
        Names of the validation scores, columns of the learning curve beside the losses.
    """

    scores: tuple[str, ...] = ()

    def __init__(self, model: nn.Module, optim: OptimConfig) -> None:
        super().__init__()
        self.model, self.optim = model, optim
        # Taken before a strategy shards the parameters, for a shard has lost its shape.
        self.decayed = decayed_names(self)
        self.depths = layer_depths(self)

    def share_of_loss(self, total: Tensor, count: Tensor, n_rows: int) -> Tensor:
        """Return this rank's share of the loss over everything that counts, and log the whole.

        loss = sum over ranks of `total` / sum over ranks of `count`. Each rank's share is
        multiplied by the number of ranks, for DDP averages gradients: they then equal those of
        one process with the joined batch, however unevenly rows are spread.
        """
        return self.share_of_losses([(1.0, (total, count))], n_rows)

    def share_of_losses(self, parts: Sequence[tuple[float, SumAndCount]], n_rows: int) -> Tensor:
        """Return this rank's share of a loss of several parts, and log the whole.

        loss = sum over parts of weight * (sum over ranks of total) / (sum over ranks of count);
        otherwise as `share_of_loss`.
        """
        shares, logged = [], []
        for weight, (total, count) in parts:
            everywhere = self.summed(count).clamp_min(1)
            shares.append(weight * total * self.trainer.world_size / everywhere)
            logged.append(weight * self.summed(total.detach()) / everywhere)
        whole = torch.stack(logged).sum()
        self.log("train_loss", whole, prog_bar=True, batch_size=n_rows)
        return torch.stack(shares).sum()

    def log_means(
        self, named: Mapping[str, Sequence[SumAndCount]], weights: Mapping[str, float] | None = None
    ) -> None:
        """Log the mean of each named score over the batches of all ranks.

        With `weights`, their weighted sum is logged as `validation_loss`, of names that have one.
        """
        means = {}
        for name, parts in named.items():
            total = self.summed(torch.stack([part[0] for part in parts]).sum())
            count = self.summed(torch.stack([part[1] for part in parts]).sum())
            means[name] = total / count.clamp_min(1)
            self.log(name, means[name], prog_bar=True)
        if weights:
            whole = [weight * means[name] for name, weight in weights.items()]
            self.log("validation_loss", torch.stack(whole).sum(), prog_bar=True)

    def summed(self, value: Tensor) -> Tensor:
        """Sum over ranks; the value itself for one process."""
        if self.trainer.world_size == 1:
            return value
        summed: Tensor = self.trainer.strategy.reduce(value.detach().clone(), reduce_op="sum")
        return summed

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimiser and the schedule over all steps to come."""
        optimizer = make_optimizer(self, self.optim, self.decayed, self.depths)
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = make_schedule(optimizer, self.optim, n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm, under FSDP by that over all shards."""
        clip_gradients(self, optimizer, gradient_clip_val)
