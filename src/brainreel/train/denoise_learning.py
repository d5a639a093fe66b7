"""The LightningModule of task `denoise`: the noise in latents of pictures is found, from brains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brainreel.data.loading import mixed_seed
from brainreel.data.picture_rows import PictureBatch
from brainreel.layers.moving_average import MovingAverage
from brainreel.layers.picture_changes import PictureChanges
from brainreel.models.brain_diffusion import BrainDiffusion
from brainreel.train.learning import LearningTask
from brainreel.train.losses import SumAndCount
from brainreel.train.optim import OptimConfig

_FOUND = "validation_noise"
_AVERAGE, _UPDATES = "average", "average_updates"
_VALIDATION = 1  # keeps the draws of validation apart from those of training


class DenoiseTask(LearningTask):
    """One step: noise of a random level is put on the latents of pictures, and found again.

    Parameters
    ----------
    model
        The diffusion with its encoder of brains.
    optim
        Optimiser.
    seed
        Of the noise, the levels and all random changes.
    changes
        Of pictures and first guesses.
    dropped_voxels
        Share of voxels that are set to their mean.
    withheld
        Share of brains that are withheld.
    decay
        Of the moving average of the weights; None for no average.
    """

    model: BrainDiffusion
    scores = (_FOUND,)

    def __init__(
        self,
        model: BrainDiffusion,
        optim: OptimConfig,
        seed: int,
        *,
        changes: PictureChanges,
        dropped_voxels: float,
        withheld: float,
        decay: float | None,
    ) -> None:
        super().__init__(model, optim)
        self.seed, self.changes = seed, changes
        self.dropped_voxels, self.withheld = dropped_voxels, withheld
        self.average: MovingAverage | None = None
        if decay is not None:
            self.average = MovingAverage(self._learned(), decay)
        self.sums: list[SumAndCount] = []
        self.aside: dict[str, Tensor] = {}

    def training_step(self, batch: PictureBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        draw = self._generator(0, self.current_epoch, batch_idx)
        pictures, guesses = batch.pictures, batch.guesses
        if not self.changes.none:
            height, width = pictures.shape[2:]
            grid = self.changes.grid(len(pictures), height, width, draw)
            pictures = self.changes.apply(pictures, grid)
            guesses = self.changes.apply(guesses, grid)
        keep = torch.rand(batch.voxels.shape, generator=draw) >= self.dropped_voxels
        told = torch.rand(len(pictures), generator=draw) >= self.withheld
        changed = batch._replace(
            pictures=pictures,
            guesses=guesses,
            voxels=batch.voxels * keep.to(batch.voxels),
            paired=batch.paired & told.to(batch.paired.device),
            guessed=batch.guessed & told.to(batch.guessed.device),
        )
        total, count = self._error(changed, draw)
        return self.share_of_loss(total, count, len(pictures))

    def on_train_start(self) -> None:
        """Bring the average to where the weights are, so that no step has to."""
        if self.average is not None:
            own = self.average.average
            self.average.average = {name: value.to(self.device) for name, value in own.items()}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, and let the average follow it before any callback looks."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update(self._learned())

    def on_validation_epoch_start(self) -> None:
        """Begin the sums, with the averaged weights in place."""
        self.sums = []
        if self.average is not None:
            self.aside = {name: value.clone() for name, value in self._learned().items()}
            self._place(self.average.average)

    def validation_step(self, batch: PictureBatch, batch_idx: int) -> None:
        """Add one batch to the sums; its noise is the same each time."""
        self.sums.append(self._error(batch, self._generator(_VALIDATION, 0, batch_idx)))

    def on_validation_epoch_end(self) -> None:
        """Log the error over all ranks."""
        self.log_means({_FOUND: self.sums}, {_FOUND: 1.0})

    def on_validation_end(self) -> None:
        """Go on with the weights as they were; callbacks have seen the average by now."""
        self._place(self.aside)
        self.aside = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the average for a resumed run."""
        if self.average is not None:
            checkpoint[_AVERAGE] = self.average.average
            checkpoint[_UPDATES] = self.average.n_updates

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the average of a broken run."""
        if self.average is not None:
            self.average.average = dict(checkpoint[_AVERAGE])
            self.average.n_updates = int(checkpoint[_UPDATES])

    def averaged(self) -> dict[str, Tensor]:
        """Return the averaged weights, on the CPU; none where there is no average."""
        average = {} if self.average is None else self.average.average
        return {name: value.detach().cpu() for name, value in average.items()}

    def _error(self, batch: PictureBatch, draw: torch.Generator) -> SumAndCount:
        """Return the sum of squared errors of what is found in noised latents, and its count."""
        latents = self.model.encode(batch.pictures)
        noise, times = self.noise(latents, draw)
        mixed, target = self.model.noised(latents, noise, times)
        kept = None if self.model.null_context is None else batch.paired
        guess = (batch.guesses, batch.guessed) if self.model.first_guess else ()
        found = self.model(batch.voxels, mixed, times, kept, *guess)
        error = (found.float() - target.float()).square().mean(dim=(1, 2, 3))
        return (error * batch.counted).sum(), batch.counted.sum()

    def noise(self, latents: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return noise for some latents, and the time step of each."""
        noise = torch.randn(latents.shape, generator=draw).to(latents)
        times = torch.randint(self.model.noise.steps, (len(latents),), generator=draw)
        return noise, times.to(latents.device)

    def _generator(self, *place: int) -> torch.Generator:
        return torch.Generator().manual_seed(mixed_seed(self.seed, *place, self.global_rank))

    def _learned(self) -> dict[str, Tensor]:
        named = self.model.named_parameters()
        return {name: value.detach() for name, value in named if value.requires_grad}

    @torch.no_grad()
    def _place(self, weights: dict[str, Tensor]) -> None:
        own = dict(self.model.named_parameters())
        for name, value in weights.items():
            own[name].copy_(value)
