"""A tiny classifier: films whose class is how bright they are and how high they sound.

Also started as a process of its own by the tests that split it over ranks:
python tiny_clips.py RUN MEDIA '{"gradients": true, "trainer": {...}}'
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainreel.config import override
from brainreel.data.labelled import LabelledData
from brainreel.simulate.film import write_film
from brainreel.train.classify import ClassifyConfig
from brainreel.train.recipe import RunConfig
from brainreel.train.task import Job

PARTS = {"train": 6, "val": 2, "test": 2}
CLASSES = ("dark", "grey", "light")
RUN: dict[str, Any] = {
    "data": {"name": "labelled"},
    "model": {"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 8},
    "task": {
        "name": "classify",
        "clips": {"n_frames": 2, "height": 16, "width": 16, "batch": 6},
    },
    "optim": {"name": "sgd", "lr": 0.05, "momentum": 0.5},
    "trainer": {"max_epochs": 2, "progress": False, "accelerator": "cpu", "log_every_steps": 1},
}


def write_media(root: Path) -> Path:
    """Folders of parts and classes with films of 0.8 s, 16 x 16, with sound."""
    rng = np.random.default_rng(0)
    for part, count in PARTS.items():
        for number, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                level = 40 + 80 * number + rng.integers(-15, 16)
                frames = np.full((4, 16, 16, 3), level, np.uint8)
                frames += rng.integers(0, 10, frames.shape, dtype=np.uint8)
                tone = np.sin(2 * np.pi * 300 * 2**number * np.arange(12800) / 16000)
                write_film(
                    root / part / name / f"{i}.mp4",
                    frames,
                    (0.3 * tone).astype(np.float32),
                    frame_rate_hz=5,
                    size=(16, 16),
                )
    return root


def run_config(media: Path, *changes: str) -> RunConfig:
    """The run, with overrides as they are typed."""
    content = override(RUN, [f"data.path={media}", *changes])
    return RunConfig.parse(content, where="tiny")


def job_of(media: Path, folder: Path, *changes: str) -> tuple[ClassifyConfig, Job]:
    """The task and its job."""
    config = run_config(media, *changes)
    assert isinstance(config.data, LabelledData)
    assert isinstance(config.task, ClassifyConfig)
    data = config.data.open()
    job = Job(data, data.folds[0], config.model, config.optim, config.trainer, config.seed, folder)
    return config.task, job


def main() -> None:
    run, media = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location(
        "brainreel_tiny_run", Path(__file__).with_name("tiny_run.py")
    )
    assert spec is not None
    assert spec.loader is not None
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    task, job = job_of(media, run, *json.loads(sys.argv[3]))
    tiny.fit = lambda *_, **__: task.fit(job)
    tiny.fit_with(tiny.SaveGradients(run / "gradients.pt"), run, media)


if __name__ == "__main__":
    main()
