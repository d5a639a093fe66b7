"""Gliding tones: their course is in the order of moments and nowhere else."""

import numpy as np
import pytest

from brainreel.simulate.glides import GLIDES, draw_glide
from brainreel.stimulus.sounds import pitch

RATE_HZ = 16000


def octaves(glides_hz: int, seed: int) -> np.ndarray:
    """Pitch every 20 ms as another estimator hears it."""
    return pitch(draw_glide(glides_hz, 1.0, RATE_HZ, np.random.default_rng(seed)), RATE_HZ)[:, 0]


@pytest.mark.parametrize("name", GLIDES)
def test_a_tone_glides_as_often_and_where_it_should(name: str) -> None:
    glides = GLIDES[name]
    for seed in range(5):
        steps = np.diff(octaves(glides, seed))
        jumps = np.abs(steps) > 0.5
        # The jump back is heard in one step, or in two where it falls between windows.
        assert abs(glides) - 1 <= np.flatnonzero(np.diff(jumps, prepend=False) & jumps).size
        assert np.sign(np.median(steps)) == np.sign(glides)
        # 1 to 1.6 octaves in one glide.
        assert 0.9 < np.median(steps) / 0.020 / glides < 1.7


def test_pitch_at_a_moment_says_nothing_of_the_direction() -> None:
    heard = {name: np.concatenate([octaves(g, s) for s in range(40)]) for name, g in GLIDES.items()}
    quartiles = np.array([np.quantile(values, (0.25, 0.5, 0.75)) for values in heard.values()])
    assert np.ptp(quartiles, axis=0).max() < 0.25
    assert heard["rising-slowly"].std() == pytest.approx(heard["falling-slowly"].std(), rel=0.1)


def test_sound_is_as_long_as_told_loud_enough_and_never_clipped() -> None:
    for seed in range(10):
        sound = draw_glide(4, 0.7, RATE_HZ, np.random.default_rng(seed))
        assert sound.shape == (11200,)
        assert sound.dtype == np.float32
        level = 20 * np.log10(sound.std())
        assert -31 < level < -14
        assert abs(sound).max() < 1
