"""A masked network on random voxels, as a process of its own for DDP.

python mask_run.py RUN '{"task": {"batch": 4}, "trainer": {"devices": 2, "strategy": "ddp"}}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback

from brainreel.data.samples import Fold, Trials
from brainreel.models.sc_mbm import SCMBM, SCMBMConfig
from brainreel.train import trainer as engine
from brainreel.train.mask_fill import MaskConfig
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig

SIZES = {
    "patch": 4, "width": 8, "depth": 2, "heads": 2, "decoder_width": 8, "decoder_depth": 1,
    "decoder_heads": 2, "mask_ratio": 0.5,
}  # fmt: skip
# Adam would blow rounding up where a gradient is 0 (the keys' bias).
SLOW = OptimConfig(name="sgd", lr=0.01)


class SaveGradients(Callback):  # type: ignore[misc]
    """Keep the gradients of every step, as the optimiser sees them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.grads: dict[str, torch.Tensor] = {}

    def on_before_optimizer_step(self, trainer: Any, task: Any, optimizer: Any) -> None:
        if trainer.is_global_zero:
            moved = {n: p.grad for n, p in task.model.named_parameters() if p.requires_grad}
            self.grads |= {f"{trainer.global_step}.{n}": grad.clone() for n, grad in moved.items()}
            torch.save(self.grads, self.path)


def trials() -> Trials:
    """13 to train on: of two ranks with batches of 4, the last batch is uneven."""
    voxels = np.random.default_rng(0).normal(size=(20, 18)).astype(np.float32)
    fold = Fold("a", "a", train_trials=tuple(range(13)), test_trials=(18, 19))
    return Trials(voxels, None, None, (fold,))


def alike(network: SCMBM, n_rows: int, generator: torch.Generator) -> torch.Tensor:
    """The same patches hidden in every vector, for ranks draw for themselves."""
    n = network.encoder.n_patches
    return (torch.arange(n) * 0.37 % 1).expand(n_rows, n)


def fit(run: Path, asked: dict[str, Any]) -> State:
    """Train two steps; gradients lie in RUN/gradients.pt."""
    make = engine.make_trainer
    extra = SaveGradients(run / "gradients.pt")

    def make_with(config: Any, folder: Path, callbacks: list[Any], **options: Any) -> Any:
        return make(config, folder, [*callbacks, extra], **options)

    data = trials()
    plain = {"max_epochs": 1, "progress": False, "accelerator": "cpu", "clip_norm": None}
    trainer = TrainerConfig.parse({**plain, "keep": "last", **asked.get("trainer", {})})
    model = SCMBMConfig.parse({**SIZES, **asked.get("model", {})})
    drawn = SCMBM.noise
    engine.make_trainer, SCMBM.noise = make_with, alike  # type: ignore[method-assign,assignment]
    try:
        job = Job(data, data.folds[0], model, SLOW, trainer, 0, run)
        return MaskConfig.parse({"name": "mask", **asked.get("task", {})}).fit(job)
    finally:
        engine.make_trainer, SCMBM.noise = make, drawn  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.set_num_threads(1)
    fit(Path(sys.argv[1]), json.loads(sys.argv[2]))
