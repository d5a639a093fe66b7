from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from brainreel.report.blocks import make_blocks
from brainreel.report.courses import (
    alike,
    choose_courses,
    choose_voxels,
    clock,
    courses_figure,
    first_ceiling,
    strip_frames,
    typical_person,
)
from brainreel.report.runs import Maps, read_run
from brainreel.stimulus.frames import read_frames


def maps_of(r: list[float], **parts: object) -> Maps:
    return Maps("film", "sub-01", np.array(r), **parts)  # type: ignore[arg-type]


def test_the_rule_takes_best_upper_median_and_untuned() -> None:
    r = np.linspace(-0.2, 0.8, 101)
    q = np.where(r > 0.3, 0.01, 0.5)
    chosen = dict(choose_voxels(maps_of(r.tolist(), q=q)))
    tuned, rest = r[q < 0.05], r[q >= 0.05]
    assert r[chosen["Best voxel"]] == r.max()
    assert r[chosen["90th percentile voxel"]] == pytest.approx(np.percentile(tuned, 90), abs=0.006)
    assert r[chosen["Median tuned voxel"]] == pytest.approx(np.median(tuned), abs=0.006)
    assert r[chosen["Median untuned voxel"]] == pytest.approx(np.median(rest), abs=0.006)


def test_without_q_the_upper_half_counts_as_tuned() -> None:
    chosen = dict(choose_voxels(maps_of([0.0, 0.1, 0.2, 0.3, 0.4])))
    assert chosen["Median tuned voxel"] == 3


def test_each_region_gives_its_best_voxel() -> None:
    chosen = choose_voxels(maps_of([0.1, 0.7, np.nan, 0.3], names=("a", "a", "b", "b")))
    assert chosen == [("a\nbest voxel", 1), ("b\nbest voxel", 3)]


def test_named_regions_are_called_by_their_names() -> None:
    chosen = choose_voxels(maps_of([0.1, 0.7, 0.3], names=("a", "b", "c")))
    assert chosen[0] == ("b\nbest region", 1)


def test_a_constant_person_gives_nothing() -> None:
    assert choose_voxels(maps_of([np.nan, np.nan])) == []


def test_the_typical_person_has_the_middle_score() -> None:
    people = [maps_of([x, x]) for x in (0.9, np.nan, 0.1, 0.5)]
    assert typical_person(people) is people[3]
    assert typical_person(people[1:2]) is people[1]


def test_the_exact_ceiling_goes_before_the_others() -> None:
    values = {"inter_subject": np.ones(1), "exact": np.zeros(1)}
    found = first_ceiling(maps_of([0.1], ceilings=values))
    assert found is not None
    assert found[0] == "exact"
    assert first_ceiling(maps_of([0.1])) is None


def test_the_mean_of_a_group_is_no_further_person() -> None:
    one, other = (maps_of([x], ceilings={"inter_subject": np.ones(1)}) for x in (0.1, 0.2))
    group = maps_of([0.9])
    assert alike([group, one, other]) == (one, other)
    assert alike([group, group]) == (group, group)
    assert alike([one, maps_of([0.1], names=("a",), ceilings=one.ceilings)]) == (one,)


def test_courses_are_in_units_of_the_measured_series(ridge_run: Path) -> None:
    run = read_run(ridge_run)
    chosen = choose_courses(run)
    assert chosen is not None
    person = typical_person(run.maps)
    assert chosen.subject == person.subject
    arrays = np.load(ridge_run / "predictions" / f"film_{person.subject}.npz")
    columns = [column for _, column in choose_voxels(person)]
    for course, column in zip(chosen.courses, columns, strict=True):
        measured, predicted = (
            arrays[key][:, column].astype(float) for key in ("measured", "predicted")
        )
        np.testing.assert_allclose(
            course.measured, (measured - measured.mean()) / measured.std(), rtol=1e-6
        )
        np.testing.assert_allclose(
            course.predicted, (predicted - predicted.mean()) / measured.std(), rtol=1e-6
        )
        assert course.r == pytest.approx(np.corrcoef(measured, predicted)[0, 1], abs=1e-5)


