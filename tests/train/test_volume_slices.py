"""The perceptual part: slices a few at a time give what all at once give, gradients too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from brainreel.train.volume_losses import VGGFront, draw_slices, perceptual_error


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_vgg() -> VGGFront:
    weights = {}
    for number, channels, out in ((0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128)):
        kernel = drawn(out, channels, 3, 3, seed=number)
        weights[f"features.{number}.weight"] = kernel * (2 / (9 * channels)) ** 0.5
        weights[f"features.{number}.bias"] = drawn(out, seed=number + 1) / 10
    return VGGFront(weights, where="random")


def test_slices_a_few_at_a_time_give_the_error_and_gradient_of_all_at_once() -> None:
    vgg = random_vgg()
    measured = drawn(2, 2, 8, 6, 5, seed=3)
    predicted = drawn(2, 2, 8, 6, 5, seed=4).requires_grad_()
    chosen = draw_slices(predicted.shape, 0.55, torch.Generator().manual_seed(5))
    assert len(chosen) == 11
    total, n = perceptual_error(predicted, measured, vgg, chosen)

    def colours(volumes: Tensor) -> Tensor:
        slices = volumes.permute(0, 1, 4, 2, 3).flatten(0, 2)[chosen]
        return slices.unsqueeze(1).expand(-1, 3, -1, -1)

    def seen(pictures: Tensor) -> list[Tensor]:
        near = vgg.second(functional.relu(vgg.first(pictures))).relu()
        return [near, vgg.fourth(vgg.third(functional.max_pool2d(near, 2)).relu()).relu()]

    both = zip(seen(colours(predicted)), seen(colours(measured)), strict=True)
    by_hand = sum(((ours - theirs) ** 2).mean() for ours, theirs in both)
    assert isinstance(by_hand, Tensor)
    torch.testing.assert_close(total / n, by_hand, rtol=1e-5, atol=0)
    slopes = [torch.autograd.grad(3 * error, predicted)[0] for error in (total / n, by_hand)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-7)


def test_no_gradient_is_made_where_none_is_asked_for() -> None:
    total, n = perceptual_error(
        drawn(1, 1, 8, 6, 5, seed=1), drawn(1, 1, 8, 6, 5, seed=2), random_vgg(), torch.arange(5)
    )
    assert not total.requires_grad
    assert n == 5
