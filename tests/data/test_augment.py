"""Crops, flips and colours against plain formulas."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from torch import Tensor

from brainreel.data.augment import (
    AugmentConfig,
    centre_crops,
    colour_jitter,
    random_box,
    resized,
    turned_hue,
)
from brainreel.errors import ConfigError
from brainreel.stimulus.pictures import resize_pictures

PLAIN = AugmentConfig(scale=None, flip=0.0)


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


def slow_jitter(
    clip: np.ndarray, brightness: float, contrast: float, saturation: float, turn: float
) -> np.ndarray:
    """Pixel by pixel, hue by colorsys."""
    x = np.clip(clip / 255 * brightness, 0, 1)
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    mean = (x * weights).sum(axis=1).mean()
    x = np.clip(mean + contrast * (x - mean), 0, 1)
    grey = (x * weights).sum(axis=1, keepdims=True)
    x = np.clip(grey + saturation * (x - grey), 0, 1)
    for f, i, j in np.ndindex(len(x), *x.shape[2:]):
        hue, sat, value = colorsys.rgb_to_hsv(*x[f, :, i, j])
        x[f, :, i, j] = colorsys.hsv_to_rgb((hue + turn) % 1, sat, value)
    return np.rint(x * 255)


@pytest.mark.parametrize(
    "factors",
    [(1, 1, 1, 0), (1.4, 1, 1, 0), (1, 0.3, 1, 0), (1, 1, 1.7, 0), (1, 1, 1, 0.21),
     (0.8, 1.5, 0.5, -0.4), (0, 0, 0, 0.5)],
)  # fmt: skip
def test_colours_equal_the_plain_formula(factors: tuple[float, ...]) -> None:
    clip = noise(2, 3, 6, 5)
    clip[0, :, 0] = torch.tensor([[0, 255, 9, 9, 100]] * 3)  # greys have no hue
    changed = colour_jitter(clip, *factors)
    expected = slow_jitter(clip.double().numpy(), *factors)
    assert np.abs(changed.numpy() - expected).max() <= 1
    assert (changed.numpy() == expected).mean() > 0.98
    assert changed.dtype == torch.uint8


def test_hue_turned_all_the_way_is_what_it_was() -> None:
    x = noise(1, 3, 8, 8).float() / 255
    torch.testing.assert_close(turned_hue(x, 1.0), x)
    third = turned_hue(x, 1 / 3)
    torch.testing.assert_close(third, x.roll(1, dims=1))


def test_a_random_box_has_the_asked_area_and_aspect() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_box((200, 300), (0.2, 0.6), (0.8, 1.25), rng) for _ in range(500)])
    top, left, height, width = boxes.T
    area = height * width / (200 * 300)
    assert 0.19 < area.min() < 0.23
    assert 0.5 < area.max() < 0.61
    assert abs(area.mean() - 0.4) < 0.02
    assert 0.79 < (width / height).min() < 0.83
    assert 1.2 < (width / height).max() < 1.26
    assert top.min() == 0
    assert left.min() >= 0
    assert (top + height).max() == 200
    assert (left + width).max() <= 300


def test_a_box_that_never_fits_is_the_centre() -> None:
    rng = np.random.default_rng(0)
    assert random_box((10, 100), (0.9, 1.0), (1.0, 1.0), rng) == (0, 45, 10, 10)
    state = rng.bit_generator.state
    random_box((50, 50), (0.9, 1.0), (1.0, 1.0), np.random.default_rng(0))
    again = np.random.default_rng(0)
    random_box((50, 50), (0.1, 1.0), (0.5, 2.0), again)
    assert again.bit_generator.state == state, "the number of draws depends on nothing"


def test_all_frames_of_a_clip_change_alike() -> None:
    one = noise(1, 3, 40, 50)
    clip = one.expand(5, -1, -1, -1)
    config = AugmentConfig(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    changed = config.frames(clip, (24, 32), np.random.default_rng(3))
    assert changed.shape == (5, 3, 24, 32)
    assert changed.dtype == torch.uint8
    assert all(torch.equal(frame, changed[0]) for frame in changed)
    again = config.frames(clip, (24, 32), np.random.default_rng(3))
    assert torch.equal(changed, again)
    other = config.frames(clip, (24, 32), np.random.default_rng(4))
    assert not torch.equal(changed, other)


def test_flips_come_at_their_rate() -> None:
    clip = noise(1, 3, 8, 8)
    flips = AugmentConfig(scale=None, flip=0.3)
    rng = np.random.default_rng(0)
    changed = [flips.frames(clip, (8, 8), rng) for _ in range(400)]
    flipped = sum(torch.equal(one, clip.flip(-1)) for one in changed)
    assert sum(torch.equal(one, clip) for one in changed) == 400 - flipped
    assert 90 < flipped < 150


def test_nothing_asked_nothing_changed() -> None:
    clip = noise(2, 3, 12, 20)
    changed = PLAIN.frames(clip, (12, 12), np.random.default_rng(0))
    assert torch.equal(changed, clip[..., 4:16])
    mel = np.zeros((5, 4), np.float32)
    assert PLAIN.sound(mel, np.random.default_rng(0)) is mel


def test_a_whole_frame_is_cropped_to_itself() -> None:
    clip = noise(1, 3, 16, 16)
    whole = AugmentConfig(scale=(1, 1), ratio=(1, 1), flip=0)
    assert torch.equal(whole.frames(clip, (16, 16), np.random.default_rng(0)), clip)


def test_centre_and_side_crops() -> None:
    wide = noise(2, 3, 10, 21)
    assert torch.equal(centre_crops(wide, (10, 10), 1)[0], wide[..., 5:15])
    left, middle, right = centre_crops(wide, (10, 10), 3)
    assert torch.equal(left, wide[..., :10])
    assert torch.equal(middle, wide[..., 5:15])
    assert torch.equal(right, wide[..., 11:])
    top, _, bottom = centre_crops(noise(1, 3, 30, 12), (10, 10), 3)
    assert torch.equal(top, noise(1, 3, 30, 12)[..., :10, 1:11])
    assert torch.equal(bottom, noise(1, 3, 30, 12)[..., 20:, 1:11])
    (grown,) = centre_crops(noise(1, 3, 5, 10), (20, 20), 1)
    assert grown.shape == (1, 3, 20, 20)


def test_resizing_equals_that_of_pictures() -> None:
    clip = noise(2, 3, 40, 30)
    for size in ((20, 17), (13, 50)):
        ours = resized(clip, size).float()
        theirs = torch.from_numpy(resize_pictures(clip.numpy(), size)).float()
        assert (ours - theirs).abs().max() <= 2
        assert (ours - theirs).abs().mean() < 0.3


def test_hidden_sound_becomes_its_mean() -> None:
    mel = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    config = AugmentConfig(time_mask=30, mel_mask=20)
    hidden = config.sound(mel, np.random.default_rng(1))
    changed = hidden != mel
    assert changed.any()
    np.testing.assert_allclose(hidden[changed], mel.mean(), rtol=1e-6)
    assert changed.all(axis=1).sum() <= 30
    assert changed.all(axis=0).sum() <= 20


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"scale": [0, 1]}, "scale needs two shares"),
        ({"scale": [0.5, 0.2]}, "scale needs two shares"),
        ({"scale": [0.5, 1.2]}, "scale needs two shares"),
        ({"ratio": [2, 1]}, "ratio needs two numbers"),
        ({"hue": 0.7}, "hue"),
    ],
)
def test_impossible_changes(option: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        AugmentConfig.parse(option)
