from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from brainreel.errors import ConfigError, DataError, ShapeError
from brainreel.layers.clip import Clip
from brainreel.models.vtn import VTN, VTNConfig
from brainreel.shapes import DataSpec

SPEC = DataSpec(frame_shape=(3, 8, 8))
FRAME = {"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4, "pooling": "class"}


def vtn(*, classes: int = 0, **options: Any) -> VTN:
    torch.manual_seed(0)
    content = {"frame": FRAME, "heads": 2, "window": 4, "max_positions": 12, **options}
    spec = DataSpec(frame_shape=(3, 8, 8), classes={"what": classes} if classes else {})
    model = VTNConfig.parse(content).build(spec).eval()
    for parameter in model.temporal.parameters():  # small first weights would hide much
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slow(model: VTN, vectors: Tensor, numbers: list[int], window: int) -> Tensor:
    """One clip (F, D): every score is written out, and those out of reach are left out."""
    own = model.temporal
    assert own.positions is not None
    most = len(own.positions)
    tokens = [own.class_token[0, 0] + own.types[1] + own.positions[most - 2]]
    for vector, number in zip(vectors, numbers, strict=True):
        tokens.append(vector + own.types[0] + own.positions[number % (most - 2)])
    x = functional.layer_norm(torch.stack(tokens), (8,), own.norm.weight, own.norm.bias, 1e-12)
    for block in [*own.transformer.blocks, own.last]:
        local = getattr(block.attention, "global_qkv", None) is not None
        whole = block.attention.global_qkv if local else block.attention.qkv
        rows = []
        for i in range(len(x) if local else 1):
            qkv = whole if i == 0 else block.attention.qkv
            query, key, value = (x @ qkv.weight.T + qkv.bias).chunk(3, dim=-1)
            seen = [j for j in range(len(x)) if i == 0 or j == 0 or 2 * abs(i - j) <= window]
            heads = []
            for part in (slice(0, 4), slice(4, 8)):
                weight = (query[i, part] @ key[seen, part].T / math.sqrt(4)).softmax(-1)
                heads.append(weight @ value[seen, part])
            rows.append(block.attention.out(torch.cat(heads)))
        y = block.attention_norm(x[: len(rows)] + torch.stack(rows))
        hidden = functional.gelu(block.feedforward.expand(y))
        x = block.feedforward_norm(y + block.feedforward.contract(hidden))
    return x[0]


@pytest.mark.parametrize("n_frames", [1, 2, 9])
def test_it_equals_a_slow_one(n_frames: int) -> None:
    model, vectors = vtn(depth=3), noise(2, n_frames, 8)
    numbers = torch.tensor([[3], [8]]) + torch.arange(n_frames)
    found = model.attend(vectors, numbers)
    for row in range(2):
        expected = slow(model, vectors[row], numbers[row].tolist(), window=4)
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_each_layer_may_have_a_window_of_its_own() -> None:
    model = vtn(window=[2, 6, 0], depth=3, pooling="mean")
    assert [block.attention.reach for block in model.temporal.transformer.blocks] == [1, 3, 0]
    with pytest.raises(ConfigError, match="window has 2 lengths for a depth of 3"):
        vtn(window=[2, 6], depth=3)


def test_the_features_of_a_clip_are_those_of_its_embedded_frames() -> None:
    model, frames = vtn(), noise(2, 5, 3, 8, 8)
    numbers = torch.tensor([[0], [4]]) + torch.arange(5)
    vectors = torch.stack([model.frame.embed(clip) for clip in frames])
    expected = model.attend(vectors, numbers)
    found = model.features(Clip(frames=frames, frame_numbers=numbers))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_frame_numbers_go_round_where_positions_end() -> None:
    model, vectors = vtn(), noise(1, 4, 8)
    numbers = torch.tensor([[7, 8, 9, 10]])  # 12 positions: numbers go round at 10
    near = model.attend(vectors, numbers)
    torch.testing.assert_close(model.attend(vectors, numbers + 10), near)
    torch.testing.assert_close(model.attend(vectors, numbers - 10), near)
    assert not torch.allclose(model.attend(vectors, numbers + 1), near, atol=1e-3)
    counted = model.attend(vectors, torch.arange(4).expand(1, -1))
    torch.testing.assert_close(model.attend(vectors), counted)


def test_sincos_positions_have_no_end() -> None:
    model, vectors = vtn(positions="sincos"), noise(1, 4, 8)
    numbers = torch.arange(4).expand(1, -1)
    assert not any("positions" in name for name in model.state_dict())
    near, far = model.attend(vectors, numbers), model.attend(vectors, numbers + 10**5)
    assert far.isfinite().all()
    assert not torch.allclose(far, near, atol=1e-3)


@pytest.mark.parametrize("pooling", ["class", "mean"])
def test_a_padded_row_equals_the_row_alone(pooling: str) -> None:
    model, vectors = vtn(pooling=pooling, depth=2), noise(3, 150, 8)
    lengths = torch.tensor([150, 7, 1])
    valid = torch.arange(150) < lengths[:, None]
    vectors[~valid] = torch.nan
    together = model.attend(vectors, valid=valid)
    for row, length in enumerate(lengths.tolist()):
        alone = model.attend(vectors[row : row + 1, :length])[0]
        torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["class", "mean"])
