"""Drifting textures: their velocity is in the change between frames and nowhere else."""

from fractions import Fraction

import numpy as np
import pytest

from brainreel.simulate.drift import DRIFTS, draw_drift, told_apart

SIZE = (24, 32)


def phase_steps(frames: np.ndarray, every: int) -> float:
    """Mean step of the phase of the strongest horizontal wave between frames, in cycles."""
    luma = frames.astype(float).mean(axis=-1)
    spectrum = np.fft.fft2(luma - luma.mean(axis=(1, 2), keepdims=True))
    half = np.abs(spectrum[0])
    half[:, SIZE[1] // 2 :] = 0
    peak = np.unravel_index(half.argmax(), half.shape)
    wave = spectrum[(slice(None), *peak)]
    turned = (wave[:-every:every] * wave[every::every].conj()).sum()
    return float(np.angle(turned) / (2 * np.pi))


@pytest.mark.parametrize("name", DRIFTS)
def test_a_texture_passes_at_its_temporal_frequency(name: str) -> None:
    hertz = DRIFTS[name]
    for seed in range(5):
        frames = draw_drift(hertz, 16, SIZE, np.random.default_rng(seed), noise=0.03)
        assert frames.shape == (16, *SIZE, 3)
        assert frames.dtype == np.uint8
        assert phase_steps(frames, 1) == pytest.approx(hertz / 8, abs=0.03)


def test_frames_a_second_apart_are_the_same_and_half_a_second_is_half_a_cycle() -> None:
    for hertz in DRIFTS.values():
        frames = draw_drift(hertz, 16, SIZE, np.random.default_rng(1)).astype(int)
        assert abs(frames[8:] - frames[:8]).max() <= 1
        middle = frames.mean(axis=0)
        assert abs((frames[4:8] - middle) + (frames[:4] - middle)).max() < 4


def test_drifts_that_are_told_to_look_alike_do_so_frame_by_frame() -> None:
    """The same texture drifting at frequencies that alias gives the same frames."""
    for every in (1, 2, 4, 8):
        shown = {
            draw_drift(hertz, 16, SIZE, np.random.default_rng(3))[::every].tobytes()
            for hertz in DRIFTS.values()
        }
        assert Fraction(len(shown), 4) == told_apart(DRIFTS.values(), Fraction(every, 8))


def test_one_frame_tells_nothing() -> None:
    """The first frame does not depend on the drift at all."""
    first = {
        draw_drift(hertz, 4, SIZE, np.random.default_rng(5))[0].tobytes()
        for hertz in DRIFTS.values()
    }
    assert len(first) == 1


def test_noise_is_new_in_every_frame() -> None:
    frames = draw_drift(1, 9, SIZE, np.random.default_rng(0), noise=0.05).astype(float) / 255
    clean = draw_drift(1, 9, SIZE, np.random.default_rng(0)).astype(float) / 255
    assert (frames - clean).std() == pytest.approx(0.05, rel=0.05)
    assert abs(np.corrcoef((frames - clean)[0].ravel(), (frames - clean)[8].ravel())[0, 1]) < 0.1
