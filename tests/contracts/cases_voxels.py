from __future__ import annotations

import torch
from torch import Tensor

from brainreel.models.sc_mbm import FilledPatches, SCMBMConfig
from brainreel.shapes import DataSpec

from .cases import Case, Inputs, noise

TINY = {
    "patch": 4,
    "width": 8,
    "depth": 1,
    "heads": 2,
    "decoder_width": 12,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "mask_ratio": 0.5,
    "picture_features": (2, 3, 4),
}


def masked(given: Inputs, i: int) -> Inputs:
    return {name: value[i : i + 1] for name, value in given.items()}


def everything(out: FilledPatches) -> Tensor:
    assert out.pictures is not None
    return torch.cat([out.predicted.flatten(1), out.pictures.flatten(1)], dim=1)


CASES = {
    "sc_mbm": Case(
        config=SCMBMConfig.parse(TINY),
        spec=DataSpec(subjects=("a", "b"), n_voxels=(14, 9)),
        inputs=lambda: {"voxels": noise(3, 14), "noise": noise(4, 4)[1:]},
        row=masked,
        out=(3, 4 * 4 + 2 * 3 * 4),
        wrong=lambda given: {**given, "voxels": torch.cat([given["voxels"]] * 2, dim=1)},
        axis="voxels has 28 along axis V",
        joined=everything,
    )
}