def test_without_a_window_the_order_is_in_the_frame_numbers_alone(pooling: str) -> None:
    numbers, vectors = torch.arange(6)[None], noise(1, 6, 8)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for window, same in ((10, True), (2, False)):
        model = vtn(window=window, depth=3, pooling=pooling)
        straight = model.attend(vectors, numbers)
        mixed = model.attend(vectors[:, order], numbers[:, order])
        assert torch.allclose(straight, mixed, atol=1e-5) is same
        assert not torch.allclose(straight, model.attend(vectors[:, order], numbers), atol=1e-3)


def test_every_frame_of_a_long_clip_has_a_gradient() -> None:
    vectors = noise(1, 300, 8).requires_grad_()
    vtn(depth=1).attend(vectors).square().sum().backward()
    assert vectors.grad is not None
    assert (vectors.grad.abs().sum(dim=-1) > 0).all()


def test_what_unseen_rows_hold_is_not_looked_at() -> None:
    model, frames = vtn(), noise(2, 3, 3, 8, 8)
    seen = torch.tensor([True, False])
    first = model.features(Clip(frames=frames, seen=seen))
    frames[1] = torch.nan
    assert torch.equal(model.features(Clip(frames=frames, seen=seen)), first)
    torch.testing.assert_close(first[:1], model.features(Clip(frames=frames[:1])))


class Sizes(TorchDispatchMode):
    """Remembers the most numbers that one operation gave."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for item in out if isinstance(out, tuple) else (out,):
            if isinstance(item, Tensor):
                self.most = max(self.most, item.numel())
        return out


@torch.no_grad()
def test_the_largest_tensor_grows_no_faster_than_the_film() -> None:
    model = vtn(depth=3, window=8)
    most = {}
    for n_frames in (500, 2000):
        with Sizes() as sizes:
            model.attend(noise(1, n_frames, 8))
        most[n_frames] = sizes.most
    assert most[2000] <= 4.2 * most[500]
    assert most[2000] < 2000**2 / 4


@torch.no_grad()
def test_frames_are_embedded_part_by_part_without_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, frames = vtn(frames_at_once=4), noise(10, 3, 8, 8)
    whole, sizes, embed = model.frame.embed(frames), [], model.frame.embed
    monkeypatch.setattr(model.frame, "embed", lambda x: (sizes.append(len(x)), embed(x))[1])
    torch.testing.assert_close(model.embed_frames(frames), whole, rtol=1e-5, atol=1e-6)
    assert sizes == [4, 4, 2]
    with torch.enable_grad():
        assert model.embed_frames(frames).requires_grad
    assert sizes[3:] == [10]


def test_a_frozen_backbone_stays_as_it_is() -> None:
    model = vtn(frozen=True, frame={**FRAME, "dropout": 0.5}, dropout=0, attention_dropout=0)
    model.train()
    assert not model.frame.training
    clip = Clip(frames=noise(2, 3, 3, 8, 8))
    out = model(clip)
    assert torch.equal(out, model(clip))
    out.square().sum().backward()
    assert all(p.grad is None for p in model.frame.parameters())
    assert model.temporal.class_token.grad is not None


def test_the_head_is_the_published_one() -> None:
    model, x = vtn(classes=3, head_width=5), noise(2, 8)
    hidden = functional.layer_norm(x, (8,), model.head.norm.weight, model.head.norm.bias, 1e-5)
    hidden = functional.gelu(hidden @ model.head.expand.weight.T + model.head.expand.bias)
    expected = hidden @ model.head.logits.weight.T + model.head.logits.bias
    assert expected.shape == (2, 3)
    torch.testing.assert_close(model.head(x), expected)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="a width of 8 cannot be shared by 3 heads"):
        vtn(heads=3)
    with pytest.raises(DataError, match="'vtn' needs data with a film"):
        VTNConfig().build(DataSpec())
    model = vtn()
    with pytest.raises(DataError, match="a clip without frames has nothing to attend to"):
        model(Clip(frames=noise(2, 0, 3, 8, 8)))
    with pytest.raises(DataError, match="the clip has no frames. 'vtn' looks at pictures"):
        model(Clip(sound=noise(2, 1, 4, 4)))
    with pytest.raises(ShapeError, match="vectors has 9 along axis D"):
        model.attend(noise(2, 4, 9))
    with pytest.raises(ShapeError, match="frame_numbers has 5 along axis F"):
        model.attend(noise(2, 4, 8), torch.arange(5).expand(2, -1))
    with pytest.raises(ShapeError, match="valid has 1 along axis B"):
        model.attend(noise(2, 4, 8), valid=torch.ones(1, 4, dtype=torch.bool))
