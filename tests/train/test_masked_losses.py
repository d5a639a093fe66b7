from __future__ import annotations

import math

import pytest
import torch

from brainreel.errors import ShapeError
from brainreel.train.masked_losses import picture_feature_error, removed_error


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_error_of_removed_patches_by_a_loop() -> None:
    ours, truth = drawn(2, 3, 4, seed=0), drawn(2, 3, 4, seed=1)
    removed = torch.tensor([[True, False, True], [False, False, True]])
    total, n = removed_error(ours, truth, removed)
    each = [
        float(((ours[b, p] - truth[b, p]) ** 2).mean())
        for b in range(2)
        for p in range(3)
        if removed[b, p]
    ]
    assert float(total / n) == pytest.approx(sum(each) / len(each), rel=1e-6)
    total, n = removed_error(ours, truth, torch.zeros(2, 3, dtype=torch.bool))
    assert (float(total), int(n)) == (0, 0)


def test_the_error_of_features_by_a_loop() -> None:
    told, features = drawn(1, 2, 2, 1, seed=0), drawn(1, 2, 2, 1, seed=1)
    total, n = picture_feature_error(told, features)
    pairs = zip(told.flatten().tolist(), features.flatten().tolist(), strict=True)
    assert float(total) == pytest.approx(sum((math.tanh(a) - math.tanh(b)) ** 2 for a, b in pairs))
    assert int(n) == 4


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(ShapeError, match="removed has 2 along axis N"):
        removed_error(drawn(2, 3, 4, seed=0), drawn(2, 3, 4, seed=1), torch.ones(2, 2))
    with pytest.raises(ShapeError, match="told has 1 along axis C"):
        picture_feature_error(drawn(1, 1, 2, 2, seed=0), drawn(1, 2, 2, 2, seed=0))
