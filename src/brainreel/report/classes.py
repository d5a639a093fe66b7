"""Figures of a classifier: which classes are taken for which, and how well each is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from brainreel.report.runs import RunRecord, read_arrays
from brainreel.report.style import (
    INK,
    MUTED,
    PAPER,
    PREDICTED,
    RULE,
    Drawing,
    canvas,
    drawing,
    note,
    place,
)
from brainreel.report.words import number

Values = NDArray[np.float64]

MAX_CONFUSED = 40  # classes whose names can still be read along both sides
MAX_BARS = 30
N_ENDS = 12  # of more classes, so many of the best and of the worst are drawn
_LONGEST = 28


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one label."""

    title: str
    bars: Drawing
    bars_caption: str
    confusion: Drawing | None = None
    confusion_caption: str = ""


@dataclass(frozen=True, eq=False)
class ClassTable:
    """Numbers of the classes of one label, as the evaluation wrote them.

    Attributes
    ----------
    label
        The label.
    names
        Names of its classes.
    n_items, precision, accuracy
        (K,) test items, average precision and share named right; NaN where not defined.
    confusion
        (K, K) counts, row the true class; None where an item may have several classes.
    """

    label: str
    names: tuple[str, ...]
    n_items: NDArray[np.int64]
    precision: Values
    accuracy: Values
    confusion: NDArray[np.int64] | None


def make_class_figures(run: RunRecord, prefix: str) -> tuple[ClassFigures, ...]:
    """Draw each label of the run's first split; ids in the drawings begin with `prefix`."""
    tables = read_class_tables(run)
    return tuple(
        _figures(table, f"{prefix}k{i}", alone=len(tables) == 1) for i, table in enumerate(tables)
    )


def read_class_tables(run: RunRecord) -> list[ClassTable]:
    """Return the numbers of each label of the first split; none for other kinds of runs."""
    paths = [item.classes for item in run.of_kind("classes") if item.classes is not None]
    if not paths:
        return []
    wanted = ("label", "name", "n_items", "average_precision", "accuracy")
    arrays = read_arrays(paths[0], wanted)
    tables = []
    for label in dict.fromkeys(str(name) for name in arrays["label"]):
        own = arrays["label"] == label
        tables.append(
            ClassTable(
                label,
                tuple(str(name) for name in arrays["name"][own]),
                arrays["n_items"][own],
                arrays["average_precision"][own].astype(np.float64),
                arrays["accuracy"][own].astype(np.float64),
                arrays.get(f"confusion_{label}"),
            )
        )
    return tables


def confusion_figure(table: ClassTable) -> Figure:
    """Draw the share of each true class (row) that was given each answer (column)."""
    assert table.confusion is not None
    n = len(table.names)
    side = float(np.clip(420 / n, 13, 44))
    left, top, right = _room(table.names), 44.0, 24.0
    foot = _room(table.names) * 0.75 + 16
    counts = table.confusion.astype(np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with drawing():
        figure = canvas(left + n * side + right, top + n * side + foot)
        axes = place(figure, left, top, n * side, n * side)
        rows, columns = np.nonzero(shares)
        cells = [Rectangle((c - 0.5, r - 0.5), 1, 1) for r, c in zip(rows, columns, strict=True)]
        # Opacity carries the share, so that one drawing serves light and dark pages.
        colours = [(*_rgb(PREDICTED), 0.08 + 0.92 * share) for share in shares[rows, columns]]
        axes.add_collection(PatchCollection(cells, facecolors=colours, linewidths=0))
        if n <= 12:
            for r, c in zip(rows, columns, strict=True):
                style: dict[str, Any] = {
                    "color": PAPER if shares[r, c] > 0.55 else INK,
                    "ha": "center",
                }
                axes.text(float(c), float(r), f"{counts[r, c]:.0f}", va="center", **style)
        axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="answer")
        size = float(np.clip(side * 0.75, 8, 11))
        names = [_short(name) for name in table.names]
        axes.set_yticks(range(n), names, color=INK, fontsize=size)
        axes.set_xticks(range(n), names, color=INK, fontsize=size, rotation=90)
        axes.tick_params(left=False, bottom=False)
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_color(RULE)
        note(figure, left, 14, "true class in rows, share of its items in colour", MUTED)
    return figure


