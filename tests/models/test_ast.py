from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from brainreel.errors import ConfigError, DataError
from brainreel.layers.clip import Clip
from brainreel.layers.positions import fit_positions
from brainreel.layers.tokens import grid_centres, sincos_positions
from brainreel.models.ast import ASTConfig
from brainreel.shapes import DataSpec


def spec(*sound_shape: int, **classes: int) -> DataSpec:
    return DataSpec(sound_shape=sound_shape, classes=classes)


def sound(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(1, 100, 128), (2, 37, 20), (1, 5, 40)])
@pytest.mark.parametrize("pooling", ["mean", "class", "distilled"])
@pytest.mark.parametrize("stride", [None, 10, (7, 16)])
def test_any_spectrogram_gives_one_vector(shape, pooling, stride) -> None:
    config = ASTConfig(width=16, depth=1, heads=2, pooling=pooling, stride=stride)
    net = config.build(spec(*shape))
    assert config.senses == {"sound"}
    assert net(Clip(sound=sound(2, *shape))).shape == (2, net.width) == (2, 16)


def test_without_layers_it_is_the_mean_of_normalised_overlapping_tokens() -> None:
    config = ASTConfig(
        width=8, depth=0, heads=2, patch=(3, 2), stride=(2, 1), sound_mean=1, sound_std=2
    )
    net = config.build(spec(1, 8, 4, label=3))
    x = sound(2, 1, 8, 4)
    tokens = [
        ((x[:, 0, i : i + 3, j : j + 2] - 1) / 2).flatten(1)
        @ net.patches.project.weight.flatten(1).T + net.patches.project.bias
        for i in (0, 2, 4)
        for j in (0, 1, 2)
    ]  # fmt: skip
    placed = torch.stack(tokens, dim=1) + sincos_positions(grid_centres((3, 3)), 8)
    expected = functional.layer_norm(placed, (8,), eps=1e-6).mean(dim=1)
    torch.testing.assert_close(net.features(Clip(sound=x)), expected, rtol=1e-5, atol=1e-6)
    read = functional.layer_norm(expected, (8,), eps=1e-6)
    logits = read @ net.head[1].weight.T + net.head[1].bias
    torch.testing.assert_close(net(Clip(sound=x)), logits, rtol=1e-5, atol=1e-6)


def test_two_tokens_are_averaged_before_one_head() -> None:
    config = ASTConfig(width=16, heads=2, patch=4, pooling="distilled", positions="learned")
    net = config.build(spec(1, 8, 8, label=3)).eval()
    clip = Clip(sound=sound(2, 1, 8, 8))
    tokens = net.encode(net.scale(clip.sound))
    torch.testing.assert_close(net.features(clip), tokens[:, :2].mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(net(clip), net.head(tokens[:, :2].mean(1)), rtol=1e-5, atol=1e-6)


def test_positions_of_ten_seconds_serve_three_by_their_middle() -> None:
    config = ASTConfig(width=16, heads=2, patch=4, positions="learned")
    long, short = config.build(spec(1, 40, 8)), config.build(spec(1, 12, 8))
    short.load_state_dict(fit_positions(short, long.state_dict()))
    assert torch.equal(short.positions.table, long.positions.table[3:6])


def test_data_without_sound_and_impossible_patches_are_refused() -> None:
    with pytest.raises(DataError, match="the data has no sound. 'ast' needs films with sound"):
        ASTConfig().build(DataSpec(frame_shape=(3, 8, 8)))
    with pytest.raises(DataError, match="the clip has no sound. 'ast' listens"):
        ASTConfig().build(spec(1, 8, 8))(Clip(frames=sound(1, 1, 3, 8, 8)))
    with pytest.raises(ConfigError, match=r"stride of \(17, 17\) leaves gaps"):
        ASTConfig(stride=17).build(spec(1, 40, 40))
