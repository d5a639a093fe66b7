from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from brainreel.checkpoints.imported import Imported, load_imported, save_imported
from brainreel.checkpoints.store import save_run
from brainreel.checkpoints.tube_starts import inflate, read_tubevit_start
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.clip import Clip
from brainreel.models.tubevit import TubeViTConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec

PICTURES = DataSpec(frame_shape=(3, 12, 12), classes={"object": 5})
CLIPS = DataSpec(frame_shape=(3, 12, 12), clip_frames=6, classes={"action": 4})
TUBES: list[dict[str, Any]] = [
    {"kernel": [2, 4, 4], "stride": [2, 4, 4]},
    {"kernel": [1, 6, 6], "stride": [6, 6, 6]},
]
START: dict[str, Any] = {"tubes": TUBES, "frames": 6, "pooling": "class"}


def saved(folder: Path, config: Any, spec: DataSpec) -> Path:
    torch.manual_seed(0)
    net = config.build(spec)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
    return save_imported(folder, Imported(config, spec, net.state_dict()), origin="test")


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    config = ViTConfig(width=24, depth=3, heads=2, patch=6, pooling="class", positions="learned",
                       gelu="tanh", norm_eps=1e-5, pixel_mean=0.4)  # fmt: skip
    return saved(tmp_path / "vit", config, PICTURES)


def small(folder: Path, width: int = 12, **options: Any) -> Path:
    options = {"tubes": TUBES, "width": width, "depth": 1, "heads": 2, **options}
    return saved(folder / "small", TubeViTConfig(**options), CLIPS)


def still(frame: Tensor, n_frames: int) -> Tensor:
    return frame.unsqueeze(1).expand(-1, n_frames, -1, -1, -1)