def test_only_the_first_segment_is_shown(ridge_run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(ridge_run, tmp_path / "run")
    for path in (copied / "predictions").glob("film_*.npz"):
        arrays = dict(np.load(path))
        arrays["segment"][40:] = 1
        arrays["film_time_s"][40:] -= arrays["film_time_s"][40]
        np.savez(path, **arrays)
    chosen = choose_courses(read_run(copied))
    assert chosen is not None
    np.testing.assert_allclose(chosen.time_s, np.arange(40) * 1.5)
    assert chosen.span_s == (0.0, 60.0)


def test_frames_of_the_strip_are_those_on_screen(ridge_run: Path, film: Path) -> None:
    chosen = choose_courses(read_run(ridge_run))
    assert chosen is not None
    assert chosen.film == film
    strip = strip_frames(chosen, width_px=400)
    assert len(strip.times_s) == 4
    np.testing.assert_allclose(strip.times_s, (np.arange(4) + 0.5) * 144 / 4)
    expected = read_frames(film, list(strip.times_s))
    for picture, frame in zip(strip.pictures, expected, strict=True):
        np.testing.assert_array_equal(picture, np.moveaxis(frame, 0, -1))


def test_without_the_film_there_is_no_strip(ridge_run: Path, tmp_path: Path) -> None:
    chosen = choose_courses(read_run(ridge_run))
    assert chosen is not None
    with_strip = courses_figure(chosen, strip_frames(chosen, width_px=300))
    for film in (None, tmp_path / "gone.mp4"):
        without = dataclasses.replace(chosen, film=film)
        strip = strip_frames(without)
        assert strip.times_s == ()
        bare = courses_figure(without, strip)
        assert len(bare.axes) == len(with_strip.axes) - 1 == len(chosen.courses)


def test_strip_and_courses_share_one_clock(ridge_run: Path) -> None:
    chosen = choose_courses(read_run(ridge_run))
    assert chosen is not None
    strip = strip_frames(chosen, width_px=300)
    figure = courses_figure(chosen, strip)
    frames, *rows = figure.axes
    assert {axes.get_xlim() for axes in figure.axes} == {chosen.span_s}
    boxes = [axes.get_position() for axes in figure.axes]
    assert {round(box.x0, 9) for box in boxes} == {round(boxes[0].x0, 9)}
    assert {round(box.x1, 9) for box in boxes} == {round(boxes[0].x1, 9)}
    middles = [sum(image.get_extent()[:2]) / 2 for image in frames.images]
    np.testing.assert_allclose(middles, strip.times_s)
    for axes, course in zip(rows, chosen.courses, strict=True):
        measured, predicted = axes.lines[1:3]
        np.testing.assert_allclose(measured.get_xdata(), chosen.time_s + chosen.tr_s / 2)
        np.testing.assert_allclose(measured.get_ydata(), course.measured)
        np.testing.assert_allclose(predicted.get_ydata(), course.predicted)


def test_the_clock_reads_minutes_and_seconds() -> None:
    assert [clock(x) for x in (0, 59.6, 125, -4)] == ["0:00", "1:00", "2:05", "−0:04"]


def test_a_predicted_deviation_is_shaded(ridge_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(ridge_run, tmp_path / "run")
    for file in (run / "predictions").glob("film_sub-*.npz"):
        with np.load(file) as kept:
            arrays = dict(kept)
        spread = np.full_like(arrays["measured"], 0.5)
        np.savez(file, **arrays, spread=spread)
    courses = choose_courses(read_run(run))
    plain = choose_courses(read_run(ridge_run))
    assert courses is not None
    assert plain is not None
    assert plain.courses[0].spread is None
    first = courses.courses[0]
    assert first.spread is not None
    scale = 0.5 / first.spread
    assert np.allclose(scale, scale[0])
    axes = [axes for axes in courses_figure(courses, strip_frames(courses)).axes if axes.lines]
    assert all(len(one.collections) == 1 for one in axes)
    assert make_blocks(read_run(run), "r1", 1.0).courses_caption.count("90\u00a0%") == 1
