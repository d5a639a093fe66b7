from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError, DataError, ShapeError
from brainreel.layers.attention import attention_maps
from brainreel.layers.clip import Clip
from brainreel.layers.flops import count_flops
from brainreel.models.mbt import MBT, MBTConfig
from brainreel.models.mbt_tokens import central_frame, frames_looked_at
from brainreel.shapes import DataSpec

SPEC = DataSpec(
    frame_shape=(3, 8, 12), clip_frames=4, sound_shape=(1, 6, 8), classes={"verb": 2, "noun": 3}
)
FUSIONS = ("bottleneck", "self_attention", "cross_attention", "late")
POOLINGS = ("class", "mean", "max", "sum")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def build(spec: DataSpec = SPEC, **options: Any) -> MBT:
    small = {"width": 8, "depth": 3, "heads": 2, "patch": 4, "sound_patch": (3, 4)}
    torch.manual_seed(0)
    net = MBTConfig.parse({**small, **options}).build(spec).eval()
    for parameter in net.parameters():  # so that every one of them shows
        torch.nn.init.normal_(parameter, std=0.4)
    return net


def clip(n: int = 3) -> Clip:
    return Clip(frames=noise(n, 4, 3, 8, 12), sound=10 * noise(n, 1, 6, 8, seed=1))


def gappy() -> Clip:
    """Both, pictures alone, sound alone, both; what is not there is no number."""
    whole = clip(4)
    assert whole.frames is not None
    assert whole.sound is not None
    whole.seen = torch.tensor([True, True, False, True])
    whole.heard = torch.tensor([True, False, True, True])
    whole.frames[2], whole.sound[1] = torch.nan, torch.nan
    return whole


def alone(of: Clip, row: int) -> Clip:
    """One row, without the sense that it lacks."""
    assert of.frames is not None
    assert of.sound is not None
    seen = of.seen is None or bool(of.seen[row])
    heard = of.heard is None or bool(of.heard[row])
    rows = slice(row, row + 1)
    return Clip(frames=of.frames[rows] if seen else None, sound=of.sound[rows] if heard else None)


