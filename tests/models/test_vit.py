from __future__ import annotations

import pytest
import torch

from brainreel.errors import ConfigError, DataError, ShapeError
from brainreel.layers.clip import Clip
from brainreel.layers.tokens import grid_centres, sincos_positions
from brainreel.models.pixels import PixelsConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec


def spec(*frame_shape: int) -> DataSpec:
    return DataSpec(frame_shape=frame_shape)


def pictures(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 30, 17), (3, 5, 40)])
@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_any_picture_size_gives_one_vector(shape: tuple[int, ...], pooling: str) -> None:
    net = ViTConfig(width=16, heads=2, patch=8, pooling=pooling).build(spec(*shape))
    assert net.embed(pictures(2, *shape)).shape == (2, net.width) == (2, 16)


def test_vit_without_layers_is_the_mean_of_normalised_tokens() -> None:
    net = ViTConfig(width=8, depth=0, heads=2, patch=2, pixel_mean=0, pixel_std=1).build(
        spec(1, 4, 6)
    )
    x = pictures(3, 1, 4, 6)
    cut = x.reshape(3, 2, 2, 3, 2).permute(0, 1, 3, 2, 4).reshape(3, 6, 4)
    tokens = cut @ net.patches.project.weight.reshape(8, 4).T + net.patches.project.bias
    tokens = tokens + sincos_positions(grid_centres((2, 3)), 8)
    expected = torch.nn.functional.layer_norm(tokens, (8,), eps=1e-6).mean(dim=1)
    torch.testing.assert_close(net.embed(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_the_place_of_a_patch_matters(positions: str) -> None:
    net = ViTConfig(width=16, heads=2, patch=4, positions=positions).build(spec(1, 8, 8)).eval()
    x = pictures(1, 1, 8, 8)
    assert not torch.allclose(net.embed(x), net.embed(x.roll(4, dims=-1)), atol=1e-5)


def test_learned_positions_are_weights_and_fixed_ones_are_not() -> None:
    fixed, learned = (
        ViTConfig(positions=kind).build(spec(3, 16, 16)) for kind in ("sincos", "learned")
    )
    assert not any("positions" in name for name in fixed.state_dict())
    assert learned.state_dict()["positions.table"].shape == (2, 2, 32)


def test_pixels_are_means_and_deviations_of_cells() -> None:
    net = PixelsConfig(cells=2, pixel_mean=0, pixel_std=1).build(spec(2, 4, 6))
    x = pictures(3, 2, 4, 6)
    cells = x.reshape(3, 2, 2, 2, 2, 3).permute(0, 1, 2, 4, 3, 5).reshape(3, 8, 6)
    expected = torch.cat([cells.mean(-1), cells.std(-1, unbiased=False)], dim=1)
    torch.testing.assert_close(net.embed(x), expected, rtol=1e-4, atol=1e-5)
    assert net.width == 16


@pytest.mark.parametrize("config", [ViTConfig(), PixelsConfig()])
def test_data_without_film_is_refused(config: ViTConfig | PixelsConfig) -> None:
    with pytest.raises(DataError, match="the data has no film frames"):
        config.build(DataSpec())
    with pytest.raises(ShapeError, match="frames has 9 along axis H"):
        config.build(spec(3, 8, 8)).embed(torch.zeros(1, 3, 9, 8))


def test_deit_averages_two_heads_over_the_frames_of_a_clip() -> None:
    config = ViTConfig(width=16, heads=2, patch=(4, 8), pooling="distilled", positions="learned")
    net = config.build(DataSpec(frame_shape=(1, 8, 8), classes={"verb": 2, "noun": 3})).eval()
    clip = Clip(frames=pictures(2, 3, 1, 8, 8))
    tokens = net.encode(net.scale(clip.frames.flatten(0, 1)))
    assert tokens.shape == (6, 2 + 2, 16)
    means = tokens.reshape(2, 3, 4, 16).mean(1)
    expected = (net.head(means[:, 0]) + net.distillation_head(means[:, 1])) / 2
    torch.testing.assert_close(net(clip), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(net.features(clip), means[:, :2].mean(1), rtol=1e-5, atol=1e-6)
    bare = config.build(spec(1, 8, 8))
    assert bare.distillation_head is None
    assert bare(clip).shape == (2, 16)


def test_the_class_token_read_alone_is_that_of_all_tokens() -> None:
    net = ViTConfig(width=16, heads=2, patch=4, pooling="class").build(spec(1, 8, 8)).eval()
    x = pictures(2, 1, 8, 8)
    torch.testing.assert_close(net.embed(x), net.encode(net.scale(x))[:, 0], rtol=1e-5, atol=1e-6)


def test_pre_logits_are_a_tanh_of_the_token() -> None:
    config = ViTConfig(width=16, heads=2, patch=4, pooling="class", pre_logits=5)
    net = config.build(DataSpec(frame_shape=(1, 8, 8), classes={"label": 3})).eval()
    x = pictures(2, 1, 8, 8)
    token = net.encode(net.scale(x))[:, 0]
    expected = torch.tanh(token @ net.pre_logits[0].weight.T + net.pre_logits[0].bias)
    assert net.width == 5
    torch.testing.assert_close(net.embed(x), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(net(Clip(frames=x[:, None])), net.head(expected))


@pytest.mark.parametrize("patch", [0, (4, 0), (4, 4, 4)])
def test_a_patch_that_is_none_is_refused(patch: object) -> None:
    with pytest.raises(ConfigError, match="patch"):
        ViTConfig.parse({"patch": patch})
