"""People with labels: everybody who was tested, ROC curves or a scatter plot, confusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainreel.metrics.classes import confusion
from brainreel.metrics.labels import auroc, roc_curve
from brainreel.report.classes import MAX_CONFUSED, ClassTable, confusion_figure
from brainreel.report.runs import RunRecord, read_arrays
from brainreel.report.style import (
    INK,
    LINES,
    PREDICTED,
    RULE,
    Drawing,
    canvas,
    drawing,
    note,
    place,
)
from brainreel.report.words import number

_WANTED = ("people", "classes", "label", "scores", "targets", "n_windows")
_SIDE = 300.0


@dataclass(frozen=True)
class Person:
    """A line of the table: who, what is true, what was told, how sure, from how many windows."""

    who: str
    true: str
    told: str
    chance: str
    n_windows: str
    right: bool


@dataclass(frozen=True)
class PeopleFigures:
    """What the page shows of the people of a test."""

    label: str
    people: tuple[Person, ...]
    curve: Drawing
    caption: str
    confusion: Drawing | None = None


@dataclass(frozen=True, eq=False)
class Told:
    """Labels of the people of all folds of a split; see `LabelPrediction`."""

    label: str
    classes: tuple[str, ...]
    people: tuple[str, ...]
    scores: NDArray[np.float64]
    targets: NDArray[np.float64]
    n_windows: NDArray[np.int64]

    @property
    def true(self) -> NDArray[np.int64]:
        """Numbers of the true classes."""
        return self.targets.astype(np.int64)


def make_people_figures(run: RunRecord, prefix: str) -> PeopleFigures | None:
    """Draw the people of the run's first split; nothing for other kinds of runs."""
    told = read_told(run)
    if told is None:
        return None
    figure, caption = (roc_figure if told.classes else scatter_figure)(told)
    matrix = None
    if told.classes and len(told.classes) <= MAX_CONFUSED:
        drawn = confusion_figure(_as_table(told))
        matrix = Drawing.of(drawn, alt=f"Confusions of {told.label}.", prefix=f"{prefix}q")
    return PeopleFigures(
        told.label,
        tuple(_person(told, i) for i in np.argsort(told.people)),
        Drawing.of(figure, alt=caption, prefix=f"{prefix}p"),
        caption,
        matrix,
    )


def read_told(run: RunRecord) -> Told | None:
    """Return what was told in the first split, its folds joined."""
    found = run.of_kind("labels")
    folds = [read_arrays(f.file, _WANTED) for f in found if f.split == found[0].split]
    if not folds:
        return None

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([fold[name] for fold in folds])

    return Told(
        str(folds[0]["label"]),
        tuple(str(name) for name in folds[0]["classes"]),
        tuple(str(who) for who in joined("people")),
        joined("scores"),
        joined("targets"),
        joined("n_windows"),
    )


def roc_figure(told: Told) -> tuple[Figure, str]:
    """Draw the share of a class that is found over the share of the others taken for it."""
    wanted = range(len(told.classes)) if len(told.classes) > 2 else [1]
    areas = {k: auroc(told.scores[:, k], told.true == k) for k in wanted}
    drawn = {k: area for k, area in areas.items() if not np.isnan(area)}
    with drawing():
        figure = canvas(_SIDE + 84, _SIDE + 70)
        axes = place(figure, 60, 20, _SIDE, _SIDE)
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1, linestyle=(0, (3, 3)))
        for place_of, (k, area) in enumerate(drawn.items()):
            colour = LINES[place_of] if len(drawn) <= len(LINES) else PREDICTED
            axes.plot(*roc_curve(told.scores[:, k], told.true == k), color=colour)
            if len(drawn) <= len(LINES):
                text = f"{told.classes[k]} {number(area)}"
                top = _SIDE - 18 * (len(drawn) - place_of)
                note(figure, 60 + _SIDE * 0.5, top, text, colour, bold=True)
        axes.set(xlim=(0, 1), ylim=(0, 1.01), ylabel="found, of the class")
        axes.set_xlabel("taken for it, of the others")
    areas_told = ", ".join(f"{told.classes[k]} {number(area)}" for k, area in drawn.items())
    caption = f"AUROC: {areas_told or 'not defined, for all are of one class'}."
    return figure, f"{len(told.people)} people. {caption} Broken line: a guess."


def scatter_figure(told: Told) -> tuple[Figure, str]:
    """Draw what was told of each person over what is true."""
    true, found = told.targets, told.scores[:, 0]
    ends = [float(min(true.min(), found.min())), float(max(true.max(), found.max()))]
    margin = 0.05 * (ends[1] - ends[0]) or 1.0
    limits = (ends[0] - margin, ends[1] + margin)
    with drawing():
        figure = canvas(_SIDE + 84, _SIDE + 70)
        axes = place(figure, 60, 20, _SIDE, _SIDE)
        axes.plot(limits, limits, color=RULE, linewidth=1, linestyle=(0, (3, 3)))
        axes.scatter(true, found, s=22, color=PREDICTED, alpha=0.75, linewidths=0)
        axes.set(xlim=limits, ylim=limits, xlabel=f"true {told.label}", ylabel="told")
        note(figure, 60, 10, f"{told.label} of {len(true)} people", INK)
    return figure, f"{told.label} of {len(true)} people. Broken line: told right."


def _person(told: Told, i: int) -> Person:
    who, windows = told.people[i], str(told.n_windows[i])
    if not told.classes:
        off = told.scores[i, 0] - told.targets[i]
        values = (f"{told.targets[i]:g}", f"{told.scores[i, 0]:.4g}")
        return Person(who, *values, number(float(abs(off))), windows, True)
    answer = int(told.scores[i].argmax())
    true, name = told.classes[told.true[i]], told.classes[answer]
    chance = number(float(told.scores[i, answer]))
    return Person(who, true, name, chance, windows, answer == told.true[i])


def _as_table(told: Told) -> ClassTable:
    """Return the confusions in the form in which those of a classifier are drawn."""
    n = len(told.classes)
    unknown = np.full(n, np.nan)
    counts = confusion(told.scores.argmax(axis=1), told.true, n)
    return ClassTable(told.label, told.classes, counts.sum(axis=1), unknown, unknown, counts)
