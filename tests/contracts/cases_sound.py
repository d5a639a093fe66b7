from __future__ import annotations

from dataclasses import replace

import torch

from brainreel.layers.clip import Clip
from brainreel.models.ast import ASTConfig
from brainreel.shapes import DataSpec

from .cases import Case, noise

SOUND = DataSpec(sound_shape=(1, 20, 12))


def sound_case(config: ASTConfig, width: int, classes: dict[str, int] | None = None) -> Case:
    return Case(
        config=config,
        spec=replace(SOUND, classes=classes or {}),
        inputs=lambda: {"clip": Clip(sound=noise(3, 1, 20, 12))},
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, width),
        wrong=lambda given: {"clip": Clip(sound=torch.cat([given["clip"].sound] * 2, dim=2))},
        axis="sound has 40 along axis S",
    )


CASES = {
    "ast": sound_case(ASTConfig(width=8, depth=1, heads=2, patch=4), 8),
    "ast-distilled": sound_case(
        ASTConfig(
            width=8, heads=2, patch=(6, 4), stride=(4, 3), pooling="distilled",
            positions="learned", gelu="tanh", recompute=True,
        ),
        5, {"label": 5},
    ),
}  # fmt: skip
