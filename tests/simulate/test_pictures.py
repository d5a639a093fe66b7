from pathlib import Path

import av
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from brainreel.simulate.pictures import (
    KINDS,
    answer_pictures,
    draw_fields,
    draw_pictures,
    write_png,
)


def test_pictures_are_strokes_of_every_kind() -> None:
    pictures, labels = draw_pictures(60, 12, 20, np.random.default_rng(0))
    assert pictures.shape == (72, 20, 20)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(labels[:60]), 10)
    np.testing.assert_array_equal(np.bincount(labels[60:]), 2)
    assert len(np.unique(pictures.reshape(72, -1), axis=0)) == 72
    assert 0.05 < pictures.mean() / 255 < 0.45
    assert (pictures.max(axis=(1, 2)) == 255).all()


def test_kinds_differ_more_than_pictures_of_a_kind() -> None:
    pictures, labels = draw_pictures(120, 0, 20, np.random.default_rng(1))
    flat = pictures.reshape(120, -1).astype(float)
    middles = np.stack([flat[labels == kind].mean(axis=0) for kind in range(len(KINDS))])
    nearest = np.argmin(((flat[:, None] - middles) ** 2).sum(axis=-1), axis=1)
    assert (nearest == labels).mean() > 0.85


def test_answers_are_the_field_weighted_picture_and_known_noise() -> None:
    rng = np.random.default_rng(2)
    pictures, _ = draw_pictures(300, 0, 12, rng)
    fields = draw_fields(40, 12, rng)
    trials = answer_pictures(pictures, fields, (0.5, 0.8), rng)
    for voxel in range(40):
        seen = [(picture / 255 * fields[voxel].reshape(12, 12)).sum() for picture in pictures]
        expected = (seen - np.mean(seen)) / np.std(seen)
        np.testing.assert_allclose(trials.signal[:, voxel], expected, atol=1e-9)
    noise = (trials.voxels - trials.signal) / trials.noise_std
    assert noise.std() == pytest.approx(1, abs=0.03)
    r = [np.corrcoef(trials.signal[:, v], trials.voxels[:, v])[0, 1] for v in range(40)]
    np.testing.assert_allclose(r, 1 / np.sqrt(1 + trials.noise_std**2), atol=0.15)


def test_ridge_reconstructs_well_but_not_perfectly() -> None:
    rng = np.random.default_rng(3)
    pictures, _ = draw_pictures(100, 20, 20, rng)
    trials = answer_pictures(pictures, draw_fields(300, 20, rng), (0.5, 0.8), rng)
    flat = pictures.reshape(120, -1) / 255.0
    found = Ridge(alpha=300).fit(trials.voxels[:100], flat[:100]).predict(trials.voxels[100:])
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, flat[100:], strict=True)]
    assert 0.65 < np.mean(r) < 0.95


def test_png_is_read_back_as_written(tmp_path: Path) -> None:
    picture = draw_pictures(1, 0, 20, np.random.default_rng(4))[0][0]
    write_png(tmp_path / "picture.png", picture)
    with av.open(str(tmp_path / "picture.png")) as container:
        frame = next(container.decode(video=0))
    np.testing.assert_array_equal(frame.to_ndarray(format="gray"), picture)
