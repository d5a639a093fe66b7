"""The LightningModule of task `film_vae`: reconstruction, and KL between posterior and prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainreel.data.loading import mixed_seed
from brainreel.data.volume_windows import VolumeBatch
from brainreel.layers.gaussian import Gaussian, kl_divergence
from brainreel.models.film_vae import FilmVAE, FilmVAEOutput, Imagine
from brainreel.train.learning import LearningTask
from brainreel.train.losses import SumAndCount
from brainreel.train.optim import OptimConfig
from brainreel.train.volume_objective import VolumeLoss, VolumeLossConfig


@dataclass(frozen=True)
class Objective:
    """loss = reconstruction(q) + prior_weight reconstruction(p) + beta KL(q || p) / voxels.

    Attributes
    ----------
    loss
        What reconstructed volumes are held to.
    beta
        Weight of the KL in the end.
    warmup
        Share of all steps in which it rises from 0.
    free_bits
        Nats that each latent unit may differ by for free, on average over a batch.
    prior_weight
        Weight of volumes decoded from the prior.
    imagine
        What of the prior is decoded for them.
    seed
        Of the slices.
    """

    loss: VolumeLossConfig
    beta: float
    warmup: float
    free_bits: float
    prior_weight: float
    imagine: Imagine
    seed: int

    def beta_at(self, step: int, n_steps: int) -> float:
        """Return the weight of the KL at a step."""
        rising = self.warmup * n_steps
        return self.beta * min(1.0, step / rising) if rising else self.beta


class FilmVAETask(LearningTask):
    """One step: volumes from both sides, the losses of each, and the KL between them."""

    model: FilmVAE

    def __init__(self, model: FilmVAE, optim: OptimConfig, objective: Objective) -> None:
        super().__init__(model, optim)
        self.objective, self.loss = objective, VolumeLoss(objective.loss)
        weights = self.loss.weights
        imagined = {f"imagined_{k}": v * objective.prior_weight for k, v in weights.items()}
        self.weights = {f"validation_{k}": v for k, v in (weights | imagined).items()}
        self.weights["validation_kl"] = objective.beta
        self.scores = tuple(self.weights)
        self.sums: dict[str, list[SumAndCount]] = {}

    def training_step(self, batch: VolumeBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        told = self.objective
        place = (self.current_epoch, batch_idx, self.global_rank)
        seed = mixed_seed(told.seed, *place)
        out = self._model(batch, told.imagine if told.prior_weight else "nothing")
        weights = self.loss.weights
        parts = [(weights[k], v) for k, v in self.loss(out.reconstructed, batch, seed).items()]
        if out.imagined is not None:
            found = self.loss(out.imagined, batch, seed)
            parts += [(told.prior_weight * weights[k], v) for k, v in found.items()]
        n_steps = int(self.trainer.estimated_stepping_batches)
        beta = told.beta_at(self.trainer.global_step, n_steps)
        return self.share_of_losses([*parts, (beta, self._kl(out, batch))], len(batch.row))

    def on_validation_epoch_start(self) -> None:
        """Begin the sums."""
        self.sums = {name: [] for name in self.scores}

    def validation_step(self, batch: VolumeBatch, batch_idx: int) -> None:
        """Add one batch to the sums: the means of posterior and prior, decoded."""
        out = self._model(batch, "mean")
        assert out.imagined is not None
        seed = mixed_seed(self.objective.seed, batch_idx, self.global_rank)
        for prefix, volumes in (("", out.reconstructed), ("imagined_", out.imagined)):
            for name, part in self.loss(volumes, batch, seed).items():
                self.sums[f"validation_{prefix}{name}"].append(part)
        self.sums["validation_kl"].append(self._kl(out, batch))

    def on_validation_epoch_end(self) -> None:
        """Log the loss with the whole beta, and its parts, over all ranks."""
        self.log_means(self.sums, self.weights)

    def _model(self, batch: VolumeBatch, imagine: Imagine) -> FilmVAEOutput:
        assert batch.film is not None
        assert batch.reference is not None
        out: FilmVAEOutput = self.model(
            batch.views, batch.reference, batch.film, batch.row, imagine, batch.subject
        )
        return out

    def _kl(self, out: FilmVAEOutput, batch: VolumeBatch) -> SumAndCount:
        """Return KL(q || p), summed over the counted volumes, and the number of their voxels.

        Per voxel it is on the scale of the reconstruction, which is a mean over voxels: with
        absolute errors and beta = 1 the loss is the evidence lower bound of Laplace noise of scale
        1. With free bits a unit counts max(free, its mean over the volumes) (Kingma et al. 2016).
        """
        q, p = (
            Gaussian(side.mean[batch.counted].float(), side.log_std[batch.counted].float())
            for side in (out.posterior, out.prior)
        )
        kl = kl_divergence(q, p)
        n_volumes = len(kl)
        count = torch.tensor(n_volumes * batch.inside[0].numel(), device=kl.device)
        if not n_volumes or not self.objective.free_bits:
            return kl.sum(), count
        units = kl.mean(dim=0).clamp_min(self.objective.free_bits)
        return n_volumes * units.sum(), count
