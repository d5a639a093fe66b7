from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.layers.tube_kernels import Stretch, TubeKernels, stretching, stretching_gain
from brainreel.layers.tubes import TubeTokens
from brainreel.models.tubevit import PUBLISHED_TUBES

SIZES = ((4, 4, 4), (8, 2, 2), (2, 6, 6), (1, 7, 5))


def kernels(**options: bool) -> TubeKernels:
    torch.manual_seed(0)
    return TubeKernels(3, SIZES, (6, 6, 3, 6), **options)


def patches(number: int) -> Tensor:
    t, h, w = SIZES[number]
    return torch.rand(2, 5, 1, t, 3, h, w, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("rescale", [False, True])
def test_kernels_are_trilinear_interpolations_of_the_learned_one(rescale: bool) -> None:
    bank = kernels(rescale=rescale)
    for number, size in enumerate(SIZES):
        gain = stretching_gain(SIZES[0], size) if rescale else 1.0
        weight = bank.weights[0][: bank.widths[number]]
        expected = gain * functional.interpolate(weight, size=size, mode="trilinear")
        torch.testing.assert_close(bank.kernel(number), expected, rtol=1e-5, atol=1e-6)


def test_separate_kernels_are_each_their_own() -> None:
    bank = kernels(shared=False)
    assert [tuple(w.shape) for w in bank.weights] == [
        (width, 3, *size) for width, size in zip((6, 6, 3, 6), SIZES, strict=True)
    ]
    assert all(bank.kernel(i) is not None and torch.equal(bank.kernel(i), w)
               for i, w in enumerate(bank.weights))  # fmt: skip


def test_pixels_brought_to_the_learned_size_give_the_same_dot_product() -> None:
    stretch = Stretch(SIZES[0], SIZES[1], rescale=True)
    weight = torch.randn(6, 3, *SIZES[0], generator=torch.Generator().manual_seed(0))
    x = patches(1)
    stretched = torch.einsum("dcthw,nmjtchw->nmjd", stretch.kernel(weight), x)
    turned = torch.einsum("dcthw,nmjtchw->nmjd", weight, stretch(x))
    torch.testing.assert_close(turned, stretched, rtol=1e-4, atol=1e-5)


def test_the_gain_is_the_ratio_of_norms_for_noise_and_of_sums_for_even_pictures() -> None:
    for source, target in ((8, 16), (8, 4), (8, 1), (3, 7)):
        matrix = stretching(source, target)
        norms = (source / matrix.square().sum()).sqrt()
        sums = (source / matrix.sum(dim=0).square().sum()).sqrt()
        assert stretching_gain((source,), (target,), 0) == pytest.approx(float(norms), rel=1e-5)
        assert stretching_gain((source,), (target,), 1) == pytest.approx(float(sums), rel=1e-5)
    assert stretching_gain((8, 8, 8), (8, 8, 8)) == pytest.approx(1)
    both = stretching_gain((8, 4), (4, 6))
    assert both == pytest.approx(stretching_gain((8,), (4,)) * stretching_gain((4,), (6,)))


def natural(shape: tuple[int, int, int], seed: int) -> Tensor:
    """(4, F, 3, H, W) with power 1 / |frequency|^3: alike at every scale, in space and time."""
    f, h, w = shape
    noise = torch.randn(4, f, 3, h, w, generator=torch.Generator().manual_seed(seed))
    t, y, x = (torch.fft.fftfreq(n) for n in shape)
    radius = (t[:, None, None, None] ** 2 + y[:, None] ** 2 + x**2).sqrt()
    radius[0, 0, 0, 0] = torch.inf
    waves = torch.fft.fftn(noise, dim=(1, 3, 4)) * radius**-1.5
    field = torch.fft.ifftn(waves, dim=(1, 3, 4)).real
    return field / field.std()


def test_rescaled_tokens_of_natural_clips_have_one_deviation() -> None:
    clip, spread = natural((32, 96, 96), 0), {}
    for rescale in (False, True):
        torch.manual_seed(0)
        tokens = TubeTokens(3, 96, PUBLISHED_TUBES, rescale=rescale)
        with torch.no_grad():
            each = [
                float(tokens.kernels(tube.cut(clip), i).std())
                for i, tube in enumerate(PUBLISHED_TUBES)
            ]
        spread[rescale] = max(each) / min(each)
    assert spread[True] < 1.25
    assert spread[False] > 1.8


def changed_by_hand(bank: TubeKernels) -> None:
    with torch.no_grad():
        bank.weights[0].mul_(2)


def changed_by_loading(bank: TubeKernels) -> None:
    bank.load_state_dict({name: 2 * value for name, value in bank.state_dict().items()})


def changed_by_a_step(bank: TubeKernels) -> None:
    bank.weights[0].grad = torch.ones_like(bank.weights[0])
    torch.optim.SGD([bank.weights[0]], lr=0.1).step()
    bank.weights[0].grad = None


def changed_behind_its_back(bank: TubeKernels) -> None:
    bank.train()
    bank.weights[0].data.mul_(2)  # not counted by the tensor
    bank.eval()


def exchanged(bank: TubeKernels) -> None:
    bank.weights[0] = nn.Parameter(2 * bank.weights[0].detach())


@torch.no_grad()
def test_stretched_kernels_are_made_once_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    stretched = Stretch.kernel

    def counted(self: Stretch, weight: Tensor) -> Tensor:
        made.append(1)
        return stretched(self, weight)

    monkeypatch.setattr(Stretch, "kernel", counted)
    bank = kernels().eval()
    first = [bank(patches(i), i) for i in range(4)]
    again = [bank(patches(i), i) for i in range(4)]
    assert len(made) == 3  # the first tube has the learned size
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(
    "change",
    [changed_by_hand, changed_by_loading, changed_by_a_step, changed_behind_its_back, exchanged],
)
def test_kept_kernels_follow_the_weights(change: Callable[[TubeKernels], None]) -> None:
    bank = kernels().eval()
    with torch.no_grad():
        before = bank(patches(1), 1)
    change(bank)
    with torch.no_grad():
        after = bank(patches(1), 1)
    torch.testing.assert_close(after, bank(patches(1), 1).detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(after, before, atol=1e-3)


def test_keeping_kernels_leaves_state_gradients_and_copies_alone() -> None:
    bank = kernels().eval()
    names = set(bank.state_dict())
    with torch.no_grad():
        kept = bank(patches(2), 2)
    assert set(bank.state_dict()) == names
    assert torch.equal(copy.deepcopy(bank)(patches(2), 2).detach(), bank(patches(2), 2).detach())
    bank(patches(2), 2).sum().backward()
    assert bank.weights[0].grad is not None
    assert bank.weights[0].grad.abs().max() > 0
    bank.double()
    with torch.no_grad():
        torch.testing.assert_close(bank(patches(2).double(), 2).float(), kept, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_kernels_kept_under_autocast_serve_without() -> None:
    bank, x = kernels().eval(), patches(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert bank(x, 2).dtype == torch.bfloat16
    torch.testing.assert_close(bank(x, 2), kernels().eval()(x, 2))


def test_kernels_made_in_inference_serve_gradients_of_the_pixels() -> None:
    bank = kernels().eval().requires_grad_(False)
    with torch.inference_mode():
        inside = bank(patches(1), 1)
    x = patches(1).requires_grad_()
    out = bank(x, 1)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert torch.equal(out.detach(), inside.clone())
    with torch.inference_mode():
        born = kernels().eval()  # its weights do not count their changes, so nothing is kept
        first = born(patches(1), 1)
        born.weights[0].mul_(2)
        assert not torch.allclose(born(patches(1), 1), first)


@pytest.mark.parametrize("training", [True, False])
def test_it_compiles_to_the_same(training: bool) -> None:
    bank = kernels().train(training)
    compiled = torch.compile(bank, backend="eager", fullgraph=True)
    with torch.no_grad():
        expected = bank(patches(1), 1)
        torch.testing.assert_close(compiled(patches(1), 1), expected, rtol=1e-5, atol=1e-6)
        bank.weights[0].mul_(2)
        expected = bank(patches(1), 1)
        torch.testing.assert_close(compiled(patches(1), 1), expected, rtol=1e-5, atol=1e-6)
