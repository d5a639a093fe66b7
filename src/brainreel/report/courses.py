"""Predicted and measured time courses of chosen voxels, over a strip of film on the same clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from brainreel.metrics.correlation import median_of
from brainreel.report.runs import Maps, RunRecord
from brainreel.report.style import (
    INK,
    MEASURED,
    MUTED,
    PREDICTED,
    RULE,
    canvas,
    drawing,
    note,
    place,
)
from brainreel.report.words import CEILING_ORDER
from brainreel.stimulus.film import probe_film
from brainreel.stimulus.frames import read_frames

MAX_WINDOW_S = 240.0  # longer, and a TR is less than two pixels wide
MAX_REGIONS = 5  # rows that still fit one screen
TUNED_Q = 0.05  # a voxel counts as predicted below this false discovery rate
_WIDTH, _LEFT, _RIGHT = 1040.0, 196.0, 8.0
_ROW, _HEAD, _FOOT, _GAP = 84.0, 26.0, 44.0, 10.0
STRIP_PX = 60.0
COVERED = 1.645  # deviations to either side that hold 90 % of a Gaussian
_REACH = (2.5, 5.0)  # standard deviations that a row shows at least and at most


@dataclass(frozen=True, eq=False)
class Course:
    """One voxel's predicted and measured series, (T,) each, and what to call it.

    `spread` is the predicted standard deviation, (T,), where there is one.
    """

    label: str
    r: float
    ceiling: float | None
    predicted: NDArray[np.float64]
    measured: NDArray[np.float64]
    spread: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class CourseSet:
    """Chosen voxels of one person on one clock.

    Attributes
    ----------
    time_s
        (T,) film time at the onset of each TR, in seconds.
    tr_s
        Repetition time in seconds.
    film
        The film that was on, or None.
    """

    subject: str
    split: str
    time_s: NDArray[np.float64]
    tr_s: float
    film: Path | None
    courses: tuple[Course, ...]

    @property
    def span_s(self) -> tuple[float, float]:
        """Film time at the onset of the first TR and at the end of the last."""
        return float(self.time_s[0]), float(self.time_s[-1]) + self.tr_s

    @property
    def reach(self) -> float:
        """Standard deviations from the middle to the edge of a row, one scale for all rows."""
        highest = max(float(np.nanmax(np.abs(course.measured))) for course in self.courses)
        return float(np.clip(1.05 * highest, *_REACH))


@dataclass(frozen=True, eq=False)
class Strip:
    """Film frames, (H, W, C) uint8 each, and the film times they are from."""

    times_s: tuple[float, ...]
    pictures: tuple[NDArray[np.uint8], ...]


def typical_person(maps: Sequence[Maps]) -> Maps:
    """Return the maps of the person whose median r is the middle one, of the first split."""
    first = [item for item in maps if item.split == maps[0].split]
    defined = [item for item in first if np.isfinite(item.r).any()]
    ranked = sorted(defined, key=lambda item: median_of(item.r).value)
    return ranked[(len(ranked) - 1) // 2] if ranked else first[0]


def choose_voxels(maps: Maps) -> list[tuple[str, int]]:
    """Choose columns to show, each with a label, by a rule that does not look at the courses.

    With regions: the best voxel and the best of each region, as many as fit. Without: the best,
    the 90th percentile and the median of the tuned (q < 0.05; without q, the upper half of r), and
    the median of the rest, so that a failure is shown beside the successes.
    """
    r = np.where(np.isfinite(maps.r), maps.r, -np.inf)
    if not np.isfinite(r).any():
        return []
    kind = "region" if maps.regional else "voxel"
    if maps.names and not maps.regional:
        return _best_of_regions(r, maps.names)
    used = np.flatnonzero(np.isfinite(r))
    by_q = maps.q is not None and bool(np.any(maps.q[used] < TUNED_Q))
    tuned_here = (
        maps.q[used] < TUNED_Q if by_q and maps.q is not None else (r[used] >= np.median(r[used]))
    )
    tuned, rest = used[tuned_here], used[~tuned_here]
    chosen = [
        (f"Best {kind}", int(tuned[np.argmax(r[tuned])])),
        (f"90th percentile {kind}", _nearest(r, tuned, 90)),
        (f"Median tuned {kind}", _nearest(r, tuned, 50)),
    ]
    if rest.size:
        chosen.append((f"Median untuned {kind}", _nearest(r, rest, 50)))
    if maps.regional:
        chosen = [(f"{maps.names[column]}\n{label.lower()}", column) for label, column in chosen]
    return list({column: (label, column) for label, column in reversed(chosen)}.values())[::-1]


def choose_courses(run: RunRecord) -> CourseSet | None:
    """Cut the chosen voxels of a typical person out of the first test segment of a run.

    Series are given in units of the measured series' standard deviation over the window; the
    prediction is centred and not rescaled, so that one that is too small looks too small.
    """
    if not run.maps:
        return None
    maps = typical_person(run.maps)
    chosen = choose_voxels(maps)
    source = run.bold_of(maps)
    if source is None or not chosen:
        return None
    arrays = source.load()
    n_trs = len(arrays["measured"])
    segment = arrays.get("segment", np.zeros(n_trs))
    inside = segment == segment[0]
    time_s = arrays.get("film_time_s", np.arange(n_trs, dtype=np.float64))[inside]
    tr_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0
    window = time_s < time_s[0] + MAX_WINDOW_S
    ceiling = first_ceiling(maps)
    courses = tuple(
        _course(label, column, maps, ceiling, arrays, np.flatnonzero(inside)[window])
        for label, column in chosen
    )
    films = arrays.get("films", ())
    named = Path(str(films[int(segment[0])])) if len(films) else source.film
    film = run.find(named) if named is not None and named.name else None
    return CourseSet(maps.subject, maps.split, time_s[window], tr_s, film, courses)


def alike(maps: Sequence[Maps]) -> tuple[Maps, ...]:
    """Return those with the first one's names and, where anybody has a ceiling, with that.

    The mean of a group has no ceiling; it is no further person.
    """
    ceilings = [found[0] for found in map(first_ceiling, maps) if found is not None]
    kept = [item for item in maps if not ceilings or ceilings[0] in item.ceilings]
    return tuple(item for item in kept if item.names == kept[0].names)


def first_ceiling(maps: Maps) -> tuple[str, NDArray[np.float64]] | None:
    """Return the estimator that says most, in the order exact, repeats, halves, other people."""
    known = [name for name in CEILING_ORDER if name in maps.ceilings]
    name = next(iter([*known, *maps.ceilings]), None)
    return None if name is None else (name, maps.ceilings[name])


def strip_frames(courses: CourseSet, *, width_px: float = _WIDTH - _LEFT - _RIGHT) -> Strip:
    """Read as many frames as stand side by side over the window; empty without a film to read."""
    if courses.film is None or not courses.film.is_file():
        return Strip((), ())
    info = probe_film(courses.film)
    if not info.has_pictures:
        return Strip((), ())
    start, stop = courses.span_s
    aspect = info.width / info.height
    n_frames = max(int(width_px / (STRIP_PX * aspect + 3)), 2)
    times = (np.arange(n_frames) + 0.5) * (stop - start) / n_frames + start
    times = times[(times >= 0) & (times < float(info.duration_s))]
    # Twice the size on the page, for sharp screens.
    size = (int(2 * STRIP_PX), round(2 * STRIP_PX * aspect))
    if info.height < size[0]:
        size = (info.height, info.width)
    frames = read_frames(courses.film, times.tolist(), size)
    return Strip(tuple(times.tolist()), tuple(np.moveaxis(frames, 1, -1)))


def courses_figure(courses: CourseSet, strip: Strip) -> Figure:
    """Draw one row a voxel under the film strip, all on the film's clock."""
    strip_height = STRIP_PX + _GAP if strip.times_s else 0.0
    n_rows = len(courses.courses)
    height = _HEAD + strip_height + n_rows * (_ROW + _GAP) + _FOOT
    width = _WIDTH - _LEFT - _RIGHT
    with drawing():
        figure = canvas(_WIDTH, height)
        if strip.times_s:
            axes = place(figure, _LEFT, _HEAD, width, STRIP_PX)
            draw_strip(axes, courses, strip, width / STRIP_PX)
        top = _HEAD + strip_height
        for i, course in enumerate(courses.courses):
            axes = place(figure, _LEFT, top + i * (_ROW + _GAP), width, _ROW)
            draw_course(axes, courses, course, last=i == n_rows - 1)
            _label_row(axes, course)
        _legend(figure, height)
    return figure


