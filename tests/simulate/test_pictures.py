from pathlib import Path

import av
import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier

from brainreel.simulate.paint import Canvas
from brainreel.simulate.pictures import (
    CHANNELS,
    answer_pictures,
    draw_channels,
    draw_fields,
    draw_pictures,
    draw_tuning,
    write_png,
)
from brainreel.simulate.views import KINDS, paint_view

LUMA = (0.299, 0.587, 0.114)


def test_pictures_are_of_every_kind_in_colour() -> None:
    pictures, labels = draw_pictures(40, 16, 16, np.random.default_rng(0))
    assert pictures.shape == (56, 3, 16, 16)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(labels[:40]), 5)
    np.testing.assert_array_equal(np.bincount(labels[40:]), 2)
    assert len(np.unique(pictures.reshape(56, -1), axis=0)) == 56
    assert len(KINDS) == 8
    assert 0.2 < pictures.mean() / 255 < 0.7
    apart = pictures.max(axis=1).astype(int) - pictures.min(axis=1)
    assert (apart.mean(axis=(1, 2)) > 10).all()


def test_the_same_seed_paints_the_same_view() -> None:
    first, again, other = (paint_view("sea", 24, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_kinds_are_told_apart_by_what_they_show() -> None:
    pictures, labels = draw_pictures(240, 40, 16, np.random.default_rng(1))
    flat = pictures.reshape(280, -1) / 255.0
    told = RidgeClassifier(alpha=10).fit(flat[:240], labels[:240]).predict(flat[240:])
    assert (told == labels[240:]).mean() > 0.85


def test_polygons_and_soft_edges_are_where_they_should_be() -> None:
    canvas = Canvas(10, np.random.default_rng(0))
    mask = canvas.polygon([(0.2, 0.1), (0.8, 0.1), (0.8, 0.6), (0.2, 0.6)])
    np.testing.assert_allclose(mask, canvas.rectangle(0.2, 0.1, 0.8, 0.6), atol=1e-9)
    assert mask.mean() == pytest.approx(0.6 * 0.5, abs=0.01)
    canvas.box(0.2, 0.1, 0.8, 0.6, (1.0, 0.5, 0.0))
    np.testing.assert_allclose(canvas.picture[10, 15], (1.0, 0.5, 0.0))
    np.testing.assert_allclose(canvas.picture[25, 15], 0)


def test_cloudy_noise_has_mean_0_and_deviation_1() -> None:
    rng = np.random.default_rng(2)
    values = np.stack([Canvas(16, rng).cloudy(5, 3, 2) for _ in range(60)])
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.1)


def seen_by_hand(picture: np.ndarray, channel: str, field: np.ndarray) -> float:
    red, green, blue = picture / 255
    light = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    maps = {
        "luminance": light,
        "red_green": red - green,
        "blue_yellow": blue - (red + green) / 2,
        "edges": np.sqrt(np.gradient(light, axis=0) ** 2 + np.gradient(light, axis=1) ** 2),
    }
    return float((maps[channel] * field.reshape(light.shape)).sum())


def test_answers_are_what_the_channel_sees_and_known_noise() -> None:
    rng = np.random.default_rng(2)
    pictures, labels = draw_pictures(300, 0, 12, rng)
    tuning = draw_tuning(40, 12, rng)
    assert set(tuning.channels) == set(CHANNELS)
    trials = answer_pictures(pictures, labels, tuning, (0.5, 0.8), rng)
    for voxel, channel in enumerate(tuning.channels):
        field, answers = tuning.fields[voxel], tuning.kinds[voxel]
        if channel == "kind":
            seen = [answers[label] for label in labels]
        else:
            seen = [seen_by_hand(picture, channel, field) for picture in pictures]
        expected = (seen - np.mean(seen)) / np.std(seen)
        np.testing.assert_allclose(trials.signal[:, voxel], expected, atol=1e-9)
    noise = (trials.voxels - trials.signal) / trials.noise_std
    assert noise.std() == pytest.approx(1, abs=0.03)
    r = [np.corrcoef(trials.signal[:, v], trials.voxels[:, v])[0, 1] for v in range(40)]
    np.testing.assert_allclose(r, 1 / np.sqrt(1 + trials.noise_std**2), atol=0.15)


def test_colour_channels_are_blind_to_grey() -> None:
    rng = np.random.default_rng(5)
    grey = np.repeat(rng.integers(0, 256, (9, 1, 8, 8), dtype=np.uint8), 3, axis=1)
    channels = np.array(["red_green", "blue_yellow", "luminance"])
    tuning = draw_tuning(3, 8, rng, channels)
    trials = answer_pictures(grey, np.zeros(9, dtype=np.int64), tuning, (0.5, 0.8), rng)
    np.testing.assert_allclose(trials.signal[:, :2], 0, atol=1e-3)
    assert trials.signal[:, 2].std() == pytest.approx(1)


def test_regions_answer_to_what_they_are_for() -> None:
    regions = np.repeat(["luminance", "contrast", "motion"], 40)
    channels = draw_channels(regions, np.random.default_rng(3))
    assert set(channels[:40]) == {"luminance", "red_green", "blue_yellow"}
    assert set(channels[40:80]) == {"edges"}
    assert set(channels[80:]) == {"kind"}


def test_fields_sum_to_one_or_minus_one() -> None:
    fields = draw_fields(50, 12, np.random.default_rng(6))
    np.testing.assert_allclose(np.abs(fields.sum(axis=1)), 1)
    assert 0.05 < (fields.sum(axis=1) < 0).mean() < 0.4


def test_ridge_reconstructs_well_but_not_perfectly() -> None:
    rng = np.random.default_rng(3)
    pictures, labels = draw_pictures(160, 20, 16, rng)
    trials = answer_pictures(pictures, labels, draw_tuning(300, 16, rng), (0.5, 0.8), rng)
    flat = pictures.reshape(180, -1) / 255.0
    found = Ridge(alpha=300).fit(trials.voxels[:160], flat[:160]).predict(trials.voxels[160:])
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, flat[160:], strict=True)]
    assert 0.55 < np.mean(r) < 0.95


@pytest.mark.parametrize(("shape", "form"), [((7, 5), "gray"), ((3, 7, 5), "rgb24")])
def test_png_is_read_back_as_written(tmp_path: Path, shape: tuple[int, ...], form: str) -> None:
    picture = np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "picture.png", picture)
    with av.open(str(tmp_path / "picture.png")) as container:
        frame = next(container.decode(video=0))
    np.testing.assert_array_equal(
        frame.to_ndarray(format=form), np.moveaxis(picture, 0, -1) if len(shape) == 3 else picture
    )
