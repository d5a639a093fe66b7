"""Tiny runs that give pictures: voxels that are mixtures of pixels, ridge and latent diffusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from brainreel.train.fit import fit
from brainreel.train.recipe import RunConfig

from ..contracts.cases_diffusion import TINY

SIDE, N_TRAIN, N_TEST = 8, 20, 6
SAMPLING = {"sampler": "ddim", "steps": 3, "eta": 0.5, "samples": 3, "rule": "consensus"}


def write_trials(path: Path, n_voxels: int = 14, seed: int = 0) -> Path:
    """26 trials with grey pictures of 8 x 8; voxels in units far from deviations."""
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, 256, (N_TRAIN + N_TEST, 1, SIDE, SIDE), np.uint8)
    mixed = shown.reshape(len(shown), -1) / 255 @ rng.normal(size=(SIDE * SIDE, n_voxels))
    voxels = 100 + 3 * mixed + 0.5 * rng.normal(size=mixed.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, voxels=voxels.astype(np.float32), pictures=shown)
    return path


def recipe(data: Path | dict[str, Path], kind: str, **model: Any) -> RunConfig:
    """A run of task `pictures` or `denoise`."""
    paths = {k: str(v) for k, v in data.items()} if isinstance(data, dict) else str(data)
    split = {"name": "given", "n_train": N_TRAIN}
    content: dict[str, Any] = {
        "title": "tiny",
        "data": {
            "name": "trials", "path": paths, "picture_keys": ["pictures"], "splits": [split],
        },
        "task": {"name": kind},
        "model": {"name": "picture_ridge", "n_components": [3], "alphas": [10.0]},
    }  # fmt: skip
    if kind == "denoise":
        content["task"] |= {"batch": 5, "sampling": SAMPLING, "guess_parts": 3}
        content["task"]["guess"] = {"n_components": [3], "alphas": [10.0]}
        content["model"] = {"name": "latent_diffusion", **TINY, **model}
        few = {"max_epochs": None, "max_steps": 2, "progress": False, "accelerator": "cpu"}
        content["trainer"] = few
    return RunConfig.parse(content)


def fitted_run(folder: Path, data: Path | dict[str, Path], kind: str, **model: Any) -> Path:
    """Fit it; return the run folder."""
    fit(recipe(data, kind, **model), folder)
    return folder
