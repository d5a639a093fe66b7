"""A whole tiny run: also started as a process of its own by the tests that kill it or split it.

python tiny_run.py RUN FILMS '{"kill_at_step": 7, "trainer": {...}}'
"""

from __future__ import annotations

import json
import os
import signal
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from lightning.pytorch import Callback

from brainreel.data.module import FilmModule
from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.strips import WindowsConfig
from brainreel.fmri.bold import Bold
from brainreel.models.encoding import EncodingConfig
from brainreel.timebase import TrGrid
from brainreel.train import trainer as engine
from brainreel.train.optim import OptimConfig
from brainreel.train.supervised import fit_supervised
from brainreel.train.trainer import TrainerConfig

WINDOWS = WindowsConfig(frames_per_tr=2, height=8, width=8, window_trs=4, batch_windows=2)
MODEL = EncodingConfig.parse(
    {
        "backbone": {
            "name": "vit",
            "width": 8,
            "depth": 2,
            "heads": 2,
            "patch": 4,
            "drop_path": 0.3,
        },
        "features": 4,
        "hrf_window_s": 2.0,
        "dropout": 0.4,
    }
)
STILL = EncodingConfig.parse(
    {**MODEL.to_dict(), "dropout": 0, "backbone": {**MODEL.backbone.to_dict(), "drop_path": 0}}
)
OPTIM = OptimConfig(lr=0.01)
# Adam would blow rounding up where a gradient is 0 (the keys' bias).
SLOW = OptimConfig(name="sgd", lr=0.01)
TRAINER = {"max_epochs": 3, "progress": False, "accelerator": "cpu", "log_every_steps": 1}
TR_S, N_TRS = Fraction(1), 28
N_VOXELS = {"sub-01": 5, "sub-02": 3}


def write_film(path: Path, seed: int) -> Path:
    """Write 30 s at 5 Hz of 32 x 32 flat frames whose brightness is a slow random walk."""
    rng = np.random.default_rng(seed)
    level = np.clip(128 + np.cumsum(rng.normal(0, 12, 150)), 0, 255).astype(np.uint8)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for value in level:
            picture = np.full((32, 32, 3), value, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    return path


def make_series(folder: Path) -> Series:
    """Two people who saw the same two films, and random BOLD."""
    rng = np.random.default_rng(0)
    recordings = []
    for run, name in enumerate(("one", "two")):
        film = folder / f"{name}.mp4"
        if not film.is_file():
            write_film(film, seed=run)
        for who, n in N_VOXELS.items():
            bold = Bold(rng.normal(size=(N_TRS, n)).astype(np.float32), TrGrid(TR_S, N_TRS))
            recordings.append(Recording(who, f"run-{name}", name, bold, film))
    whole = tuple(Segment(i, 0, N_TRS) for i in range(4))
    fold = Fold("films", "two", train=whole[:2], validation=whole[2:])
    return Series(tuple(recordings), (fold,))


def make_data(folder: Path, **windows: Any) -> FilmModule:
    """The tiny data module: 7 training windows, 4 batches an epoch."""
    series = make_series(folder)
    config = WINDOWS.model_copy(update=windows)
    return FilmModule(series, series.folds[0], config, cache=folder / "cache", seed=3)


def fit(
    run: Path,
    films: Path,
    *,
    model: EncodingConfig | None = None,
    optim: OptimConfig | None = None,
    windows: dict[str, Any] | None = None,
    **trainer: Any,
) -> dict[str, torch.Tensor]:
    """Train the tiny model."""
    config = TrainerConfig.parse(TRAINER | trainer)
    data = make_data(films, **(windows or {}))
    return fit_supervised(model or MODEL, data, optim or OPTIM, config, folder=run, seed=5)


class KillAt(Callback):  # type: ignore[misc]
    """End the process as `kill -9` does, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class SaveGradients(Callback):  # type: ignore[misc]
    """Keep the gradients of every step, as the optimiser sees them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.grads: dict[str, torch.Tensor] = {}

    def on_before_optimizer_step(self, trainer: Any, task: Any, optimizer: Any) -> None:
        if trainer.is_global_zero:
            step = trainer.global_step
            named = task.model.named_parameters()
            self.grads |= {f"{step}.{name}": p.grad.clone() for name, p in named}
            torch.save(self.grads, self.path)


def fit_with(extra: Callback, run: Path, films: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Train with one more callback, called after the others."""
    make = engine.make_trainer

    def make_with(config: Any, folder: Path, callbacks: list[Any], **options: Any) -> Any:
        return make(config, folder, [*callbacks, extra], **options)

    engine.make_trainer = make_with
    try:
        return fit(run, films, **options)
    finally:
        engine.make_trainer = make


def main() -> None:
    run, films = Path(sys.argv[1]), Path(sys.argv[2])
    asked = json.loads(sys.argv[3])
    torch.set_num_threads(1)
    extra: Callback = KillAt(asked.get("kill_at_step", -1))
    if asked.get("gradients"):
        extra = SaveGradients(run / "gradients.pt")
    windows = {"batch_windows": asked.get("batch_windows", WINDOWS.batch_windows)}
    still = {"model": STILL, "optim": SLOW} if asked.get("still") else {}
    fit_with(extra, run, films, windows=windows, **still, **asked.get("trainer", {}))


if __name__ == "__main__":
    main()
