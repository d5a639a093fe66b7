from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.checkpoints.mbt_starts import read_mbt_start
from brainreel.errors import CheckpointError
from brainreel.layers.clip import Clip
from brainreel.models.mbt import MBT
from brainreel.models.vit import ViT, ViTConfig
from brainreel.shapes import DataSpec

PICTURES = DataSpec(frame_shape=(3, 8, 12), classes={"object": 7})
OPTIONS: dict[str, Any] = {"fusion_layer": 1, "frames": 4, "sound": (1, 12, 8)}


def vit(**options: Any) -> ViT:
    small = {"width": 8, "depth": 2, "heads": 2, "patch": 4, "pooling": "class",
             "positions": "learned", "gelu": "tanh"}  # fmt: skip
    torch.manual_seed(0)
    return ViTConfig.parse({**small, **options}).build(PICTURES).eval()


def run(folder: Path, **options: Any) -> Path:
    net = vit(**options)
    config = ViTConfig.parse({
        "width": 8, "depth": 2, "heads": 2, "patch": 4, "pooling": "class",
        "positions": "learned", "gelu": "tanh", **options,
    })  # fmt: skip
    return save_imported(folder, Imported(config, PICTURES, net.state_dict()), origin="test")


def start(folder: Path, **options: Any) -> MBT:
    built = read_mbt_start(folder, {**OPTIONS, **options}).build(where="test")
    assert isinstance(built, MBT)
    return built.eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("shared", [False, True])
def test_one_frame_gives_what_the_picture_gave(shared: bool, tmp_path: Path) -> None:
    net = start(run(tmp_path / "vit"), frames=1, fusion="late", shared=shared)
    frames = noise(3, 1, 3, 8, 12)
    features = net(Clip(frames=frames, sound=noise(3, 1, 12, 8)))
    torch.testing.assert_close(features[:, :8], vit().embed(frames[:, 0]), rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_a_spectrogram_gives_what_a_grey_picture_gave(channels: int, tmp_path: Path) -> None:
    # As large as the picture, so that positions are the same.
    net = start(
        run(tmp_path / "vit"), fusion="late", sound=(channels, 8, 12), sound_mean=0.5, sound_std=0.5
    )
    sound = noise(3, 1, 8, 12)
    features = net(Clip(frames=noise(3, 4, 3, 8, 12), sound=sound.repeat(1, channels, 1, 1)))
    grey = sound.repeat(1, 3, 1, 1)
    torch.testing.assert_close(features[:, 8:], vit().embed(grey), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_tubelets_see_their_middle_frame(tmp_path: Path) -> None:
    folder = run(tmp_path / "vit")
    flat, deep = start(folder, frames=1), start(folder, frames=3, patch_frames=3)
    frames, sound = noise(2, 3, 3, 8, 12), noise(2, 1, 12, 8)
    torch.testing.assert_close(
        deep(Clip(frames=frames, sound=sound)), flat(Clip(frames=frames[:, 1:2], sound=sound)),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip


def test_what_the_vit_does_not_have_is_new_and_the_same_each_time(tmp_path: Path) -> None:
    folder = run(tmp_path / "vit")
    one, again = start(folder), start(folder)
    assert torch.equal(one.transformer.bottleneck, again.transformer.bottleneck)
    assert not torch.equal(one.transformer.bottleneck, start(folder, seed=1).transformer.bottleneck)
    made = read_mbt_start(folder, OPTIONS)
    assert set(made.dropped) == {"head.weight", "head.bias"}
    assert made.spec.classes == {}
    assert made.notes == ()
    assert ORIGINS["mbt_start"].read is read_mbt_start


def test_reading_leaves_the_random_numbers_of_others_alone(tmp_path: Path) -> None:
    folder = run(tmp_path / "vit")
    before = torch.get_rng_state()
    read_mbt_start(folder, OPTIONS)
    assert torch.equal(torch.get_rng_state(), before)


def test_exact_gelu_is_noted(tmp_path: Path) -> None:
    made = read_mbt_start(run(tmp_path / "vit", gelu="exact"), OPTIONS)
    assert "GELU in its tanh form" in made.notes[0]


@pytest.mark.parametrize(
    ("vit_options", "options", "message"),
    [
        ({"norm": "post"}, {}, "holds no 'vit' with norm=pre"),
        ({"pooling": "mean"}, {}, "no class token or no learned positions"),
        ({"positions": "sincos"}, {}, "no class token or no learned positions"),
        ({}, {"fusion_layer": 8}, "cannot meet in layer 8. Give fusion_layer="),
        ({}, {"sound": (2, 12, 8)}, "patches have 3 channels, the sound 2"),
    ],
)
def test_what_does_not_fit_is_named(
    vit_options: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = run(tmp_path / "vit", **vit_options)
    with pytest.raises(CheckpointError, match=message):
        read_mbt_start(folder, {**OPTIONS, **options})
