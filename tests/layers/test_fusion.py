from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError
from brainreel.layers.attention import attention_maps
from brainreel.layers.fusion_transformer import FusionOptions, FusionTransformer
from brainreel.layers.joint import JointAttention
from brainreel.layers.transformer import Attention, BlockOptions

BLOCK = BlockOptions(width=8, heads=2, hidden=12, gelu="tanh")
SENSES = ("pictures", "sound")
FUSIONS = ("bottleneck", "self_attention", "cross_attention", "late")


def build(depth: int = 3, **how: Any) -> FusionTransformer:
    torch.manual_seed(0)
    net = FusionTransformer(BLOCK, depth, FusionOptions(senses=SENSES, **how)).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tokens() -> dict[str, Tensor]:
    return {"pictures": noise(2, 5, 8), "sound": noise(2, 4, 8, seed=1)}


def block(net: FusionTransformer, sense: str, number: int) -> torch.nn.Module:
    return net.towers["shared" if net.how.shared else sense].blocks[number]


@torch.no_grad()
@pytest.mark.parametrize("shared", [False, True])
def test_bottleneck_is_concatenation_and_a_mean(shared: bool) -> None:
    net = build(layer=1, bottlenecks=3, shared=shared)
    z = {sense: block(net, sense, 0)(x) for sense, x in tokens().items()}
    b = net.bottleneck.expand(2, 3, 8)
    for number in (1, 2):
        out = {s: block(net, s, number)(torch.cat([x, b], dim=1)) for s, x in z.items()}
        z = {"pictures": out["pictures"][:, :5], "sound": out["sound"][:, :4]}
        b = (out["pictures"][:, 5:] + out["sound"][:, 4:]) / 2
    found = net(tokens())
    for sense in SENSES:
        torch.testing.assert_close(found[sense], z[sense], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_cross_attention_is_a_block_on_all_tokens_kept_at_the_own() -> None:
    net = build(fusion="cross_attention", layer=0)
    z = tokens()
    for number in range(3):
        joint = torch.cat([z["pictures"], z["sound"]], dim=1)
        z = {
            "pictures": block(net, "pictures", number)(joint)[:, :5],
            "sound": block(net, "sound", number)(joint)[:, 5:],
        }
    found = net(tokens())
    for sense in SENSES:
        torch.testing.assert_close(found[sense], z[sense], rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["self_attention", "cross_attention"])
def test_with_shared_weights_both_are_one_transformer_on_all_tokens(fusion: str) -> None:
    net = build(fusion=fusion, layer=1, shared=True)
    z = torch.cat([block(net, s, 0)(x) for s, x in tokens().items()], dim=1)
    for number in (1, 2):
        z = block(net, "", number)(z)
    found = net(tokens())
    torch.testing.assert_close(torch.cat(list(found.values()), 1), z, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_self_attention_by_own_weights_is_one_softmax_token_by_token() -> None:
    net = build(depth=1, fusion="self_attention", layer=0)
    z = tokens()
    rows = [(s, x[:, i]) for s, x in z.items() for i in range(x.shape[1])]
    q, k, v = [], [], []
    for sense, x in rows:
        layer = block(net, sense, 0)
        for kept, part in zip((q, k, v), layer.attention.qkv(layer.attention_norm(x)).chunk(3, -1), strict=True):  # fmt: skip # noqa: E501
            kept.append(part.reshape(2, 2, 4))  # batch, head, depth of a head
    found = torch.cat(list(net(z).values()), dim=1)
    for i, (sense, x) in enumerate(rows):
        scores = torch.stack([(q[i] * other).sum(-1) / 2 for other in k], dim=-1).softmax(-1)
        mixed = sum(scores[..., j, None] * v[j] for j in range(len(v))).flatten(1)
        layer = block(net, sense, 0)
        y = x + layer.attention.out(mixed)
        y = y + layer.feedforward(layer.feedforward_norm(y))
        torch.testing.assert_close(found[:, i], y, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_joint_attention_through_one_layer_is_that_layer() -> None:
    layer = Attention(BLOCK).eval()
    parts = list(tokens().values())
    found = JointAttention()([layer, layer], parts, [5, 4])
    torch.testing.assert_close(
        torch.cat(found, 1), layer(torch.cat(parts, 1)), rtol=1e-5, atol=1e-6
    )


@torch.no_grad()
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_meeting_in_no_layer_is_late_fusion(fusion: str, shared: bool) -> None:
    found = build(fusion=fusion, layer=3, shared=shared)(tokens())
    late = build(fusion="late", layer=0, shared=shared)(tokens())
    net = build(fusion="late", shared=shared)
    for sense, x in tokens().items():
        alone = x
        for number in range(3):
            alone = block(net, sense, number)(alone)
        torch.testing.assert_close(found[sense], alone, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(late[sense], alone, rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_tokens_asked_for_are_those_of_the_whole(fusion: str, shared: bool, layer: int) -> None:
    net = build(fusion=fusion, layer=layer, shared=shared)
    whole, some = net(tokens()), net(tokens(), asked=2)
    for sense in SENSES:
        assert some[sense].shape == (2, 2, 8)
        torch.testing.assert_close(some[sense], whole[sense][:, :2], rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS[:3])
def test_news_of_the_other_sense_comes_from_the_fusion_layer_on(fusion: str, shared: bool) -> None:
    # Through a bottleneck it takes one layer in and one layer out.
    reach = 1 if fusion == "bottleneck" else 0
    for layer in range(4):
        net = build(fusion=fusion, layer=layer, shared=shared)
        other = {**tokens(), "sound": noise(2, 4, 8, seed=2)}
        same = torch.equal(net(tokens())["pictures"], net(other)["pictures"])
        assert same == (layer + reach >= 3)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_recomputed_gradients_are_the_same(fusion: str) -> None:
    grads = []
    for recompute in (False, True):
        net = build(fusion=fusion, layer=1).train()
        net.recompute = recompute
        for tower in net.towers.values():
            tower.recompute = recompute
        out = torch.cat(list(net(tokens()).values()), dim=1)
        (out * noise(*out.shape, seed=3)).sum().backward()
        grads.append([p.grad for p in net.parameters()])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_drop_path_grows_linearly_with_depth() -> None:
    options = BlockOptions(width=8, heads=2, hidden=8, drop_path=0.3)
    net = FusionTransformer(options, 4, FusionOptions(senses=SENSES))
    chances = [block.drop_path.chance for block in net.towers["sound"].blocks]
    assert chances == pytest.approx([0, 0.1, 0.2, 0.3])
    assert all(b > a for a, b in pairwise(chances))


def test_only_what_is_needed_has_weights() -> None:
    assert build(layer=3).bottleneck is None
    assert build(fusion="late").bottleneck is None
    assert build(layer=1, bottlenecks=7).bottleneck.shape == (1, 7, 8)
    alone = FusionTransformer(BLOCK, 3, FusionOptions(senses=("sound",)))
    assert alone.bottleneck is None
    assert list(build(shared=True).towers) == ["shared"]


def test_bottleneck_tokens_begin_small() -> None:
    torch.manual_seed(0)
    how = FusionOptions(senses=SENSES, bottlenecks=2000)
    drawn = FusionTransformer(BLOCK, 1, how).bottleneck.detach()
    assert float(drawn.mean()) == pytest.approx(0, abs=1e-3)
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_fusion_layer_that_is_not_there(layer: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot meet in layer {layer} of 3"):
        build(layer=layer)


@torch.no_grad()
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_all_maps_are_placed_in_the_graph(fusion: str, shared: bool) -> None:
    net = build(fusion=fusion, layer=1, shared=shared)
    with attention_maps(net) as maps:
        net(tokens())
    layers = net.looks(list(maps.values()), tokens())
    assert sum(len(looks) for looks in layers) == len(maps)
    assert len(layers) == 3
    for looks in layers:
        for look in looks:
            assert look.maps.shape[2:] == (len(look.asking), len(look.answering))
            assert int(look.answering.max()) < net.n_nodes(tokens())
