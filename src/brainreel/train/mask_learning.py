"""The LightningModule of task `mask`, and the sizes of weights that it starts from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from brainreel.checkpoints.run_network import stored_model
from brainreel.config import to_flow
from brainreel.data.loading import mixed_seed
from brainreel.data.voxel_rows import VoxelBatch
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.voxel_patches import cut
from brainreel.models.base import ModelConfig
from brainreel.models.sc_mbm import SCMBM, SCMBMConfig
from brainreel.train.learning import LearningTask
from brainreel.train.losses import SumAndCount
from brainreel.train.masked_losses import picture_feature_error, removed_error
from brainreel.train.optim import OptimConfig
from brainreel.train.picture_targets import ToldPictures

# Options that change how a network learns, not what its weights are.
_OF_LEARNING = frozenset({"name", "mask_ratio", "focus", "focus_rate", "recompute", "padding"})
_FILLED, _TOLD = "validation_filled", "validation_pictures"


class MaskTask(LearningTask):
    """One step: patches hidden at random, and the error of what is filled in, over all ranks.

    With `pictures`, the error of their features is added, weighed.
    """

    scores: tuple[str, ...] = (_FILLED,)

    def __init__(
        self,
        model: SCMBM,
        optim: OptimConfig,
        seed: int,
        *,
        pictures: ToldPictures | None = None,
    ) -> None:
        super().__init__(model, optim)
        self.seed, self.draw, self.pictures = seed, model.noise, pictures
        self.weights = {_FILLED: 1.0}
        if pictures is not None:
            self.weights[_TOLD] = pictures.weight
        self.scores = tuple(self.weights)
        self.sums: list[list[SumAndCount]] = []

    def training_step(self, batch: VoxelBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        errors = self._errors(batch, self.current_epoch, batch_idx)
        parts = list(zip(self.weights.values(), errors, strict=True))
        return self.share_of_losses(parts, len(batch.voxels))

    def on_validation_epoch_start(self) -> None:
        """Begin the sums."""
        self.sums = []

    def validation_step(self, batch: VoxelBatch, batch_idx: int) -> None:
        """Add one batch to the sums; its patches are hidden the same each time."""
        self.sums.append(self._errors(batch, batch_idx))

    def on_validation_epoch_end(self) -> None:
        """Log the errors over all ranks."""
        named = dict(zip(self.weights, map(list, zip(*self.sums, strict=True)), strict=True))
        self.log_means(named, self.weights)

    def _errors(self, batch: VoxelBatch, *place: int) -> list[SumAndCount]:
        seed = mixed_seed(self.seed, *place, self.global_rank)
        generator = torch.Generator().manual_seed(seed)
        noise = self.draw(len(batch.voxels), generator).to(batch.voxels.device)
        shown = None if self.pictures is None else batch.counted.nonzero()[:, 0]
        out = self.model(batch.voxels, noise, shown)
        counted = out.removed & batch.counted[:, None]
        whole = batch.whole
        measured = out.measured if whole is None else cut(whole, out.measured.shape[2])
        errors = [removed_error(out.predicted, measured, counted)]
        if self.pictures is not None and batch.row is not None and out.pictures is not None:
            features = self.pictures.of(batch.row[batch.counted], learned=self.training)
            errors.append(picture_feature_error(out.pictures, features))
        return errors


def settled_voxels(model: ModelConfig, folder: Path) -> ModelConfig:
    """Return a model with the sizes of the weights that it starts from.

    Raises
    ------
    CheckpointError
        If the folder holds no SC-MBM.
    ConfigError
        If an option that was given contradicts it.
    """
    stored = stored_model(folder)
    if not isinstance(model, SCMBMConfig) or not isinstance(stored, SCMBMConfig):
        raise CheckpointError(
            f"{folder}: holds a model '{stored.name}', which is no SC-MBM. Give a run of task "
            "mask, or what 'brainreel import mind-vis' made."
        )
    own, theirs = model.to_dict(), stored.to_dict()
    alike = theirs.keys() - _OF_LEARNING - {"picture_features", "picture_depth"}
    for name in sorted(alike & model.model_fields_set):
        if own[name] != theirs[name]:
            raise ConfigError(
                f"model.{name} is {to_flow(own[name])}, and the weights in {folder} are for "
                f"{to_flow(theirs[name])}. Leave it out, and it is taken from there."
            )
    return SCMBMConfig.parse(own | {name: theirs[name] for name in alike}, where="model")
