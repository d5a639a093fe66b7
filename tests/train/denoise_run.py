"""A small diffusion on random trials, as a process of its own for DDP.

python denoise_run.py RUN '{"task": {"batch": 3}, "trainer": {"devices": 2, "strategy": "ddp"}}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainreel.data.samples import Fold, Trials
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.train.denoise import DenoiseConfig
from brainreel.train.denoise_learning import DenoiseTask
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig

SIZES = {
    "encoder": {"patch": 4, "width": 8, "depth": 1, "heads": 2},
    "unet": {
        "channels": 8,
        "multiples": [1],
        "blocks": 1,
        "attention": [],
        "heads": 2,
        "context": 8,
        "norm_groups": 4,
    },
    "first_stage": {"name": "pixels", "patch": 2},
    "context_tokens": 4,
    "predicts": "picture",
    "trained": "everything",
}
# Adam would blow rounding up where a gradient is 0 (the keys' bias).
SLOW = OptimConfig(name="sgd", lr=0.1, weight_decay=0)


def trials() -> Trials:
    """11 to train on: of two ranks with batches of 3, the last batch is uneven."""
    rng = np.random.default_rng(0)
    voxels = rng.normal(size=(14, 10)).astype(np.float32)
    pictures = rng.uniform(size=(14, 1, 4, 4)).astype(np.float32)
    fold = Fold("a", "a", train_trials=tuple(range(11)), test_trials=(12, 13))
    return Trials(voxels, pictures, None, (fold,))


def alike(task: DenoiseTask, latents: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same noise on every picture, for ranks draw for themselves."""
    n = latents[0].numel()
    noise = (torch.arange(n) * 0.37 % 1 - 0.5).reshape(latents.shape[1:])
    return noise.expand(latents.shape).to(latents), torch.full((len(latents),), 300)


def fit(run: Path, asked: dict[str, Any]) -> State:
    """Train two epochs on one fold with noise that is alike."""
    data = trials()
    plain = {"max_epochs": 2, "progress": False, "accelerator": "cpu", "clip_norm": None}
    trainer = TrainerConfig.parse(
        {**plain, "checkpoint_every_steps": 0, **asked.get("trainer", {})}
    )
    model = BrainDiffusionConfig.parse({**SIZES, **asked.get("model", {})})
    still = {"changes": {"crop_rate": 0}, "average": 0.5, **asked.get("task", {})}
    drawn = DenoiseTask.noise
    DenoiseTask.noise = alike  # type: ignore[method-assign]
    try:
        job = Job(data, data.folds[0], model, SLOW, trainer, 0, run)
        return DenoiseConfig.parse(still).fit(job)
    finally:
        DenoiseTask.noise = drawn  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.set_num_threads(1)
    state = fit(Path(sys.argv[1]), json.loads(sys.argv[2]))
    if torch.distributed.get_rank() == 0:
        np.savez(Path(sys.argv[1]) / "state.npz", **state)
