from __future__ import annotations

from typing import Any

import torch

from brainreel.layers.clip import Clip
from brainreel.models.mbt import MBTConfig
from brainreel.shapes import DataSpec

from .cases import Case, Inputs, noise

FILMS = DataSpec(frame_shape=(3, 8, 12), clip_frames=4, sound_shape=(1, 6, 8))


def case(classes: dict[str, int] | None = None, **options: Any) -> Case:
    small = {"width": 8, "depth": 3, "heads": 2, "patch": 4, "sound_patch": (3, 4)}
    config = MBTConfig.parse({**small, **options})
    spec = DataSpec(**{**vars(FILMS), "classes": classes or {}})
    return Case(
        config=config,
        spec=spec,
        inputs=lambda: {
            "clip": Clip(
                frames=noise(3, 4, 3, 8, 12) if "pictures" in config.inputs else None,
                sound=10 * noise(3, 1, 6, 8) if "sound" in config.inputs else None,
            )
        },
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, sum(classes.values()) if classes else 8 * len(config.inputs)),
        wrong=too_wide,
        axis="frames has 24 along axis W" if "pictures" in config.inputs else "sound has 16 along",
    )


def too_wide(given: Inputs) -> Inputs:
    clip = given["clip"]
    if clip.frames is None:
        return {"clip": Clip(sound=torch.cat([clip.sound] * 2, dim=3))}
    return {"clip": Clip(frames=torch.cat([clip.frames] * 2, dim=4), sound=clip.sound)}


def gappy(of: Case) -> Case:
    """The same where one row lacks sound and one lacks pictures."""

    def inputs() -> Inputs:
        clip = of.inputs()["clip"]
        clip.seen = torch.tensor([True, True, False])
        clip.heard = torch.tensor([True, False, True])
        return {"clip": clip}

    return Case(of.config, of.spec, inputs, of.row, of.out, of.wrong, of.axis)


KINDS = {"verb": 2, "noun": 3}
CASES = {
    "mbt": case(KINDS),
    "mbt-features": case(patch_frames=2),
    "mbt-early-shared": case(KINDS, fusion_layer=0, bottlenecks=1, shared=True),
    "mbt-self": case(KINDS, fusion="self_attention", recompute=True),
    "mbt-self-shared": case(KINDS, fusion="self_attention", shared=True),
    "mbt-cross": case(KINDS, fusion="cross_attention", representation=6),
    "mbt-late": case(KINDS, fusion="late"),
    "mbt-mean": case(KINDS, pooling="mean"),
    "mbt-max": case(KINDS, pooling="max"),
    "mbt-sum": case(KINDS, pooling="sum", sampled_frames=2),
    "mbt-pictures": case(KINDS, inputs=("pictures",)),
    "mbt-sound": case(inputs=("sound",)),
    "mbt-gaps": gappy(case(KINDS)),
    "mbt-gaps-self": gappy(case(KINDS, fusion="self_attention")),
    "mbt-gaps-mean": gappy(case(KINDS, pooling="mean", recompute=True)),
}