def draw_strip(axes: Axes, courses: CourseSet, strip: Strip, axes_aspect: float) -> None:
    """Draw frames centred at their film times; `axes_aspect` is the box's width over height."""
    start, stop = courses.span_s
    for time, picture in zip(strip.times_s, strip.pictures, strict=True):
        share = picture.shape[1] / picture.shape[0] / axes_aspect
        half = share * (stop - start) / 2
        axes.imshow(
            picture, extent=(time - half, time + half, 0, 1), aspect="auto", interpolation="none"
        )
    axes.set(xlim=(start, stop), ylim=(0, 1))
    axes.axis("off")


def draw_course(axes: Axes, courses: CourseSet, course: Course, *, last: bool) -> None:
    """Draw measured (grey) and predicted (blue) series; the last row carries the clock."""
    time = courses.time_s + courses.tr_s / 2
    axes.axhline(0, color=RULE, linewidth=1, zorder=0)
    axes.plot(time, course.measured, color=MEASURED, linewidth=1.4)
    axes.plot(time, course.predicted, color=PREDICTED, linewidth=2)
    if course.spread is not None:
        low, high = (course.predicted + sign * COVERED * course.spread for sign in (-1, 1))
        axes.fill_between(time, low, high, color=PREDICTED, alpha=0.14, linewidth=0)
    start, stop = courses.span_s
    axes.set(xlim=(start, stop), ylim=(-courses.reach, courses.reach))
    axes.set_yticks([-2, 2], ["−2 SD", "2 SD"] if last else ["", ""])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(last)
    axes.tick_params(left=False, bottom=last, labelbottom=last, pad=4)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 1.5, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at)))
    if last:
        axes.set_xlabel("time (min:s)" if courses.film is None else "film time (min:s)")