def bars_figure(table: ClassTable) -> Figure:
    """Draw the average precision of each class, or of the best and the worst of many."""
    order = _ranked(table.precision)
    cut = len(order) > MAX_BARS
    shown = np.concatenate([order[:N_ENDS], order[-N_ENDS:]]) if cut else order
    at = np.arange(len(shown), dtype=np.float64)
    if cut:
        at[N_ENDS:] += 1
    row, left, top, foot = 22.0, _room(table.names) + 8, 30.0, 44.0
    width, height = left + 470.0, top + (at[-1] + 1) * row + foot
    with drawing():
        figure = canvas(width, height)
        axes = place(figure, left, top, width - left - 24, (at[-1] + 1) * row)
        axes.barh(at, table.precision[shown], height=0.62, color=PREDICTED, alpha=0.7)
        right = np.isfinite(table.accuracy[shown])
        if right.any():
            axes.scatter(table.accuracy[shown][right], at[right], s=18, color=INK, zorder=3)
            note(figure, left + 128, 12, "share named right", INK)
        note(figure, left, 12, "average precision", PREDICTED, bold=True)
        if cut:
            axes.text(0.02, N_ENDS, f"… {len(order) - 2 * N_ENDS} more …", va="center", color=MUTED)
        axes.set_yticks(at, [_short(table.names[i]) for i in shown], color=INK)
        axes.set(xlim=(0, 1.02), ylim=(at[-1] + 0.5, -0.5))
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def _figures(table: ClassTable, prefix: str, *, alone: bool) -> ClassFigures:
    told = _bars_caption(table)
    bars = Drawing.of(bars_figure(table), alt=told, prefix=f"{prefix}b", min_px=460)
    title = "" if alone else table.label
    if table.confusion is None or len(table.names) > MAX_CONFUSED:
        return ClassFigures(title, bars, told)
    confused = _confusion_caption(table)
    matrix = Drawing.of(
        confusion_figure(table), alt=f"Confusion matrix. {confused}", prefix=f"{prefix}c"
    )
    return ClassFigures(title, bars, told, matrix, confused)


def _bars_caption(table: ClassTable) -> str:
    tested = int((table.n_items > 0).sum())
    order = _ranked(table.precision)
    best = ", ".join(f"{table.names[i]} ({number(table.precision[i])})" for i in order[:3])
    worst = ", ".join(f"{table.names[i]} ({number(table.precision[i])})" for i in order[:-4:-1])
    told = f"{tested} of {len(table.names)} classes have test items."
    if len(order) > 3:
        told += f" Found best: {best}. Found worst: {worst}."
    if len(order) > MAX_BARS:
        told += f" Drawn are the {N_ENDS} best and the {N_ENDS} worst."
    return told


def _confusion_caption(table: ClassTable) -> str:
    assert table.confusion is not None
    wrong = table.confusion * (1 - np.eye(len(table.names), dtype=np.int64))
    if not wrong.any():
        return "No class was taken for another."
    places = np.argsort(-wrong, axis=None, kind="stable")[:3]
    pairs = [np.unravel_index(place, wrong.shape) for place in places]
    told = [
        f"{table.names[r]} for {table.names[c]} ({wrong[r, c]} of {table.n_items[r]})"
        for r, c in pairs
        if wrong[r, c]
    ]
    return f"Most often taken: {'; '.join(told)}."


def _ranked(precision: Values) -> NDArray[np.int64]:
    """Return the classes that have a score, from the best; equal ones in the data's order."""
    order = np.argsort(-precision, kind="stable")
    return order[: int(np.isfinite(precision).sum())]


def _room(names: tuple[str, ...]) -> float:
    """Pixels that the longest name takes."""
    return 14 + 6.6 * max(len(_short(name)) for name in names)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
