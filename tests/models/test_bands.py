"""Backbone `bands`: against a loop, and what it must tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainreel.errors import DataError
from brainreel.layers.clip import Clip
from brainreel.models.bands import BandsConfig
from brainreel.shapes import DataSpec


def test_it_is_level_spread_and_onsets_of_each_band() -> None:
    sound = torch.randn(2, 1, 7, 3, generator=torch.Generator().manual_seed(0)) * 4 - 8
    network = BandsConfig(sound_mean=-3, sound_std=2).build(DataSpec(sound_shape=(1, 7, 3)))
    assert network.width == 9
    features = network(Clip(sound=sound))
    for row in range(2):
        x = (sound[row, 0].numpy() + 3) / 2
        rises = [np.maximum(0, x[s] - x[s - 1]) for s in range(1, 7)]
        expected = np.concatenate([x.mean(axis=0), x.std(axis=0), np.sum(rises, axis=0) / 7])
        np.testing.assert_allclose(features[row], expected, rtol=1e-4, atol=1e-5)


def test_a_steady_sound_and_one_step_have_neither_spread_nor_onsets() -> None:
    for steps in (1, 5):
        network = BandsConfig().build(DataSpec(sound_shape=(1, steps, 4)))
        features = network(Clip(sound=torch.full((1, 1, steps, 4), -6.0)))
        assert (features[0, 4:] == 0).all()


def test_data_without_sound_is_named() -> None:
    with pytest.raises(DataError, match="the data has no sound. 'bands' needs films with sound"):
        BandsConfig().build(DataSpec(frame_shape=(3, 8, 8)))
