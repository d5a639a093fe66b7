import numpy as np
import pytest

from brainreel.simulate import scenes
from brainreel.simulate.scenes import LUMA, draw_scene, render_scene


@pytest.mark.parametrize("seed", range(8))
def test_a_scene_has_the_levels_that_were_asked(seed: int) -> None:
    scene = draw_scene(0.5, 0.1, 0.5, np.random.default_rng(seed))
    frames = render_scene(scene, np.array([0.0, 1.0, 2.0]), (48, 64))
    luma = frames[1] @ LUMA
    assert frames.shape == (3, 48, 64, 3)
    assert frames.dtype == np.float32
    # Clipping of the brightest and darkest parts moves them a little.
    assert luma.mean() == pytest.approx(0.5, abs=0.02)
    assert luma.std() == pytest.approx(0.1, abs=0.02)


def test_every_backdrop_is_drawn_and_in_colour() -> None:
    drawn = [draw_scene(0.5, 0.2, 1.0, np.random.default_rng(seed)) for seed in range(40)]
    assert {scene.backdrop for scene in drawn} == set(range(len(scenes._BACKDROPS)))
    for scene in drawn[:10]:
        frame = render_scene(scene, np.array([0.0]), (32, 32))[0]
        assert np.ptp(frame, axis=-1).mean() > 0.02


def test_speed_sets_how_much_frames_change() -> None:
    def change(motion: float) -> float:
        moved = []
        for seed in range(6):
            scene = draw_scene(0.5, 0.15, motion, np.random.default_rng(seed))
            frames = render_scene(scene, np.arange(10) / 12.5, (32, 32))
            moved.append(np.abs(np.diff(frames, axis=0)).mean())
        return float(np.mean(moved))

    assert change(0.0) == 0.0
    assert change(1.0) > 3 * change(0.2) > 0


def test_objects_are_drawn_over_the_backdrop() -> None:
    scene = draw_scene(0.5, 0.2, 0.3, np.random.default_rng(4))
    x = np.linspace(0, 1.3, 64, dtype=np.float32)[None]
    y = np.linspace(0, 1, 48, dtype=np.float32)[:, None]
    whole = scenes._picture(scene, 0.0, x, y)
    bare = scenes._picture(scenes.Scene(**(vars(scene) | {"things": ()})), 0.0, x, y)
    covered = np.abs(whole - bare).max(axis=-1) > 0.01
    assert 0.02 < covered.mean() < 0.7
