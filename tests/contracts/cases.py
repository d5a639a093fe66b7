"""Case: how the contract tests feed a network.

A new family joins by a file `cases_<family>.py` here, with its `CASES` by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from brainreel.layers.clip import Clip
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Case:
    config: ModelConfig
    spec: DataSpec
    inputs: Callable[[], Inputs]
    """Keyword arguments of forward, for a batch of three rows."""
    row: Callable[[Inputs, int], Inputs]
    """The same for row i alone."""
    out: tuple[int, ...]
    """The documented shape of what comes out."""
    wrong: Callable[[Inputs], Inputs]
    """Inputs with one axis too long."""
    axis: str
    """How the error names that axis."""
    joined: Callable[[Any], Tensor] = field(default=lambda out: out)
    """Everything that forward gives, as one tensor of the shape `out`."""


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


PICTURES = DataSpec(frame_shape=(3, 8, 12))


def picture_case(config: ModelConfig, width: int, classes: dict[str, int] | None = None) -> Case:
    return Case(
        config=config,
        spec=replace(PICTURES, classes=classes or {}),
        inputs=lambda: {"clip": Clip(frames=noise(3, 2, 3, 8, 12))},
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, width),
        wrong=lambda given: {"clip": Clip(frames=torch.cat([given["clip"].frames] * 2, dim=4))},
        axis="frames has 24 along axis W",
    )