@torch.no_grad()
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_row_without_a_sense_is_that_row_alone(fusion: str, pooling: str, shared: bool) -> None:
    net = build(fusion=fusion, pooling=pooling, shared=shared)
    together, features, rolled = net(gappy()), net.features(gappy()), net.rollout(gappy())
    assert together.isfinite().all()
    for row in range(4):
        own = alone(gappy(), row)
        torch.testing.assert_close(net(own)[0], together[row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net.features(own)[0], features[row], rtol=1e-4, atol=1e-5)
        for sense, grid in net.rollout(own).items():
            torch.testing.assert_close(grid[0], rolled[sense][row], rtol=1e-4, atol=1e-5)
    assert (features[1, 8:] == 0).all()
    assert (features[2, :8] == 0).all()
    assert (rolled["sound"][1] == 0).all()


@torch.no_grad()
def test_a_sense_alone_is_attention_masked_and_a_mean_over_the_one_there() -> None:
    net = build(fusion="self_attention", fusion_layer=0)
    own = alone(gappy(), 1)
    tokens = net.tokens["pictures"](own.frames)
    for block in net.transformer.towers["pictures"].blocks:
        tokens = block(tokens)
    expected = net.head(net.norm(tokens)[:, 0])
    torch.testing.assert_close(net(own), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pooling", POOLINGS[1:])
def test_pooling_is_over_the_tokens_of_all_senses(pooling: str) -> None:
    net = build(pooling=pooling)
    tokens = torch.cat(list(net.encode(clip()).values()), dim=1)
    pooled = {
        "mean": tokens.mean(1), "max": tokens.max(1).values, "sum": tokens.sum(1),
    }[pooling]  # fmt: skip
    torch.testing.assert_close(net(clip()), net.head(pooled), rtol=1e-4, atol=1e-5)
    assert list(net.logits_of(clip())) == [""]


@torch.no_grad()
def test_logits_are_the_mean_over_senses_of_one_head_on_class_tokens() -> None:
    net = build(representation=6)
    tokens = net.encode(clip())
    heard, seen = net.head(tokens["sound"][:, 0]), net.head(tokens["pictures"][:, 0])
    logits = net.logits_of(clip())
    torch.testing.assert_close(logits["sound"], heard, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits["pictures"], seen, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(clip()), (heard + seen) / 2, rtol=1e-4, atol=1e-5)
    hidden, _, last = net.head
    torch.testing.assert_close(last(hidden(tokens["sound"][:, 0]).tanh()), heard)


@torch.no_grad()
def test_logits_of_a_sense_that_is_not_there_are_0() -> None:
    logits = build().logits_of(gappy())
    assert (logits["sound"][1] == 0).all()
    assert (logits["pictures"][2] == 0).all()
    assert (logits["pictures"][1] != 0).all()


@torch.no_grad()
def test_features_are_the_vectors_of_the_senses_side_by_side() -> None:
    net = build(replace(SPEC, classes={}))
    tokens = net.encode(clip())
    expected = torch.cat([tokens["pictures"][:, 0], tokens["sound"][:, 0]], dim=1)
    torch.testing.assert_close(net(clip()), expected, rtol=1e-4, atol=1e-5)
    assert net.width == expected.shape[1] == 16
    assert build(inputs=("sound",)).width == 8


@torch.no_grad()
@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_order_of_the_senses_changes_only_that_of_the_features(fusion: str) -> None:
    net = build(replace(SPEC, classes={}), fusion=fusion)
    turned = build(replace(SPEC, classes={}), fusion=fusion, inputs=("sound", "pictures"))
    turned.load_state_dict(net.state_dict())
    ours, theirs = net(clip()), turned(clip())
    torch.testing.assert_close(ours.roll(8, dims=1), theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("inputs", [("pictures",), ("sound",)])
def test_one_sense_alone_looks_at_nothing_else(inputs: tuple[str]) -> None:
    net = build(inputs=inputs)
    whole = clip()
    own = Clip(frames=whole.frames) if inputs == ("pictures",) else Clip(sound=whole.sound)
    assert torch.equal(net(whole), net(own))
    assert net.transformer.bottleneck is None
    assert MBTConfig(inputs=inputs).senses == set(inputs)


@torch.no_grad()
@pytest.mark.parametrize("sense", ["pictures", "sound"])
def test_where_a_patch_stands_matters(sense: str) -> None:
    net, whole = build(), clip(1)
    assert whole.frames is not None
    assert whole.sound is not None
    moved = (
        Clip(frames=whole.frames.roll(4, dims=-1), sound=whole.sound)
        if sense == "pictures"
        else Clip(frames=whole.frames, sound=whole.sound.roll(3, dims=-2))
    )
    assert not torch.allclose(net(whole), net(moved), atol=1e-4)


@torch.no_grad()
def test_a_fresh_tubelet_sees_its_middle_frame() -> None:
    config = MBTConfig(width=8, heads=2, patch=4, patch_frames=3, sound_patch=(3, 4))
    net = config.build(SPEC).eval()
    whole = clip(1)
    assert whole.frames is not None
    others = whole.frames.clone()
    others[:, [0, 2]] = 1  # 4 frames are a tubelet of 0 to 2, and 3 with two frames of nothing
    same = Clip(frames=others, sound=whole.sound)
    torch.testing.assert_close(net(whole), net(same), rtol=1e-5, atol=1e-6)
    others[:, 1] = 1
    assert not torch.allclose(net(whole), net(Clip(frames=others, sound=whole.sound)), atol=1e-4)
    kernel = noise(2, 3, 4, 5)
    assert torch.equal(central_frame(kernel, 1)[:, :, 0], kernel)
    assert torch.equal(central_frame(kernel, 4)[:, :, 2], kernel)
    assert float(central_frame(kernel, 4).sum()) == pytest.approx(float(kernel.sum()), rel=1e-5)


@torch.no_grad()
def test_only_the_sampled_frames_are_seen() -> None:
    net, whole = build(sampled_frames=(1, 2)), clip(1)
    assert whole.frames is not None
    others = whole.frames.clone()
    others[:, [0, 3]] = 0.5
    assert torch.equal(net(whole), net(Clip(frames=others, sound=whole.sound)))
    others[:, 2] = 0.5
    assert not torch.equal(net(whole), net(Clip(frames=others, sound=whole.sound)))
    assert frames_looked_at(4, 0) == frames_looked_at(4, 9) == ()
    assert frames_looked_at(10, 3) == (2, 5, 8)
    with pytest.raises(ConfigError, match="a clip of 4 frames has no frame 4"):
        build(sampled_frames=(1, 4))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_absent_sense_leaves_a_gradient_of_zero(fusion: str) -> None:
    net = build(fusion=fusion).train()
    frames = clip().frames
    net(Clip(frames=frames)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        if "sound" in name:
            assert (parameter.grad == 0).all(), name


def closed_form(net: MBT, fusion: str, start: int, n_bottlenecks: int) -> int:
    """Matrix products of one clip, counted by hand."""
    d, hidden, depth, counts = 8, 16, 3, {"pictures": 25, "sound": 5}

    def block(answering: int, asking: int) -> int:
        projections = (2 * answering + 2 * asking) * d * d
        return 2 * (projections + 2 * asking * answering * d + 2 * asking * d * hidden)

    total = 2 * (24 * 3 * 16 * d + 4 * 12 * d)  # patches
    total += 2 * 2 * d * 5  # one head on two class tokens
    for layer in range(depth):
        last = layer == depth - 1
        for n in counts.values():
            if layer < start or fusion == "late":
                total += block(n, 1 if last else n)
            elif fusion == "bottleneck":
                total += block(n + n_bottlenecks, 1 if last else n + n_bottlenecks)
            elif fusion == "cross_attention":
                total += block(30, 1 if last else n)
        if layer >= start and fusion == "self_attention":
            total += block(30, 2 if last else 30)
    return total


@torch.no_grad()
@pytest.mark.parametrize("start", [0, 1, 2, 3])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_flops_are_those_of_the_closed_form(fusion: str, start: int) -> None:
    shared = fusion == "self_attention"  # apart, the last layer projects all queries
    net = build(fusion=fusion, fusion_layer=start, shared=shared)
    counted = count_flops(lambda: net(clip(1)))
    assert counted == closed_form(net, fusion, start, 4)


@torch.no_grad()
def test_the_bottleneck_costs_less_than_attention_of_all_to_all() -> None:
    # Enough tokens that looking at all of them weighs more than 4 more of them.
    spec = replace(SPEC, frame_shape=(3, 24, 36), sound_shape=(1, 24, 32))
    whole = Clip(frames=noise(1, 4, 3, 24, 36), sound=noise(1, 1, 24, 32))
    for start in (0, 1, 2):
        cost = {
            fusion: count_flops(
                lambda f=fusion, s=start: build(spec, fusion=f, fusion_layer=s)(whole)
            )
            for fusion in FUSIONS
        }
        assert cost["late"] < cost["bottleneck"] < cost["self_attention"]
        assert cost["bottleneck"] < cost["cross_attention"]


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["class", "mean"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_rollout_is_a_product_of_matrices_on_the_joint_graph(fusion: str, pooling: str) -> None:
    net = build(fusion=fusion, fusion_layer=1, bottlenecks=2, pooling=pooling)
    whole = clip(1)
    n = [net.tokens[sense].n_tokens for sense in net.senses]
    ids = {"pictures": list(range(n[0])), "sound": list(range(n[0], sum(n)))}
    size = sum(n) + 2
    with attention_maps(net) as maps:
        net.encode(whole)
    product = torch.eye(size)
    for layer in range(3):
        step = torch.zeros(size, size)
        times = torch.zeros(size)
        met = layer >= 1
        if met and fusion == "self_attention":
            looks = [(maps["transformer.joint" + ("" if layer == 1 else "#2")], sum(ids.values(), []))]  # fmt: skip # noqa: E501, RUF017
        else:
            looks = []
            for sense, own in ids.items():
                other = ids["sound" if sense == "pictures" else "pictures"]
                more = {"bottleneck": [size - 2, size - 1], "cross_attention": other}
                name = f"transformer.towers.{sense}.blocks.{layer}.attention"
                looks.append((maps[name], own + (more.get(fusion, []) if met else [])))
        for weights, nodes in looks:
            for i in range(weights.shape[2]):
                times[nodes[i]] += 1
                step[nodes[i], nodes] += weights[0, :, i].mean(0) / 2
                step[nodes[i], nodes[i]] += 0.5
        step[times > 0] /= times[times > 0, None]
        step[times == 0, times == 0] = 1
        product = step @ product
    ends = [own[0] for own in ids.values()] if pooling == "class" else sum(ids.values(), [])  # noqa: RUF017
    expected = product[ends].mean(0)
    found, skip = net.rollout(whole), int(pooling == "class")
    for sense, own in ids.items():
        torch.testing.assert_close(
            found[sense].flatten(), expected[own[skip:]], rtol=1e-4, atol=1e-6
        )
    assert found["pictures"].shape == (1, 4, 2, 3)
    assert found["sound"].shape == (1, 2, 2)


def test_late_fusion_is_traced_to_each_sense_by_itself() -> None:
    net = build(fusion="late")
    other = Clip(frames=clip().frames, sound=noise(3, 1, 6, 8, seed=9))
    assert torch.equal(net.rollout(clip())["pictures"], net.rollout(other)["pictures"])


def test_bad_data_and_clips() -> None:
    with pytest.raises(DataError, match="the data has no film frames"):
        build(DataSpec(sound_shape=(1, 6, 8)))
    with pytest.raises(DataError, match="does not say how many frames a clip has"):
        build(replace(SPEC, clip_frames=0))
    with pytest.raises(DataError, match="the data has no sound"):
        build(replace(SPEC, sound_shape=()))
    with pytest.raises(ConfigError, match="cannot meet in layer 7 of 3"):
        build(fusion_layer=7)
    with pytest.raises(ShapeError, match="frames has 5 along axis F"):
        build()(Clip(frames=noise(1, 5, 3, 8, 12), sound=noise(1, 1, 6, 8)))
    with pytest.raises(ShapeError, match="sound has 7 along axis S"):
        build()(Clip(frames=noise(1, 4, 3, 8, 12), sound=noise(1, 1, 7, 8)))
    with pytest.raises(DataError, match="row 0 of the clips has no sound"):
        build(inputs=("sound",))(Clip(frames=noise(1, 4, 3, 8, 12)))
