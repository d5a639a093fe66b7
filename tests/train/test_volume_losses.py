from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from brainreel.errors import CheckpointError
from brainreel.train.volume_losses import (
    VGGFront,
    absolute_error,
    draw_slices,
    intense_voxels,
    perceptual_error,
)

SHAPE = (2, 3, 4, 5, 6)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def vgg_weights() -> dict[str, torch.Tensor]:
    sizes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128)}
    weights = {f"features.{n}.weight": 0.1 * noise(*s, 3, 3, seed=n) for n, s in sizes.items()}
    return weights | {f"features.{n}.bias": noise(s[0], seed=n) for n, s in sizes.items()}


def test_absolute_error_is_the_mean_of_differences() -> None:
    a, b, counted = noise(*SHAPE), noise(*SHAPE, seed=1), noise(*SHAPE, seed=2) > 0
    total, n = absolute_error(a, b)
    torch.testing.assert_close(total / n, nn.functional.l1_loss(a, b))
    total, n = absolute_error(a, b, counted)
    torch.testing.assert_close(total / n, (a - b).abs()[counted].mean())


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 1.0])
def test_intense_voxels_lie_above_numpys_quantile_of_the_positive_ones(quantile: float) -> None:
    scores = noise(*SHAPE)
    found = intense_voxels(scores, quantile)
    for b in range(2):
        for t in range(3):
            volume = scores[b, t].double().numpy()
            level = np.quantile(volume[volume > 0], quantile)
            clear = np.abs(volume - level) > 1e-6
            assert (found[b, t].numpy() == (volume > level))[clear].all()


def test_with_a_background_below_zero_strength_counts_on_both_sides() -> None:
    scores = torch.tensor([-3.0, -2.0, -1.0, 0.5, 1.0, 2.5]).reshape(1, 1, 6, 1, 1)
    found = intense_voxels(scores, 0.5, torch.tensor([[-3.0]])).flatten()
    assert found.tolist() == [False, True, False, False, False, True]


def test_nothing_is_intense_in_an_empty_volume() -> None:
    assert not intense_voxels(torch.zeros(1, 1, 2, 2, 2)).any()


def test_perceptual_error_is_that_of_a_plain_vgg_on_grey_pictures() -> None:
    weights = vgg_weights()
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)]
    layers += [nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 128, 3, padding=1), nn.ReLU()]
    plain = nn.Sequential(*layers, nn.Conv2d(128, 128, 3, padding=1), nn.ReLU())
    plain.load_state_dict({k.removeprefix("features."): v for k, v in weights.items()})
    a, b = noise(*SHAPE), noise(*SHAPE, seed=1)
    chosen = draw_slices(SHAPE, 0.25, torch.Generator().manual_seed(3))
    assert len(chosen) == 2 * 3 * 6 // 4
    expected = torch.zeros(())
    for stop in (4, 9):
        seen = [
            plain[:stop](
                v.permute(0, 1, 4, 2, 3).reshape(-1, 1, 4, 5)[chosen].expand(-1, 3, -1, -1)
            )
            for v in (a, b)
        ]
        expected = expected + nn.functional.mse_loss(*seen)
    total, n = perceptual_error(a, b, VGGFront(weights, where="here"), chosen)
    torch.testing.assert_close(total / n, expected, rtol=1e-5, atol=1e-6)


def test_weights_of_another_network_are_refused() -> None:
    weights = vgg_weights()
    del weights["features.5.bias"]
    with pytest.raises(CheckpointError, match=r"here: lacks features\.5\.bias \(128,\)"):
        VGGFront(weights, where="here")
