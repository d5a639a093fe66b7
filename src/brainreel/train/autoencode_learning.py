"""The LightningModule of task `autoencode`: pictures are made small and large again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brainreel.data.loading import mixed_seed
from brainreel.data.picture_rows import PictureBatch
from brainreel.layers.picture_changes import PictureChanges
from brainreel.models.first_stage import Coded, VQStage
from brainreel.models.picture_autoencoder import PictureAutoencoder
from brainreel.train.learning import LearningTask
from brainreel.train.losses import SumAndCount
from brainreel.train.optim import OptimConfig

_SQUARED, _ABSOLUTE, _COST = "validation_squared", "validation_absolute", "validation_cost"
_USED, _STEPS = "codes_used", "codes_steps"
_REVIVAL = 1  # keeps the draws of new codes apart from those of batches


class AutoencodeTask(LearningTask):
    """One step: pictures through a first stage, their error, and what their latents cost.

    Parameters
    ----------
    model
        The autoencoder.
    optim
        Optimiser.
    seed
        Of all random draws.
    changes
        Of pictures.
    absolute, cost
        Weights of the absolute error and of what latents cost, beside the squared error.
    revive
        Steps after which codes that nothing was nearest to become latents of the last batch; 0
        for never.
    """

    model: PictureAutoencoder
    scores = (_SQUARED, _ABSOLUTE, _COST)

    def __init__(
        self,
        model: PictureAutoencoder,
        optim: OptimConfig,
        seed: int,
        *,
        changes: PictureChanges,
        absolute: float,
        cost: float,
        revive: int,
    ) -> None:
        super().__init__(model, optim)
        self.seed, self.changes = seed, changes
        self.weights = dict(zip(self.scores, (1.0, absolute, cost), strict=True))
        table = getattr(model.first_stage.network, "quantize", None)
        self.revive = 0 if table is None else revive
        self.used = torch.zeros(0 if table is None else table.n_e, dtype=torch.int64)
        self.n_steps = 0
        self.last: Tensor | None = None
        self.sums: list[list[SumAndCount]] = []

    def training_step(self, batch: PictureBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        draw = self._generator(0, self.current_epoch, batch_idx)
        pictures = batch.pictures
        if not self.changes.none:
            height, width = pictures.shape[2:]
            grid = self.changes.grid(len(pictures), height, width, draw)
            pictures = self.changes.apply(pictures, grid)
        shape = (len(pictures), *self.model.first_stage.latent_shape)
        coded = self.model(pictures, torch.randn(shape, generator=draw).to(pictures))
        if self.revive and coded.codes is not None:
            seen = coded.codes[batch.counted].flatten().cpu()
            self.used += torch.bincount(seen, minlength=len(self.used))
            self.last = coded.latents.detach().movedim(1, -1).flatten(0, 2).float()
        errors = self._errors(coded, pictures, batch.counted)
        return self.share_of_losses(
            list(zip(self.weights.values(), errors, strict=True)), len(pictures)
        )

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, and now and then give codes that are not used another place."""
        super().optimizer_step(*args, **kwargs)
        self.n_steps += 1
        if self.revive and self.n_steps % self.revive == 0:
            self._revive()

    @torch.no_grad()
    def _revive(self) -> None:
        """Let codes that nothing was nearest to become latents, the same on all ranks."""
        stage = self.model.first_stage
        assert isinstance(stage, VQStage)
        assert self.last is not None
        used = self.summed(self.used.to(self.device)).cpu()
        unused = (used == 0).nonzero()[:, 0]
        draw = self._generator(_REVIVAL, self.n_steps)
        chosen = torch.randint(len(self.last), (len(unused),), generator=draw)
        latents = self.last[chosen.to(self.last.device)]
        if self.trainer.world_size > 1:
            latents = self.trainer.strategy.broadcast(latents.cpu()).to(self.device)
        table = stage.network.quantize.embedding.weight
        table[unused.to(table.device)] = latents.to(table)
        self.used.zero_()

    def on_validation_epoch_start(self) -> None:
        """Begin the sums."""
        self.sums = []

    def validation_step(self, batch: PictureBatch, batch_idx: int) -> None:
        """Add one batch to the sums."""
        self.sums.append(self._errors(self.model(batch.pictures), batch.pictures, batch.counted))

    def on_validation_epoch_end(self) -> None:
        """Log the errors over all ranks."""
        named = dict(zip(self.weights, map(list, zip(*self.sums, strict=True)), strict=True))
        self.log_means(named, self.weights)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep which codes were used for a resumed run."""
        checkpoint[_USED], checkpoint[_STEPS] = self.used, self.n_steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the counts of a broken run."""
        self.used, self.n_steps = checkpoint[_USED].clone(), int(checkpoint[_STEPS])

    def _errors(self, coded: Coded, pictures: Tensor, counted: Tensor) -> list[SumAndCount]:
        """Return sums and counts of errors, of pictures in [-1, 1]: twice and four times as far."""
        off = 2 * (coded.pictures.float() - pictures.float())
        each = off.square().mean(dim=(1, 2, 3)), off.abs().mean(dim=(1, 2, 3)), coded.cost.float()
        return [((error * counted).sum(), counted.sum()) for error in each]

    def _generator(self, *place: int) -> torch.Generator:
        return torch.Generator().manual_seed(mixed_seed(self.seed, *place, self.global_rank))
