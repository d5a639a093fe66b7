"""What happens around the steps: seeds, learning curves, the best weights, resume checkpoints."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from brainreel.checkpoints.torch_files import read_torch
from brainreel.data.loading import mixed_seed
from brainreel.errors import CheckpointError
from brainreel.files import write_aside, write_text

CURVE_COLUMNS = ("epoch", "step", "lr", "train_loss", "validation_loss")
LAST = "last.ckpt"
BEGIN_AGAIN = "Remove it, and start the run again."


class SeedSteps(Callback):  # type: ignore[misc]
    """Seed dropout at each batch from (seed, epoch, batch, rank) alone.

    What a step draws then never depends on what ran before it, so that a resumed run, or one with
    a validation more, draws the same.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators of all devices."""
        torch.manual_seed(
            mixed_seed(self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        )


class LearningCurve(Callback):  # type: ignore[misc]
    """Append rows to metrics.csv: the training loss every few steps, and each validation.

    A resumed run first drops the rows after its checkpoint, so that the file is that of an
    unbroken run. `scores` are the names of the validation scores beside the loss.
    """

    def __init__(self, path: Path, every_n_steps: int, scores: Sequence[str] = ()) -> None:
        self.path, self.every_n_steps = path, every_n_steps
        self.columns = (*CURVE_COLUMNS, *scores)
        self.last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file, or cut it back to the step that the run resumes from."""
        self.last_step = trainer.global_step
        if not trainer.is_global_zero:
            return
        lines = [",".join(self.columns)]
        if self.last_step and self.path.is_file():
            old = self.path.read_text(encoding="utf-8").splitlines()[1:]
            lines += [line for line in old if int(line.split(",")[1]) <= self.last_step]
        write_text(self.path, "\n".join(lines) + "\n")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the training loss of every n-th step."""
        step = trainer.global_step
        if step == self.last_step or step % self.every_n_steps:
            return
        self.last_step = step
        self._write(trainer, train_loss=float(trainer.callback_metrics["train_loss"]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the validation scores."""
        names = [name for name in self.columns if name.startswith("validation")]
        found = trainer.callback_metrics
        self._write(trainer, **{name: float(found[name]) for name in names if name in found})

    def _write(self, trainer: Trainer, **values: float) -> None:
        if not trainer.is_global_zero:
            return
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **values,
        }
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            csv.DictWriter(stream, self.columns, lineterminator="\n").writerow(row)


class KeepWeights(Callback):  # type: ignore[misc]
    """Hold the weights to hand on, and stop when validation no longer improves.

    Attributes
    ----------
    weights
        After training: of the best validation, or of the last step where there is none or
        `best` is False. Names are those of the model inside the task. On rank 0 under FSDP.
    """

    def __init__(self, *, best: bool, patience: int) -> None:
        self.best, self.patience = best, patience
        self.lowest = float("inf")
        self.waited = 0
        self.kept: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the best validation so far."""
        loss = float(trainer.callback_metrics["validation_loss"])
        if loss < self.lowest:
            self.lowest, self.waited = loss, 0
            self.kept = model_weights(trainer) if self.best else {}
        else:
            self.waited += 1
        self._stop_if_due(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once where the run had already waited long enough when it broke."""
        self._stop_if_due(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the weights while the strategy still holds them."""
        self.weights = self.kept or model_weights(trainer)

    def _stop_if_due(self, trainer: Trainer) -> None:
        if self.patience and self.waited >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"lowest": self.lowest, "waited": self.waited, "kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a broken run."""
        self.lowest, self.waited = float(state_dict["lowest"]), int(state_dict["waited"])
        self.kept = dict(state_dict["kept"])


class SaveForResume(Callback):  # type: ignore[misc]
    """Save everything every n steps to `folder/last.ckpt`, which a broken run goes on from.

    A save that falls due on the last batch of an epoch waits for the epoch's validation, so that
    no validation is lost. The identity of the run stands in the checkpoint: a changed recipe does
    not go on from another's weights.
    """

    def __init__(self, folder: Path, every_n_steps: int, identity: str) -> None:
        self.path = folder / LAST
        self.every_n_steps, self.identity = every_n_steps, identity
        self.last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the step that the run resumes from, in the epoch that comes then."""
        self.last_step = trainer.global_step
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            # Where max_steps is given, Lightning would count the finished epoch as still running.
            loop.epoch_progress.increment_completed()
            loop.epoch_loop.restarting = False
            loop.reset_restart_stage()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if due; just after a step no accumulated gradient is open."""
        if not trainer.is_last_batch and self._newly_stepped(trainer):
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if a save fell due on the last batch."""
        if self._newly_stepped(trainer):
            self._save_if_due(trainer)

    def _newly_stepped(self, trainer: Trainer) -> bool:
        return bool(trainer.global_step != self.last_step)

    def _save_if_due(self, trainer: Trainer) -> None:
        self.last_step = trainer.global_step
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, str]:
        """Return whose run this is."""
        return {"identity": self.identity}

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        """Refuse the checkpoint of another run."""
        if state_dict["identity"] != self.identity:
            raise CheckpointError(
                f"{self.path}: was saved by a run with other settings or data. "
                "Choose another --out, or remove the checkpoint."
            )


class AsideCheckpoints(TorchCheckpointIO):  # type: ignore[misc]
    """Resume checkpoints renamed into place when whole, and read without running any code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path, storage_options: Any = None
    ) -> None:
        """Write to a file beside `path`, then rename it."""
        with write_aside(Path(path)) as aside:
            torch.save(checkpoint, aside)

    def load_checkpoint(
        self, path: Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and plain values; anything else is refused unread."""
        return read_torch(path, map_location or "cpu", advice=BEGIN_AGAIN)


def model_weights(trainer: Trainer) -> dict[str, Tensor]:
    """Return a copy of the weights of the task's model, gathered from all ranks, on the CPU."""
    state = trainer.strategy.lightning_module_state_dict()
    prefix = "model."
    return cpu_copy({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def cpu_copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights that no later step can change."""
    return {name: value.detach().cpu().clone() for name, value in state.items()}
