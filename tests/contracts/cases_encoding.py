from __future__ import annotations

from dataclasses import replace

import torch

from brainreel.models.encoding import EncodingConfig
from brainreel.shapes import DataSpec

from .cases import Case, Inputs, noise

FILMS = DataSpec(
    subjects=("sub-01", "sub-02"),
    n_voxels=(5, 4),
    tr_s=2.0,
    frame_shape=(3, 8, 12),
    frames_per_tr=2,
)


def film_row(given: Inputs, i: int) -> Inputs:
    film = int(given["film"][i])
    whose = {"film": torch.tensor([0]), "subject": given["subject"][i : i + 1]}
    return {k: v[film : film + 1] for k, v in given.items() if k not in whose} | whose


CASES = {
    "encoding": Case(
        config=EncodingConfig.parse(
            {
                "backbone": {"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4},
                "features": 4,
                "hrf_window_s": 4,
            }
        ),
        spec=FILMS,
        inputs=lambda: {
            "frames": noise(2, 6, 2, 3, 8, 12),
            "film": torch.tensor([0, 0, 1]),
            "subject": torch.tensor([1, 0, 1]),
            "shown": torch.tensor([[False] + [True] * 5, [True] * 6]),
        },
        row=film_row,
        out=(3, 4, 5),
        wrong=lambda given: {**given, "frames": torch.cat([given["frames"]] * 2, dim=5)},
        axis="frames has 24 along axis W",
    ),
    "encoding-clips": Case(
        config=EncodingConfig.parse(
            {
                "backbone": {
                    "name": "vtn",
                    "frame": {"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4},
                    "depth": 1, "heads": 2, "window": 2, "max_positions": 10, "dropout": 0.0,
                    "attention_dropout": 0.0,
                },
                "listener": {"name": "ast", "width": 8, "depth": 1, "heads": 2, "patch": 4},
                "clip_trs": 2,
                "features": 4,
                "hrf_window_s": 2,
            }
        ),
        spec=replace(FILMS, sound_shape=(1, 4, 8)),
        inputs=lambda: {
            "frames": noise(2, 6, 2, 3, 8, 12),
            "film": torch.tensor([0, 0, 1]),
            "subject": torch.tensor([1, 0, 1]),
            "shown": torch.tensor([[False] + [True] * 5, [True] * 6]),
            "sound": noise(2, 6, 1, 4, 8),
            "frame_numbers": torch.arange(24).reshape(2, 6, 2),
        },
        row=film_row,
        out=(3, 4, 5),
        wrong=lambda given: {**given, "sound": torch.cat([given["sound"]] * 2, dim=4)},
        axis="sound has 16 along axis M",
    ),
}  # fmt: skip