@pytest.mark.parametrize("spread", ["even", "central"])
def test_a_still_clip_gives_what_the_picture_gave(spread: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(7, 3, 6, 6, generator=generator)
    frame = torch.randn(2, 3, 6, 6, generator=generator)
    inflated = inflate(kernel, (5, 6, 6), spread)
    expected = torch.einsum("dchw,nchw->nd", kernel, frame)
    got = torch.einsum("dcthw,ntchw->nd", inflated, still(frame, 5))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    if spread == "central":
        assert torch.equal(inflated[:, :, 2], kernel)
        assert inflated.count_nonzero() == kernel.count_nonzero()
    else:
        torch.testing.assert_close(5 * inflated[:, :, 4], kernel)


@pytest.mark.parametrize("size", [(1, 3, 3), (2, 12, 4)])
def test_a_smooth_picture_gives_the_same_at_another_size(size: tuple[int, int, int]) -> None:
    kernel = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    even = inflate(kernel, size).sum(dim=(2, 3, 4))
    torch.testing.assert_close(even, kernel.sum(dim=(2, 3)), rtol=0.15, atol=0)


def test_pictures_have_the_very_patches_of_the_vit(vit: Path) -> None:
    imported = read_tubevit_start(vit, START)
    net, image = imported.build(where="start"), load_imported(vit).build(where="vit")
    frame = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    patches = image.patches(image.scale(frame))
    torch.testing.assert_close(net.tubes(frame.unsqueeze(1)), patches, rtol=1e-4, atol=1e-5)
    tokens = net.embed(frame.unsqueeze(1))
    expected = image.norm(image.transformer(tokens))
    assert torch.equal(net.encode(tokens), expected)
    assert torch.equal(net.class_token, image.class_token)
    assert set(imported.dropped) == {"positions.table", "head.weight", "head.bias"}


def test_one_learned_kernel_has_the_first_tubes_size(vit: Path) -> None:
    imported = read_tubevit_start(vit, {**START, "kernels": "interpolated"})
    weight = load_imported(vit).state["patches.project.weight"]
    assert torch.equal(imported.state["tubes.kernels.weights.0"], inflate(weight, (2, 4, 4)))
    assert "tubes.kernels.weights.1" not in imported.state
    config = imported.config.to_dict()
    assert (config["gelu"], config["norm_eps"], config["pixel_mean"]) == ("tanh", 1e-5, 0.4)
    assert imported.spec == DataSpec(frame_shape=(3, 12, 12), clip_frames=6)


def test_attention_pooling_begins_as_the_mean_of_all_tokens(vit: Path) -> None:
    net = read_tubevit_start(vit, {**START, "pooling": "attention"}).build(where="start")
    clip = Clip(frames=torch.rand(2, 6, 3, 12, 12, generator=torch.Generator().manual_seed(1)))
    expected = net.encode(net.embed(clip.frames)).mean(dim=1)
    torch.testing.assert_close(net.features(clip), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [24, 12, 6])
@pytest.mark.parametrize("kernels", ["interpolated", "separate"])
def test_scaled_up_it_is_the_frozen_vit_on_the_small_networks_tubes(
    vit: Path, tmp_path: Path, width: int, kernels: str
) -> None:
    folder = small(tmp_path, width, kernels=kernels, tau=50.0)
    imported = read_tubevit_start(vit, {"small": str(folder), "frozen_layers": 2})
    net, image = imported.build(where="start"), load_imported(vit).build(where="vit")
    clip = torch.rand(2, 6, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    tokens = net.embed(clip)
    assert torch.equal(net.encode(tokens), image.norm(image.transformer(tokens)))
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert {name.split(".")[2] for name in frozen} == {"0", "1"}
    learned = load_imported(folder).state
    assert all(torch.equal(imported.state[k], v) for k, v in learned.items() if k[:5] == "tubes")
    # The first channels of a token are the small network's tokens, where the boxes begin alike.
    before = load_imported(folder).build(where="small").tubes(clip)
    raw = net.tubes(clip)
    assert raw.shape[:2] == before.shape[:2]
    torch.testing.assert_close(raw[..., :width], before, rtol=1e-4, atol=1e-5)
    assert imported.config.to_dict()["tau"] == 50.0


def test_a_fitted_run_serves_as_well(vit: Path, tmp_path: Path) -> None:
    image = load_imported(vit)
    fitted = {f"all:network/{name}": value for name, value in image.state.items()}
    folder = tmp_path / "fit"
    save_run(folder, {"model": image.config.to_dict()}, image.spec,
             {**fitted, "all:other": torch.ones(1)})  # fmt: skip
    again, first = (read_tubevit_start(path, START) for path in (folder, vit))
    assert all(torch.equal(again.state[name], value) for name, value in first.state.items())
    two = {f"{fold}:network/x": torch.ones(1) for fold in ("a", "b")}
    save_run(tmp_path / "two", {"model": image.config.to_dict()}, image.spec, two)
    with pytest.raises(CheckpointError, match=r"networks of several folds \(a, b\)"):
        read_tubevit_start(tmp_path / "two", START)


def test_networks_that_do_not_fit_are_refused(vit: Path, tmp_path: Path) -> None:
    tubes = small(tmp_path, 8)
    with pytest.raises(CheckpointError, match="width of 8 is not 24, nor a half or a quarter"):
        read_tubevit_start(vit, {"small": str(tubes)})
    with pytest.raises(CheckpointError, match="holds no 'vit' with norm=pre"):
        read_tubevit_start(tubes, START)
    with pytest.raises(CheckpointError, match="holds no 'tubevit'"):
        read_tubevit_start(vit, {"small": str(vit)})
    with pytest.raises(CheckpointError, match="joined boxes have fewer channels"):
        read_tubevit_start(vit, {**START, "tubes": [{**TUBES[0], "joined": [1, 1, 2]}]})
    half = small(tmp_path / "half", 12)
    with pytest.raises(CheckpointError, match=r"learned kernels .* joined \[2, 2\] at a time"):
        read_tubevit_start(vit, {"small": str(half), "tubes": TUBES})
    with pytest.raises(ConfigError, match="unknown key 'frozen'. Did you mean 'frozen_layers'"):
        read_tubevit_start(vit, {"frozen": 2})
    blind = saved(tmp_path / "blind", ViTConfig(width=24, heads=2, qkv_bias=False), PICTURES)
    with pytest.raises(CheckpointError, match="has no qkv_bias"):
        read_tubevit_start(blind, START)
