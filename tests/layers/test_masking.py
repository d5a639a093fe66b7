from __future__ import annotations

import itertools

import pytest
import torch

from brainreel.errors import ConfigError, ShapeError
from brainreel.layers.masking import keep_lowest, masking_noise


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_masking_and_filling_by_a_loop() -> None:
    noise = masking_noise(4, 7, 0.6, generator())
    tokens, unseen = torch.randn(4, 7, 3, generator=generator()), torch.full((1, 1, 3), 9.0)
    masking = keep_lowest(noise, 0.6)
    filled = masking.filled(masking.seen(tokens), unseen)
    for row in range(4):
        order = sorted(range(7), key=lambda n: float(noise[row, n]))
        kept = order[: int(7 * 0.4)]
        assert masking.kept[row].tolist() == kept
        for n in range(7):
            assert bool(masking.removed[row, n]) == (n not in kept)
            assert torch.equal(filled[row, n], tokens[row, n] if n in kept else unseen[0, 0])


def test_all_is_seen_without_masking_and_none_is_an_error() -> None:
    masking = keep_lowest(masking_noise(2, 5, 0.0, generator(), torch.ones(5)), 0.0)
    assert not masking.removed.any()
    with pytest.raises(ConfigError, match=r"mask_ratio of 0\.75 leaves none of 3 patches"):
        keep_lowest(torch.zeros(1, 3), 0.75)
    with pytest.raises(ShapeError, match="noise has 1 axes"):
        keep_lowest(torch.zeros(3), 0.5)


def test_the_focus_is_masked_by_its_weight() -> None:
    """Against all ordered draws without replacement of two of four patches."""
    weights = [0.8, 0.2, 0.2, 0.8]
    chance = [0.0] * 4
    for first, second in itertools.permutations(range(4), 2):
        drawn = weights[first] / 2 * weights[second] / (2 - weights[first])
        chance[first] += drawn
        chance[second] += drawn
    n = 20_000
    noise = masking_noise(n, 4, 0.5, generator(), torch.tensor(weights))
    found = keep_lowest(noise, 0.5).removed.double().mean(dim=0)
    error = (torch.tensor(chance) * (1 - torch.tensor(chance)) / n).sqrt()
    assert ((found - torch.tensor(chance)).abs() < 4 * error).all()


def test_noise_is_the_same_for_the_same_generator() -> None:
    assert torch.equal(masking_noise(3, 6, 0.5, generator()), masking_noise(3, 6, 0.5, generator()))
