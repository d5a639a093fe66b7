from __future__ import annotations

import torch

from brainreel.models.tff import TFFAutoencoderConfig, TFFConfig, TFFLabelConfig, VolumeOptions
from brainreel.shapes import DataSpec

from .cases import Case, noise

GRID = (5, 6, 4)
TINY = {
    "widths": (4, 8),
    "blocks": (1, 1),
    "embedding": 8,
    "encoder_dropout": 0.0,
    "decoder_dropout": 0.0,
}
OVER_TIME = {"heads": 2, "layers": 1, "hidden": 8, "max_trs": 4, "transformer_dropout": 0.0}


def volume_case(config: VolumeOptions, out: tuple[int, ...], **facts: dict[str, int]) -> Case:
    return Case(
        config=config,
        spec=DataSpec(grid=GRID, **facts),
        inputs=lambda: {"volumes": noise(3, 2, 2, *GRID)},
        row=lambda given, i: {"volumes": given["volumes"][i : i + 1]},
        out=out,
        wrong=lambda given: {"volumes": torch.cat([given["volumes"]] * 2, dim=4)},
        axis="volumes has 12 along axis Y",
    )


CASES = {
    "tff_autoencoder": volume_case(TFFAutoencoderConfig.parse(TINY), (3, 2, *GRID)),
    "tff": volume_case(TFFConfig.parse(TINY | OVER_TIME), (3, 2, *GRID)),
    "tff_label": volume_case(TFFLabelConfig.parse(TINY | OVER_TIME), (3, 3), classes={"group": 3}),
}
