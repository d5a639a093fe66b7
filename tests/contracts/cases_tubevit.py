from __future__ import annotations

from dataclasses import replace

import torch

from brainreel.layers.clip import Clip
from brainreel.layers.tubes import Tube
from brainreel.models.tubevit import TubeViTConfig
from brainreel.shapes import DataSpec

from .cases import Case, noise

CLIPS = DataSpec(frame_shape=(3, 12, 16), clip_frames=6)
TUBES = (
    Tube(kernel=(2, 4, 4), stride=(2, 4, 4)),
    Tube(kernel=(4, 2, 2), stride=(2, 6, 6), offset=(0, 1, 2)),
    Tube(kernel=(1, 6, 6), stride=(6, 6, 6)),
)
JOINED = (
    Tube(kernel=(2, 4, 4), stride=(4, 4, 4), joined=(1, 2, 2)),
    Tube(kernel=(4, 2, 2), stride=(2, 6, 6), joined=(2, 1, 1)),
    Tube(kernel=(1, 6, 6), stride=(6, 6, 6)),
)


def clip_case(config: TubeViTConfig, classes: dict[str, int] | None = None) -> Case:
    return Case(
        config=config,
        spec=replace(CLIPS, classes=classes or {}),
        inputs=lambda: {"clip": Clip(frames=noise(3, 6, 3, 12, 16))},
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, sum(classes.values()) if classes else 12),
        wrong=lambda given: {"clip": Clip(frames=torch.cat([given["clip"].frames] * 2, dim=4))},
        axis="frames has 32 along axis W",
    )


SMALL = {"width": 12, "depth": 2, "heads": 2, "tubes": TUBES}
CASES = {
    "tubevit": clip_case(TubeViTConfig(**SMALL)),
    "tubevit-class": clip_case(TubeViTConfig(**SMALL, pooling="class", recompute=True)),
    "tubevit-separate": clip_case(TubeViTConfig(**SMALL, kernels="separate")),
    "tubevit-joined": clip_case(TubeViTConfig(**{**SMALL, "tubes": JOINED})),
    "tubevit-scaled-up": clip_case(TubeViTConfig(**SMALL, frozen_layers=1)),
    "tubevit-classes": clip_case(TubeViTConfig(**SMALL, rescale=False), {"verb": 2, "noun": 3}),
}