def clock(seconds: float) -> str:
    """Write seconds as minutes:seconds."""
    sign = "−" if round(seconds) < 0 else ""
    minutes, rest = divmod(abs(round(seconds)), 60)
    return f"{sign}{minutes}:{rest:02d}"


def _label_row(axes: Axes, course: Course) -> None:
    lines = course.label.split("\n")
    told = f"r = {course.r:.2f}"
    if course.ceiling is not None and np.isfinite(course.ceiling):
        told += f", ceiling {course.ceiling:.2f}"
    told = told.replace("-", "−")
    for i, (text, colour) in enumerate([(line, INK) for line in lines] + [(told, MUTED)]):
        axes.annotate(
            text,
            (0, 1),
            xycoords="axes fraction",
            xytext=(-_LEFT, -18 - 17 * i),
            textcoords="offset points",
            color=colour,
            fontsize=12.5 if i == 0 else 11.5,
            fontweight="bold" if i == 0 else "normal",
        )


def _legend(figure: Figure, height: float) -> None:
    """Name the two lines above the rows, each in its own colour."""
    entries = ((0, "measured", MEASURED, MUTED, 1.4), (104, "predicted", PREDICTED, INK, 2.4))
    for offset, text, line, ink, width in entries:
        ends = ((_LEFT + offset) / _WIDTH, (_LEFT + offset + 20) / _WIDTH)
        y = 1 - 11 / height
        figure.add_artist(Line2D(ends, (y, y), color=line, linewidth=width))
        note(figure, _LEFT + offset + 27, 11, text, ink)


def _best_of_regions(r: NDArray[np.float64], names: Sequence[str]) -> list[tuple[str, int]]:
    best: dict[str, int] = {}
    for column in np.argsort(-r):
        if np.isfinite(r[column]):
            best.setdefault(names[column], int(column))
    chosen = list(best.items())[:MAX_REGIONS]
    return [(f"{name}\nbest voxel", column) for name, column in chosen]


def _nearest(r: NDArray[np.float64], columns: NDArray[np.intp], percent: float) -> int:
    target = np.percentile(r[columns], percent)
    return int(columns[np.argmin(np.abs(r[columns] - target))])


def _course(
    label: str,
    column: int,
    maps: Maps,
    ceiling: tuple[str, NDArray[np.float64]] | None,
    arrays: dict[str, NDArray[np.float64]],
    rows: NDArray[np.intp],
) -> Course:
    measured = arrays["measured"][rows, column].astype(np.float64)
    predicted = arrays["predicted"][rows, column].astype(np.float64)
    scale = float(np.std(measured)) or 1.0
    return Course(
        label,
        float(maps.r[column]),
        None if ceiling is None else float(ceiling[1][column]),
        (predicted - predicted.mean()) / scale,
        (measured - measured.mean()) / scale,
        arrays["spread"][rows, column] / scale if "spread" in arrays else None,
    )
