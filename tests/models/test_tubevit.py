from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError, DataError
from brainreel.layers.clip import Clip
from brainreel.layers.tubes import Tube
from brainreel.models.tubevit import PUBLISHED_TUBES, TubeViT, TubeViTConfig, tube_tokens
from brainreel.shapes import DataSpec
from brainreel.train.optim import OptimConfig, decayed_names, make_optimizer

TUBES = (
    Tube(kernel=(2, 4, 4), stride=(2, 4, 4)),
    Tube(kernel=(4, 2, 2), stride=(2, 6, 6), offset=(0, 1, 2)),
    Tube(kernel=(1, 6, 6), stride=(6, 6, 6)),
)
SPEC = DataSpec(frame_shape=(3, 12, 16), clip_frames=6, classes={"label": 4})


def network(spec: DataSpec = SPEC, **options: Any) -> TubeViT:
    torch.manual_seed(0)
    options = {"tubes": TUBES, "width": 12, "depth": 3, "heads": 2, **options}
    return TubeViTConfig(**options).build(spec)


def clip(b: int = 2, f: int = 6) -> Clip:
    return Clip(frames=torch.rand(b, f, 3, 12, 16, generator=torch.Generator().manual_seed(f)))


def open_gate(net: TubeViT, value: float) -> None:
    assert net.gate is not None
    with torch.no_grad():
        net.gate.fill_(value)


