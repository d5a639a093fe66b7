"""Trainer options, and the one place where Lightning's Trainer is made and run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import FSDPStrategy
from pydantic import Field, model_validator
from torch import Tensor
from torch.optim import Optimizer

from brainreel.checkpoints.torch_files import read_torch
from brainreel.config import Config
from brainreel.errors import ConfigError, require_extra
from brainreel.train.callbacks import (
    BEGIN_AGAIN,
    LAST,
    AsideCheckpoints,
    KeepWeights,
    LearningCurve,
    SaveForResume,
    SeedSteps,
    cpu_copy,
)

CHECKPOINTS = "checkpoints"
CURVES = "metrics.csv"
_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "64": "64-true"}
# Each is true and harmless here: windows come from memory maps, so workers would only cost, and
# what is frozen stays in eval mode on purpose, and scores are summed over ranks before they are
# logged.
_HARMLESS = (
    r"It is recommended to use `self\.log\(",
    r"Found \d+ module\(s\) in eval mode at the start of training",
    r"The '\w+_dataloader' does not have many workers",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)


class TrainerConfig(Config):
    """How long and on what a network is trained; not used by ridge."""

    max_epochs: int | None = Field(30, ge=1)
    """Passes over the training windows; none leaves max_steps to decide."""
    max_steps: int | None = Field(None, ge=1)
    """Optimiser steps after which training ends; none leaves max_epochs to decide."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU if there is one."""
    devices: int = Field(1, ge=1)
    """Processes, one a device; more than one needs a strategy of ddp or fsdp."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """ddp: a copy of the model on each device; fsdp: the model sharded over GPUs."""
    precision: Literal["32", "bf16", "16", "64"] = "32"
    """bf16 and 16 compute in mixed precision with weights in 32 bits."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Gradients longer than this are shortened to it; none for no clipping."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are joined into one step."""
    patience: int = Field(0, ge=0)
    """Validations without a lower loss before training stops; 0 never stops early."""
    keep: Literal["best", "last"] = "best"
    """Weights handed on: of the lowest validation loss (if there is validation), or the last."""
    validate_every_epochs: int = Field(1, ge=1)
    """Epochs between validations."""
    checkpoint_every_steps: int = Field(200, ge=0)
    """Steps between checkpoints that a broken run resumes from; 0 for none."""
    log_every_steps: int = Field(5, ge=1)
    """Steps between rows of the training loss in metrics.csv."""
    logger: Literal["csv", "tensorboard", "wandb"] = "csv"
    """metrics.csv is always written; TensorBoard or Weights & Biases on top."""
    progress: bool = True
    """Show a progress bar."""
    deterministic: bool = False
    """Refuse operations whose result can differ between runs on a GPU; slower."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.max_epochs is None and self.max_steps is None:
            raise ValueError("give max_epochs or max_steps, or training never ends")
        if self.devices > 1 and self.strategy == "auto":
            raise ValueError("several devices need strategy=ddp or strategy=fsdp")
        return self

    def decisive(self) -> dict[str, Any]:
        """Return the options that decide the weights; the others may change between resumes."""
        shown_only = {"progress", "logger", "log_every_steps", "checkpoint_every_steps"}
        return {key: value for key, value in self.to_dict().items() if key not in shown_only}


