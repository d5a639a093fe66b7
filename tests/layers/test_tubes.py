from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError, DataError, ShapeError
from brainreel.layers.clip import Standardise
from brainreel.layers.tubes import Tube, TubeTokens, tube_positions
from brainreel.models.tubevit import PUBLISHED_TUBES, SMALL_TUBES

TUBES = (
    Tube(kernel=(2, 4, 4), stride=(2, 4, 4)),
    Tube(kernel=(4, 2, 2), stride=(2, 6, 6), offset=(0, 1, 2)),
    Tube(kernel=(1, 6, 6), stride=(6, 6, 6), offset=(3, 0, 1)),
)
JOINED = (
    Tube(kernel=(2, 4, 4), stride=(4, 4, 4), joined=(1, 2, 2)),
    Tube(kernel=(4, 2, 2), stride=(2, 6, 6), joined=(2, 1, 1), offset=(1, 0, 0)),
    Tube(kernel=(1, 6, 6), stride=(6, 6, 6)),
)
SIZE = (7, 12, 17)


def clip(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def layer(tubes: tuple[Tube, ...], width: int = 12, **options: object) -> TubeTokens:
    torch.manual_seed(0)
    built = TubeTokens(3, width, tubes, **options)
    with torch.no_grad():
        for bias in built.kernels.biases:
            bias.normal_()
    return built


def one_by_one(tokens: TubeTokens, frames: Tensor) -> Tensor:
    """Every token by itself: the sum over its voxels, one joined box after the other."""
    n, f, _, h, w = frames.shape
    out = []
    for number, tube in enumerate(tokens.tubes):
        if f == 1 and tube.kernel[0] > 1:
            continue
        kernel = tokens.kernels.kernel(number)
        start = (0, *tube.offset[1:]) if f == 1 else tube.offset
        places = [
            range(o, size - k + 1, s)
            for o, size, k, s in zip(start, (f, h, w), tube.kernel, tube.stride, strict=True)
        ]
        for place in itertools.product(*places):
            parts = []
            for box in itertools.product(*map(range, tube.joined)):
                at = [p + b * (s // j) for p, b, s, j in
                      zip(place, box, tube.stride, tube.joined, strict=True)]  # fmt: skip
                value = tokens.kernels.biases[number].expand(n, -1)
                for dt, dy, dx in itertools.product(*map(range, tube.kernel)):
                    t, y, x = min(at[0] + dt, f - 1), min(at[1] + dy, h - 1), min(at[2] + dx, w - 1)
                    value = value + frames[:, t, :, y, x] @ kernel[:, :, dt, dy, dx].T
                parts.append(value)
            out.append(torch.cat(parts, dim=1))
    return torch.stack(out, dim=1)


@pytest.mark.parametrize("tubes", [TUBES, JOINED])
@pytest.mark.parametrize("options", [{}, {"rescale": False}, {"shared": False}])
@pytest.mark.parametrize("frames", [7, 1])
def test_tokens_equal_a_loop_over_voxels(
    tubes: tuple[Tube, ...], options: dict[str, bool], frames: int
) -> None:
    tokens = layer(tubes, **options)
    x = clip(2, frames, 3, *SIZE[1:])
    expected = one_by_one(tokens, x)
    torch.testing.assert_close(tokens(x), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(tokens.eval()(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"shared": False}])
def test_gradients_equal_those_of_the_loop(options: dict[str, bool]) -> None:
    tokens, weighing = layer(JOINED, **options), clip(2, 1, 1)
    x = clip(2, *SIZE[:1], 3, *SIZE[1:]).requires_grad_()
    wanted = [x, *tokens.parameters()]
    ours = torch.autograd.grad((tokens(x).square() * weighing).sum(), wanted)
    theirs = torch.autograd.grad((one_by_one(tokens, x).square() * weighing).sum(), wanted)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tubes", [PUBLISHED_TUBES, SMALL_TUBES, JOINED])
@pytest.mark.parametrize("size", [(32, 64, 64), (21, 50, 83), (20, 33, 32)])
def test_the_grid_holds_every_box_that_fits(tubes: tuple[Tube, ...], size: tuple[int, ...]) -> None:
    for tube in tubes:
        each = zip(size, tube.kernel, tube.stride, tube.offset, strict=True)
        counted = tuple(sum(i + k <= n for i in range(o, n, s)) for n, k, s, o in each)
        assert tube.grid(size) == counted


def test_published_tubes_give_about_540_tokens() -> None:
    counts = [math.prod(tube.grid((32, 224, 224))) for tube in PUBLISHED_TUBES]
    assert counts == [98, 147, 98, 196]


def test_joined_boxes_keep_count_width_and_weights_and_see_more() -> None:
    plain, *_ = JOINED
    alone = Tube(kernel=plain.kernel, stride=plain.stride)
    assert plain.grid(SIZE) == alone.grid(SIZE)
    assert plain.reach == (2, 6, 6)
    joined, single = layer((plain,)), layer((alone,))
    x = clip(1, *SIZE[:1], 3, *SIZE[1:])
    assert joined(x).shape == single(x).shape
    sizes = [sum(p.numel() for p in net.parameters()) for net in (joined, single)]
    assert sizes[0] * 4 == sizes[1]


@pytest.mark.parametrize("width", [12, 20, 1024, 1280])
def test_positions_are_those_of_the_centres(width: int) -> None:
    codes = tube_positions(TUBES + JOINED, SIZE, width, tau=100.0)
    waves, rows = width // 6, []
    for tube in TUBES + JOINED:
        grid = tube.grid(SIZE)
        for index in itertools.product(*map(range, grid)):
            row = []
            for axis, i in enumerate(index):
                first = tube.offset[axis] + i * tube.stride[axis]
                step = tube.stride[axis] // tube.joined[axis]
                last = first + (tube.joined[axis] - 1) * step + tube.kernel[axis]
                centre = (first + last) // 2
                angles = [centre * 100.0 ** (-k / waves) for k in range(waves)]
                row += [*map(math.sin, angles), *map(math.cos, angles)]
            rows.append(row + [0.0] * (width - 6 * waves))
    torch.testing.assert_close(codes, torch.tensor(rows), rtol=1e-5, atol=1e-5)


def test_a_picture_stands_at_the_flat_tubes_first_frame() -> None:
    picture = tube_positions(TUBES, (1, *SIZE[1:]), 12)
    flat = TUBES[2]
    assert len(picture) == math.prod(flat.grid(SIZE)[1:])
    expected = torch.tensor([math.sin(3), math.sin(3 / 100), math.cos(3), math.cos(3 / 100)])
    torch.testing.assert_close(picture[:, :4], expected.expand(len(picture), 4))


def test_only_what_the_tubes_touch_is_looked_at() -> None:
    tokens = layer(TUBES[:1])
    x = clip(1, 7, 3, 12, 17)
    expected = tokens(x)
    x[:, 6], x[..., 16] = torch.nan, torch.nan
    assert torch.equal(tokens(x), expected)


def test_bytes_are_scaled_as_fractions_are() -> None:
    tokens = layer(JOINED, scale=Standardise((0.4, 0.5, 0.6), 0.25))
    x = torch.randint(0, 256, (2, 7, 3, 12, 17), dtype=torch.uint8,
                      generator=torch.Generator().manual_seed(0))  # fmt: skip
    torch.testing.assert_close(tokens(x), tokens(x / 255.0), rtol=1e-4, atol=1e-4)
    scaled = (x / 255.0 - torch.tensor([0.4, 0.5, 0.6]).reshape(3, 1, 1)) / 0.25
    plain = layer(JOINED)
    torch.testing.assert_close(tokens(x), plain(scaled), rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_told_in_a_sentence() -> None:
    tokens = layer(TUBES)
    with pytest.raises(DataError, match="a clip of 3 frames is too short for a tube of 4 frames"):
        tokens(clip(1, 3, 3, 12, 16))
    with pytest.raises(DataError, match="frames of 12 x 6 pixels are too small .* at least 6 x 7"):
        tokens(clip(1, 7, 3, 12, 6))
    with pytest.raises(ShapeError, match="frames has 1 along axis C"):
        tokens(clip(1, 7, 1, 12, 16))
    with pytest.raises(DataError, match="a picture was given, but every tube goes through several"):
        layer(TUBES[:2])(clip(1, 1, 3, 12, 16))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"joined": [1, 3, 1]}, "joined makes 3 boxes a token; it may be 1, 2 or 4"),
        ({"joined": [4, 1, 1]}, "need a stride of at least as many"),
        ({"kernel": [0, 2, 2]}, "greater than or equal to 1"),
        ({"offset": [0, -1, 2]}, "greater than or equal to 0"),
    ],
)
def test_impossible_tubes_are_refused(options: dict[str, list[int]], told: str) -> None:
    content = {"kernel": [2, 2, 2], "stride": [2, 2, 2], **options}
    with pytest.raises(ConfigError, match=told):
        Tube.parse(content)
