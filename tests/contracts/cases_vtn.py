from __future__ import annotations

from dataclasses import replace

import torch

from brainreel.layers.clip import Clip
from brainreel.models.vtn import VTNConfig

from .cases import Case, noise, picture_case

FRAME = {"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4}
SMALL = {"frame": FRAME, "heads": 2, "window": 2, "max_positions": 9, "head_width": 6}


def clip_case(options: dict[str, object], width: int, **classes: int) -> Case:
    """Three clips of five frames, the second one without pictures."""
    config = VTNConfig.parse({**SMALL, **options})
    return replace(
        picture_case(config, width, classes),
        inputs=lambda: {
            "clip": Clip(
                frames=noise(3, 5, 3, 8, 12),
                frame_numbers=torch.tensor([[0], [2], [40]]) + torch.arange(5),
                seen=torch.tensor([True, False, True]),
            )
        },
    )


CASES = {
    "vtn": clip_case({}, 8),
    "vtn-mean": clip_case({"pooling": "mean", "positions": "sincos"}, 8),
    "vtn-classes": clip_case({"depth": 1}, 5, verb=2, noun=3),
    "vtn-pixels": clip_case({"frame": {"name": "pixels", "cells": 2}}, 24),
}