def fit_network(
    task: LightningModule,
    data: LightningDataModule,
    config: TrainerConfig,
    folder: Path,
    *,
    seed: int,
    identity: str = "",
    validates: bool = True,
) -> dict[str, Tensor]:
    """Train `task.model`, going on from a checkpoint in `folder/checkpoints` if there is one.

    On a CPU a run that was killed and started again ends with the weights of an unbroken run, bit
    for bit: the order of the windows and the draws of dropout are functions of the seed and the
    step, the rest stands in the checkpoint.

    Parameters
    ----------
    task
        A LightningModule with the network as `.model`, which logs `train_loss` and, if there is
        validation, `validation_loss` and what it names in `.scores`.
    data
        Its batches.
    folder
        The run folder: `metrics.csv` and `checkpoints/` are written there.
    seed
        Seed of dropout.
    identity
        Digest of settings and data; a checkpoint with another one is refused.
    validates
        Whether the data has a validation part.

    Returns
    -------
    dict
        Name to tensor, on the CPU; see `KeepWeights` for which. Under FSDP on rank 0 alone.

    Raises
    ------
    CheckpointError
        If the checkpoint is damaged, is a pickle, or is of another run.
    """
    folder = Path(folder)
    kept = KeepWeights(best=config.keep == "best", patience=config.patience)
    last = folder / CHECKPOINTS / LAST
    if config.strategy == "fsdp" and last.is_file():
        # Lightning's FSDP has a reader of its own, which would unpickle the file unchecked.
        read_torch(last, advice=BEGIN_AGAIN)
    with quiet_lightning(), own_randomness(seed):
        trainer = make_trainer(
            config,
            folder,
            callbacks=[
                SeedSteps(seed),
                LearningCurve(folder / CURVES, config.log_every_steps, getattr(task, "scores", ())),
                kept,
                # Last, so that a checkpoint knows what the others saw.
                SaveForResume(folder / CHECKPOINTS, config.checkpoint_every_steps, identity),
            ],
            validates=validates,
        )
        trainer.fit(
            task,
            datamodule=data,
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )
    if not kept.weights:
        # The run had ended before it broke: Lightning loads the checkpoint and takes no step.
        kept.weights = kept.kept or cpu_copy(task.model.state_dict())
    return kept.weights


def check_devices(config: TrainerConfig) -> None:
    """Refuse devices that this machine does not have.

    Raises
    ------
    ConfigError
        Naming the option and what to set instead.
    """
    n_gpus = torch.cuda.device_count()
    if config.accelerator == "gpu" and n_gpus < config.devices:
        raise ConfigError(
            f"trainer.accelerator=gpu: {config.devices} GPUs are asked for and PyTorch finds "
            f"{n_gpus} here. Set trainer.accelerator=cpu or auto, or trainer.devices lower."
        )
    if config.strategy == "fsdp" and (config.accelerator == "cpu" or not n_gpus):
        raise ConfigError(
            "trainer.strategy=fsdp shards a model over GPUs, and none is used here. "
            "Set trainer.strategy=ddp or auto."
        )


def make_trainer(
    config: TrainerConfig, folder: Path, callbacks: list[Any], *, validates: bool = True
) -> Trainer:
    """Return Lightning's Trainer for the options; it writes only what the callbacks write."""
    check_devices(config)
    return Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy=config.strategy,
        precision=_PRECISIONS[config.precision],
        max_epochs=-1 if config.max_epochs is None else config.max_epochs,
        max_steps=-1 if config.max_steps is None else config.max_steps,
        gradient_clip_val=config.clip_norm,
        accumulate_grad_batches=config.accumulate,
        check_val_every_n_epoch=config.validate_every_epochs,
        log_every_n_steps=1,
        deterministic=config.deterministic or None,
        logger=_logger(config, folder),
        callbacks=callbacks,
        plugins=[AsideCheckpoints()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=config.progress,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if validates else 0,
        # The data module shares the windows out itself, so that padding does not count.
        use_distributed_sampler=False,
    )


def _logger(config: TrainerConfig, folder: Path) -> Any:
    if config.logger == "tensorboard":
        require_extra("tensorboard", "tensorboard")
        return TensorBoardLogger(folder, name="", version="tensorboard")
    if config.logger == "wandb":
        require_extra("wandb", "wandb")
        return WandbLogger(save_dir=folder, project="brainreel")
    return False


def clip_gradients(task: LightningModule, optimizer: Optimizer, longest: float | None) -> None:
    """Shorten the gradient to `longest`; under FSDP the shards know its length only together.

    A task calls it in `configure_gradient_clipping`.
    """
    if isinstance(task.trainer.strategy, FSDPStrategy):
        if longest is not None:
            task.trainer.model.clip_grad_norm_(longest)
    else:
        task.clip_gradients(optimizer, longest, gradient_clip_algorithm="norm")


def is_first_process() -> bool:
    """Whether this process is the one that writes: DDP starts the same command once per device."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def predict_device(config: TrainerConfig) -> torch.device:
    """Return the device that a fitted network predicts on: a GPU if there is one and it may."""
    gpu = config.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed PyTorch inside the block; outside, its generators go on as if nothing had happened."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence, inside the block, Lightning's notices and the warnings known to be harmless."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    algorithms = torch.are_deterministic_algorithms_enabled()
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _HARMLESS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
        torch.use_deterministic_algorithms(algorithms)
