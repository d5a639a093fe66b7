"""Motion energy: gratings that drift excite their own direction and speed."""

from __future__ import annotations

import numpy as np
import pytest

from brainreel.stimulus.motion import (
    N_DIRECTIONS,
    SPATIAL_CPH,
    TEMPORAL_HZ,
    motion_energy,
)

RATE = 12.5
DEGREES = [360 * step / N_DIRECTIONS for step in range(N_DIRECTIONS)]


def grating(
    degrees: float, cph: float = 2.0, hertz: float = 2.0, size: tuple[int, int] = (32, 32)
) -> np.ndarray:
    """A grating drifting along `degrees`: 0 to the right, 90 upwards."""
    rows, cols = np.mgrid[: size[0], : size[1]] / size[0]
    angle = np.deg2rad(degrees)
    place = cols * np.cos(angle) - rows * np.sin(angle)
    times = np.arange(50)[:, None, None] / RATE
    return (0.5 + 0.4 * np.cos(2 * np.pi * (cph * place - hertz * times))).astype(np.float32)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("cph", SPATIAL_CPH)
@pytest.mark.parametrize("size", [(32, 32), (32, 56)])
def test_own_direction_wins(degrees: float, cph: float, size: tuple[int, int]) -> None:
    energy = motion_energy(grating(degrees, cph, size=size), RATE)[25]
    own = DEGREES.index(degrees)
    slow = energy[:N_DIRECTIONS]
    opposite = (own + N_DIRECTIONS // 2) % N_DIRECTIONS
    assert slow.argmax() == own
    assert slow[own] > 5 * slow[opposite]


@pytest.mark.parametrize("hertz", TEMPORAL_HZ)
def test_own_speed_wins(hertz: float) -> None:
    energy = motion_energy(grating(0, hertz=hertz), RATE)[25].reshape(len(TEMPORAL_HZ), -1)
    assert TEMPORAL_HZ[energy[:, 0].argmax()] == hertz


def test_an_object_that_moves_up() -> None:
    frames = np.zeros((30, 32, 32), np.float32)
    for index in range(30):
        frames[index, 28 - index : 34 - index, 12:20] = 1
    total = motion_energy(frames, RATE)[5:20].sum(axis=0)[:N_DIRECTIONS]
    assert total[2] > 1.5 * total[6]


def test_stills_and_flat_flicker_have_none() -> None:
    still = np.repeat(np.random.default_rng(0).random((1, 32, 32), dtype=np.float32), 40, axis=0)
    assert np.abs(motion_energy(still, RATE)).max() < 1e-5
    flicker = np.random.default_rng(0).random((40, 1, 1)).astype(np.float32)
    flat = np.broadcast_to(flicker, (40, 32, 32))
    assert np.abs(motion_energy(flat, RATE)).max() < 1e-5


def test_equal_to_the_slow_definition() -> None:
    """One frame, every filter written out point by point."""
    luma = np.random.default_rng(0).random((25, 16, 20), dtype=np.float32)
    rows, cols = (np.mgrid[:16, :20] + 0.5) / 16
    expected = []
    for hertz in TEMPORAL_HZ:
        reach = int(np.ceil(2.5 * 0.5 / hertz * RATE))
        steps = np.arange(-reach, reach + 1)
        envelope = np.exp(-((steps / RATE) ** 2) / (2 * (0.5 / hertz) ** 2))
        envelope /= envelope.sum()
        wave = np.exp(-2j * np.pi * hertz * steps / RATE)
        temporal = envelope * (wave - (envelope * wave).sum().real)
        for degrees in DEGREES:
            angle = np.deg2rad(degrees)
            per_scale = []
            for cph in SPATIAL_CPH:
                sigma = 0.5 / cph
                wave = np.exp(2j * np.pi * cph * (cols * np.cos(angle) - rows * np.sin(angle)))
                n_y, n_x = round(1 / sigma), round(20 / 16 / sigma)
                found = []
                for y in (np.arange(n_y) + 0.5) / n_y:
                    for x in (np.arange(n_x) + 0.5) / n_x * 20 / 16:
                        window = np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * sigma**2))
                        window /= window.sum()
                        gabor = window * (wave - (window * wave).sum())
                        course = (luma * gabor).sum(axis=(1, 2))
                        places = np.clip(12 + steps, 0, 24)
                        found.append(abs((course[places] * temporal).sum()))
                per_scale.append(np.mean(found))
            expected.append(np.mean(per_scale))
    np.testing.assert_allclose(motion_energy(luma, RATE)[12], expected, rtol=2e-4, atol=1e-6)
