from __future__ import annotations

import torch

from brainreel.layers.film_windows import FilmWindows
from brainreel.models.film_vae import FilmVAEConfig, FilmVAEOutput
from brainreel.models.tff import TFFAutoencoderConfig, TFFConfig, TFFLabelConfig, VolumeOptions
from brainreel.shapes import DataSpec

from .cases import Case, Inputs, noise

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


def film_inputs() -> Inputs:
    return {
        "volumes": noise(3, 2, 2, *GRID),
        "reference": noise(4, 2, *GRID)[1:],
        "film": FilmWindows(noise(2, 5, 2, 3, 8, 12)),
        "row": torch.tensor([0, 0, 1]),
        "imagine": "mean",
    }


def film_row(given: Inputs, i: int) -> Inputs:
    film = int(given["row"][i])
    return {
        "volumes": given["volumes"][i : i + 1],
        "reference": given["reference"][i : i + 1],
        "film": FilmWindows(given["film"].frames[film : film + 1]),
        "row": torch.tensor([0]),
        "imagine": "mean",
    }


def everything(out: FilmVAEOutput) -> torch.Tensor:
    gaussians = [out.posterior.mean, out.posterior.log_std, out.prior.mean, out.prior.log_std]
    assert out.imagined is not None
    return torch.cat([x.flatten(1) for x in (*gaussians, out.reconstructed, out.imagined)], 1)


CASES = {
    "tff_autoencoder": volume_case(TFFAutoencoderConfig.parse(TINY), (3, 2, *GRID)),
    "tff": volume_case(TFFConfig.parse(TINY | OVER_TIME), (3, 2, *GRID)),
    "tff_label": volume_case(TFFLabelConfig.parse(TINY | OVER_TIME), (3, 3), classes={"group": 3}),
    "film_vae": Case(
        config=FilmVAEConfig.parse(
            TINY
            | OVER_TIME
            | {
                "backbone": {"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4},
                "features": 4,
                "hrf_delay_s": 2,
                "hrf_window_s": 4,
                "dropout": 0.0,
            }
        ),
        spec=DataSpec(grid=GRID, tr_s=2.0, frame_shape=(3, 8, 12), frames_per_tr=2),
        inputs=film_inputs,
        row=film_row,
        out=(3, 2 * (4 * 8 + 2 * 120)),
        wrong=lambda given: {**given, "reference": torch.cat([given["reference"]] * 2, dim=4)},
        axis="reference has 8 along axis Z",
        joined=everything,
    ),
}
