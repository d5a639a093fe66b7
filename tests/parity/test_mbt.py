"""MBT against the published implementation, for every variant of the fixtures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brainreel.checkpoints.from_mbt import read_mbt
from brainreel.checkpoints.imported import Imported
from brainreel.files import read_json
from brainreel.layers.clip import Clip
from brainreel.models.mbt import MBT

from .conftest import BESIDE, close

SENSES = {"rgb": "pictures", "spectrogram": "sound"}
POOLINGS = {"token": "mean", "gap": "mean", "gmp": "max", "gsp": "sum"}


def variants() -> list[str]:
    config = Path(os.environ.get("BRAINREEL_GOLDEN", BESIDE)) / "mbt" / "config.json"
    return sorted(read_json(config)["variants"]) if config.is_file() else ["no fixtures"]


def imported(folder: Path, name: str, **more: Any) -> Imported:
    told = read_json(folder / "config.json")
    cfg, variant = {**told["cfg"], **told["variants"][name]}, told["variants"][name]
    sampling = cfg["temporal_encoding_config"]
    options: dict[str, Any] = {
        "fusion_layer": variant["fusion_layer"],
        "pooling": POOLINGS[variant["classifier"]],
        "size": told["rgb_shape"][1:3],
        "frames": told["rgb_shape"][0],
        "bands": told["spec_shape"][1],
        "pixel_mean": 0, "pixel_std": 1, "sound_mean": 0, "sound_std": 1,
    }  # fmt: skip
    if sampling["method"] == "temporal_sampling":
        options["sampled_frames"] = sampling["n_sampled_frames"]
    if not variant["use_bottleneck"] and len(cfg["modality_fusion"]) > 1:
        options["fusion"] = "cross_attention"
    if not variant.get("test_with_bottlenecks", True):
        options["fusion"] = "late"
    return read_mbt(folder / variant["params"], {**options, **more})


def clips(folder: Path) -> Clip:
    given = load_file(folder / "input.safetensors")
    return Clip(
        frames=given["input.rgb"].movedim(-1, 2), sound=given["input.spectrogram"].movedim(-1, 1)
    )


def network(made: Imported) -> MBT:
    built = made.build(where="fixtures")
    assert isinstance(built, MBT)
    return built.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", variants())
def test_every_output_of_every_variant(name: str, golden: Callable[[str], Path]) -> None:
    folder = golden("mbt")
    told = read_json(folder / "config.json")
    order = [SENSES[m] for m in {**told["cfg"], **told["variants"][name]}["modality_fusion"]]
    theirs = {
        key.removeprefix(f"{name}."): value
        for key, value in load_file(folder / "outputs.safetensors").items()
        if key.startswith(f"{name}.")
    }
    assert theirs
    made = imported(folder, name)
    net, clip = network(made), clips(folder)
    for key, value in theirs.items():
        if key == "encoded":
            tokens = net.encode(clip)
            close(torch.cat([tokens[sense] for sense in order], dim=1), value)
        elif key == "logits":
            close(net(clip), value)
        else:
            what, modality = key.split(".")
            assert what == "logits"
            close(net.logits_of(clip)[SENSES[modality]], value)


@torch.no_grad()
@pytest.mark.parametrize("name", variants())
def test_kernels_added_over_channels_hear_one_channel_alike(
    name: str, golden: Callable[[str], Path]
) -> None:
    folder = golden("mbt")
    clip = clips(folder)
    one = clip.sound[:, :1] if clip.sound is not None else None
    three, single = imported(folder, name), imported(folder, name, one_channel=True)
    if "sound" not in three.config.senses:
        pytest.skip("sees only")
    assert single.spec.sound_shape == (1, *three.spec.sound_shape[1:])
    assert one is not None
    channels = three.spec.sound_shape[0]
    copied = Clip(frames=clip.frames, sound=one.repeat(1, channels, 1, 1))
    close(network(single)(Clip(frames=clip.frames, sound=one)), network(three)(copied))


def test_every_tensor_is_used_or_named(golden: Callable[[str], Path]) -> None:
    folder = golden("mbt")
    for name, variant in read_json(folder / "config.json")["variants"].items():
        made = imported(folder, name)
        wanted = set(network(made).state_dict())
        assert set(made.state) == wanted
        assert set(made.dropped) <= {"bottleneck"}, name
        assert bool(made.dropped) == (
            "bottleneck" in load_file(folder / variant["params"])
            and "transformer.bottleneck" not in wanted
        )