def test_the_features_are_what_attention_pooling_takes_from_all_tokens() -> None:
    net = network()
    z = net.encode(net.embed(clip().frames))
    score = z @ net.pool.score.weight[0]
    expected = torch.zeros(2, 12)
    for n in range(z.shape[1]):
        expected += (score[:, n].exp() / score.exp().sum(1)).unsqueeze(1) * z[:, n]
    torch.testing.assert_close(net.features(clip()), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(clip()), net.head(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_the_class_token_is_read_by_itself(frozen: int) -> None:
    net = network(pooling="class", frozen_layers=frozen)
    z = net.encode(net.embed(clip().frames))
    torch.testing.assert_close(net.features(clip()), z[:, 0], rtol=1e-5, atol=1e-6)


def test_the_class_token_stands_at_position_0_before_the_tubes() -> None:
    net = network()
    x = clip()
    codes = net.positions(6)
    assert codes[0].abs().max() == 0
    tokens = net.embed(x.frames)
    assert torch.equal(tokens[:, 0], net.class_token[0].expand(2, -1))
    torch.testing.assert_close(tokens[:, 1:], net.tubes(x.frames) + codes[1:])
    assert not {name for name in net.state_dict() if "codes" in name}


def test_pictures_and_clips_go_through_the_same_weights() -> None:
    net = network()
    n_flat = math.prod(TUBES[2].grid((6, 12, 16)))
    assert net.embed(clip(f=1).frames).shape == (2, 1 + n_flat, 12)
    assert net(clip(f=1)).shape == net(clip()).shape == (2, 4)
    # The flat tube of a clip looks at its first frame: the very tokens of that picture.
    of_clip = net.embed(clip().frames)[:, -n_flat:]
    of_frame = net.embed(clip().frames[:, :1])[:, 1:]
    torch.testing.assert_close(of_frame, of_clip)
    (net(clip(f=1)).sum() + net(clip()).sum()).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_clips_of_another_length_have_positions_of_their_own() -> None:
    net = network()
    assert net(clip(f=9)).shape == (2, 4)
    longer = network(DataSpec(frame_shape=(3, 12, 16), clip_frames=9, classes={"label": 4}))
    torch.testing.assert_close(net(clip(f=9)), longer(clip(f=9)))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="the data has no film frames"):
        TubeViTConfig().build(DataSpec())
    with pytest.raises(DataError, match="a clip of 3 frames is too short for a tube of 4"):
        network()(clip(f=3))
    with pytest.raises(DataError, match="a clip of 2 frames is too short"):
        network(DataSpec(frame_shape=(3, 12, 16), clip_frames=2))
    with pytest.raises(DataError, match="a picture was given, but every tube"):
        network(tubes=TUBES[:2])(clip(f=1))
    with pytest.raises(ConfigError, match="width of 6 cannot be shared by 4 joined boxes"):
        network(width=6, tubes=(Tube(kernel=(1, 4, 4), stride=(1, 4, 4), joined=(1, 2, 2)),))
    with pytest.raises(ConfigError, match="frozen_layers is 4, but there are 3 layers"):
        network(frozen_layers=4)
    with pytest.raises(ConfigError, match="'tubes' "):
        TubeViTConfig.parse({"tubes": []})
    tube = {"kernel": [1, 2, 2], "stride": [1, 2, 2], "ofset": [0, 0, 0]}
    with pytest.raises(ConfigError, match="unknown key 'tubes.0.ofset'. Did you mean 'offset'"):
        TubeViTConfig.parse({"tubes": [tube]})


@pytest.mark.parametrize("mode", [True, False])
def test_scaled_up_it_begins_as_the_frozen_network(mode: bool) -> None:
    """Bit for bit what the same transformer gives without a gate, for the same tokens."""
    scaled = network(frozen_layers=2, dropout=0.0).train(mode)
    plain = network().train(mode)
    plain.load_state_dict({k: v for k, v in scaled.state_dict().items() if k != "gate"})
    tokens = scaled.embed(clip().frames)
    assert torch.equal(scaled.encode(tokens), plain.encode(tokens))
    assert torch.equal(scaled.encode(tokens), plain.norm(plain.transformer(tokens)))


def test_the_gate_adds_the_tokens_behind_the_frozen_layers() -> None:
    net = network(frozen_layers=2)
    open_gate(net, 0.7)
    z_0 = net.embed(clip().frames)
    first, second, third = net.transformer.blocks
    expected = net.norm(third(second(first(z_0)) + 0.7 * z_0))
    torch.testing.assert_close(net.encode(z_0), expected, rtol=1e-5, atol=1e-6)


def test_frozen_layers_do_not_learn_and_are_saved() -> None:
    net = network(frozen_layers=2, dropout=0.5, drop_path=0.5).train()
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert {name.split(".")[2] for name in frozen} == {"0", "1"}
    assert all(name.startswith("transformer.blocks.") for name in frozen)
    assert frozen < set(net.state_dict())
    assert [block.training for block in net.transformer.blocks] == [False, False, True]
    z = net.embed(clip().frames)
    half = slice(2)
    assert torch.equal(net.transformer(z, layers=half), net.transformer(z, layers=half))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = make_optimizer(net, OptimConfig(lr=0.1), decayed_names(net))
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert moved == {id(p) for name, p in net.named_parameters() if name not in frozen}
    net(clip()).square().sum().backward()
    optimizer.step()
    changed = {name for name, v in net.state_dict().items() if not torch.equal(v, before[name])}
    assert "gate" in changed
    assert "tubes.kernels.weights.0" in changed
    assert not changed & frozen


def test_tokens_are_counted_tube_by_tube() -> None:
    spec = DataSpec(frame_shape=(3, 224, 224), clip_frames=32)
    counts = tube_tokens(TubeViTConfig(tubes=PUBLISHED_TUBES), spec)
    assert [count.n_tokens for count in counts] == [98, 147, 98, 196]
    assert [count.grid for count in counts] == [(2, 7, 7), (3, 7, 7), (2, 7, 7), (1, 14, 14)]
    kernel, stride, offset, grid, n = counts[1]
    assert (kernel, stride, offset, n) == ((16, 4, 4), (6, 32, 32), (4, 8, 8), math.prod(grid))
    picture = DataSpec(frame_shape=(3, 224, 224), clip_frames=1)
    assert [c.n_tokens for c in tube_tokens(TubeViTConfig(tubes=PUBLISHED_TUBES), picture)] == [196]
    with pytest.raises(DataError, match="does not tell the frames of a clip"):
        tube_tokens(TubeViTConfig(), DataSpec(frame_shape=(3, 32, 32)))
    net = TubeViTConfig(width=12).build(DataSpec(frame_shape=(3, 32, 32), clip_frames=16))
    counted = tube_tokens(TubeViTConfig(), DataSpec(frame_shape=(3, 32, 32), clip_frames=16))
    assert len(net.positions(16)) == 1 + sum(c.n_tokens for c in counted)


def test_its_facts_tell_the_tokens_of_each_tube() -> None:
    facts = "\n".join(TubeViTConfig.facts())
    assert "32 x 224 x 224 pixels through the published tubes" in facts
    assert "16 x 4 x 4 every 6 x 32 x 32 from 4, 8, 8: 3 x 7 x 7 = 147 tokens" in facts
    assert "539 tokens and the class token" in facts
    assert "16 x 32 x 32 pixels through the default tubes" in facts


def test_joined_tubes_make_a_narrow_kernel_wide() -> None:
    tubes = (
        Tube(kernel=(2, 4, 4), stride=(4, 4, 4), joined=(1, 2, 2)),
        Tube(kernel=(1, 6, 6), stride=(6, 6, 6), joined=(1, 2, 2)),
    )
    net = network(tubes=tubes)
    assert net.tubes.kernels.weights[0].shape == (3, 3, 2, 4, 4)
    assert net(clip()).shape == (2, 4)


def test_half_precision_and_compilation_give_the_same() -> None:
    net = network().eval()
    with torch.no_grad():
        expected: Tensor = net(clip())
        compiled = torch.compile(net, backend="eager")
        torch.testing.assert_close(compiled(clip()), expected, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            cast = net(clip())
        torch.testing.assert_close(cast.float(), expected, rtol=0.1, atol=0.1)
        small = net.bfloat16()(clip())
    assert small.dtype == torch.bfloat16
