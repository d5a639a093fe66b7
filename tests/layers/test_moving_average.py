from __future__ import annotations

import pytest
import torch

from brainreel.layers.moving_average import MovingAverage


def test_it_is_the_published_recursion() -> None:
    draw = torch.Generator().manual_seed(0)
    steps = torch.randn(30, 3, generator=draw)
    average, expected = MovingAverage({"w": steps[0]}, decay=0.5), steps[0].clone()
    for n, weights in enumerate(steps[1:], start=1):
        average.update({"w": weights})
        decay = min(0.5, (1 + n) / (10 + n))
        expected = expected - (1 - decay) * (expected - weights)
        torch.testing.assert_close(average.average["w"], expected)
    assert average.n_updates == 29


def test_it_leaves_the_weights_alone_and_copies_counts() -> None:
    weights = {"w": torch.zeros(2), "n": torch.tensor(1)}
    average = MovingAverage(weights)
    average.update({"w": torch.ones(2), "n": torch.tensor(7)})
    assert weights["w"].tolist() == [0, 0]
    assert average.average["n"] == 7
    assert average.average["w"].tolist() == pytest.approx([9 / 11, 9 / 11])
