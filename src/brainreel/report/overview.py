"""One wide picture of what a study gave: film, time courses, brain map, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.metrics.correlation import median_of
from brainreel.report.brainmap import draw_glass_brain
from brainreel.report.courses import (
    STRIP_PX,
    choose_courses,
    draw_course,
    draw_strip,
    strip_frames,
)
from brainreel.report.gallery import pooled_pictures
from brainreel.report.mapviews import MeanMaps, mean_maps
from brainreel.report.runs import RunRecord, read_run
from brainreel.report.style import (
    INK,
    MEASURED,
    MUTED,
    PAPER,
    PREDICTED,
    canvas,
    drawing,
    note,
    place,
    ramp,
)

_WIDTH, _HEIGHT, _MARGIN = 1480.0, 540.0, 40.0
_LEFT_WIDTH = 880.0
_N_COURSES, _N_PAIRS = 2, 9
_SUFFIXES = (".png", ".svg", ".pdf")


def figure_overview(runs: Sequence[Path], out: Path) -> Path:
    """Draw film strip, measured and predicted courses, share of the ceiling, and pictures.

    Parameters
    ----------
    runs
        Evaluated run folders. The encoding run with the highest median r gives courses and map,
        the first with pictures gives the reconstructions; what no run has is left out.
    out
        Ends in `.png` (drawn for sharp screens), `.svg` or `.pdf`.

    Raises
    ------
    DataError
        If no run has predictions, or `out` is no picture.
    """
    out = Path(out)
    if out.suffix not in _SUFFIXES:
        raise DataError(f"{out}: not a picture. End its name in {', '.join(_SUFFIXES)}.")
    records = [read_run(Path(folder)) for folder in runs]
    encoding = max(
        (record for record in records if record.maps and record.of_kind("bold")),
        key=lambda record: median_of(np.concatenate([maps.r for maps in record.maps])).value,
        default=None,
    )
    decoding = next((record for record in records if record.of_kind("pictures")), None)
    if encoding is None and decoding is None:
        raise DataError("No run has predictions to draw. Run `brainreel evaluate` first.")
    with drawing():
        figure = canvas(_WIDTH, _HEIGHT if decoding is not None else 400.0)
        if encoding is not None:
            _draw_courses(figure, encoding)
            _draw_map(figure, encoding)
        if decoding is not None:
            _draw_pictures(figure, decoding)
        with write_aside(out) as aside:
            figure.savefig(aside, dpi=144, facecolor=PAPER)
    return out


def _draw_courses(figure: Figure, run: RunRecord) -> None:
    courses = choose_courses(run)
    if courses is None:
        return
    _head(figure, _MARGIN, "What was watched, and what the brain did")
    for offset, text, colour, width in (
        (0, "measured", MEASURED, 1.6),
        (112, "predicted, film never seen", PREDICTED, 2.6),
    ):
        x, y = _MARGIN + 540 + offset, 1 - 34 / _height(figure)
        ends = (x / _WIDTH, (x + 22) / _WIDTH)
        figure.add_artist(Line2D(ends, (y, y), color=colour, linewidth=width))
        note(figure, x + 29, 34, text, INK)
    strip = strip_frames(courses, width_px=_LEFT_WIDTH)
    if strip.times_s:
        axes = place(figure, _MARGIN, 58, _LEFT_WIDTH, STRIP_PX)
        draw_strip(axes, courses, strip, _LEFT_WIDTH / STRIP_PX)
    typical = [c for c in courses.courses[1:] if c.label.startswith("Median tuned")]
    rows = [courses.courses[0], *typical, *courses.courses[1:]][:_N_COURSES]
    for i, course in enumerate(rows):
        last = i == len(rows) - 1
        axes = place(figure, _MARGIN, 134 + i * 106, _LEFT_WIDTH, 96)
        draw_course(axes, courses, course, last=last)
        axes.set_yticks([])
        told = f"{course.label.splitlines()[0]}, r = {course.r:.2f}".replace("-", "−")
        axes.text(
            0.995,
            0.99,
            told,
            transform=axes.transAxes,
            ha="right",
            va="top",
            color=MUTED,
            bbox={"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 2},
        )


def _draw_map(figure: Figure, run: RunRecord) -> None:
    mean = mean_maps(run.maps)
    if mean is None:
        return
    left = _MARGIN + _LEFT_WIDTH + 70
    width = _WIDTH - _MARGIN - left
    values, title, vmax, end = _what(mean)
    _head(figure, left, title)
    height = _height(figure)
    for i, views in enumerate(("lr", "yz")):
        box = (left / _WIDTH, 1 - (58 + (i + 1) * 148) / height, width / _WIDTH, 142 / height)
        draw_glass_brain(figure, box, values, mean.mask, views, vmax=vmax)
    key = place(figure, left + width - 210, 28, 130, 11)
    key.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=ramp())
    key.axis("off")
    note(figure, left + width - 226, 34, "0", MUTED)
    note(figure, left + width - 72, 34, end, MUTED)


def _what(mean: MeanMaps) -> tuple[np.ndarray, str, float, str]:
    if mean.share is not None:
        return mean.share, "Share of the noise ceiling", 1.0, "100 %"
    high = float(np.nanpercentile(mean.r, 99))
    return mean.r, "Correlation r", high, f"{high:.2f}"


def _draw_pictures(figure: Figure, run: RunRecord) -> None:
    true, predicted = pooled_pictures(run)
    top = _height(figure) - 126.0
    _head(figure, _MARGIN, "Pictures seen (left) and read back from the brain (right)", top)
    side, gap = 68.0, 3.0
    step = (_WIDTH - 2 * _MARGIN + 22) / _N_PAIRS
    chosen = np.unique(np.linspace(0, len(true) - 1, _N_PAIRS).round().astype(int))
    for i, at in enumerate(chosen):
        for j, picture in enumerate((true[at], predicted[at])):
            shown = np.clip(np.moveaxis(picture, 0, -1), 0, 1)
            axes = place(
                figure, _MARGIN + i * step + j * (side + gap), top + 28, side - 4, side - 4
            )
            axes.imshow(
                shown if shown.shape[2] == 3 else shown[..., 0],
                cmap="gray",
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
            axes.axis("off")


def _head(figure: Figure, left: float, text: str, top: float = 34.0) -> None:
    height = _height(figure)
    figure.text(
        left / _WIDTH, 1 - top / height, text, color=INK, fontsize=15, weight="bold", va="center"
    )


def _height(figure: Figure) -> float:
    return float(figure.get_size_inches()[1] * 72)
