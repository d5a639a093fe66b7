"""Figures of one run: r against the ceiling, named regions, learning curves."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from brainreel.report.runs import Maps
from brainreel.report.style import (
    CEILING,
    INK,
    LINES,
    MUTED,
    PREDICTED,
    RULE,
    canvas,
    drawing,
    note,
    place,
)

Values = NDArray[np.float64]

MAX_BARS = 40  # more rows than this are drawn as one ranked curve
_PANEL = (440.0, 300.0)


def histogram_figure(
    r: Values, ceiling: Values | None, ceiling_name: str, unit: str = "voxels"
) -> Figure:
    """Draw how many voxels (or regions) reach which r; the ceiling's histogram is a line."""
    everything = np.concatenate([r, ceiling]) if ceiling is not None else r
    low, high = float(np.floor(everything.min() * 10) / 10), float(everything.max())
    n_bins = int(np.clip(2 * len(r) ** (1 / 3), 10, 40))
    bins = np.linspace(min(low, 0.0), max(np.ceil(high * 10) / 10, 0.1), n_bins + 1).tolist()
    most = int(np.histogram(r, bins)[0].max())
    with drawing():
        figure = canvas(*_PANEL)
        axes = place(figure, 60, 28, 372, 222)
        axes.hist(r, bins, histtype="stepfilled", color=PREDICTED, alpha=0.75, linewidth=0)
        note(figure, 60, 12, "r reached", PREDICTED, bold=True)
        if ceiling is not None:
            axes.hist(ceiling, bins, histtype="step", color=CEILING, linewidth=1.8)
            note(figure, 140, 12, f"ceiling ({ceiling_name})", CEILING)
            # Voxels tuned to nothing share one ceiling near 0; their spike would hide the rest.
            axes.set_ylim(0, min(axes.get_ylim()[1], 2.0 * most))
        axes.axvline(float(np.median(r)), color=INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.set(xlabel="correlation", xlim=(bins[0], bins[-1]))
        axes.set_ylabel(unit)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def ceiling_figure(r: Values, ceiling: Values, ceiling_name: str) -> Figure:
    """Draw r against the ceiling: single voxels where they are few, a density where many."""
    high = max(float(ceiling.max()), float(r.max()), 0.1) * 1.04
    low = min(float(r.min()), float(ceiling.min()), 0.0)
    with drawing():
        figure = canvas(*_PANEL)
        axes = place(figure, 52, 28, 380, 222)
        axes.plot((low, high), (low, high), color=CEILING, linewidth=1.4)
        axes.axhline(0, color=RULE, linewidth=1, zorder=0)
        if len(r) <= 400:
            axes.scatter(ceiling, r, s=16, color=PREDICTED, alpha=0.6, linewidth=0)
        else:
            extent = (min(0.0, float(ceiling.min())), high, low, high)
            cells = axes.hexbin(
                ceiling, r, gridsize=(44, 22), extent=extent, mincnt=1, linewidths=0
            )
            counts = np.asarray(cells.get_array(), dtype=np.float64)
            # Opacity carries the count, so that one drawing serves light and dark pages.
            alpha = 0.12 + 0.88 * np.log1p(counts) / np.log1p(counts.max())
            cells.set_array(None)
            cells.set_facecolor([(*_rgb(PREDICTED), level) for level in alpha])
        axes.set(xlim=(min(0.0, float(ceiling.min())), high), ylim=(low, high))
        axes.set(xlabel=f"ceiling ({ceiling_name})", ylabel="r reached")
        note(figure, 52, 12, "r = ceiling", CEILING)
    return figure


def regions_figure(maps: Sequence[Maps], ceiling_name: str | None) -> Figure:
    """Draw r of named regions: bars of the mean with a dot a person, or a ranked curve of many.

    Parameters
    ----------
    maps
        One a person, all with the same names, of one split.
    ceiling_name
        Estimator whose mean over people is drawn beside r, or None.
    """
    names = np.array(maps[0].names)
    people = np.stack([item.r for item in maps])
    mean = nan_mean(people)
    ceiling = (
        None
        if ceiling_name is None
        else nan_mean(np.stack([item.ceilings[ceiling_name] for item in maps]))
    )
    order = np.argsort(-mean)[: int(np.isfinite(mean).sum())]  # NaN sorts last
    ordered = None if ceiling is None else ceiling[order]
    with drawing():
        if len(order) <= MAX_BARS:
            return _bars(names[order], people[:, order], mean[order], ordered)
        return _ranked(names[order], people[:, order], mean[order], ordered)


def learning_figures(logs: pd.DataFrame) -> list[tuple[str, Figure]]:
    """Draw one panel a logged quantity, training and validation together, over steps.

    Columns are read as Lightning's CSV logger writes them: `train/loss`, `val_r`, with empty
    cells where a quantity was not logged at a step.
    """
    clock = "step" if "step" in logs else logs.columns[0]
    panels: dict[str, list[tuple[str, str]]] = {}
    for column in logs.columns:
        if column in ("step", "epoch", clock) or not pd.api.types.is_numeric_dtype(logs[column]):
            continue
        if column.endswith("_step") and f"{column.removesuffix('_step')}_epoch" in logs:
            continue
        stage, quantity = _stage(column)
        panels.setdefault(quantity, []).append((stage, column))
    figures = []
    for quantity, columns in panels.items():
        drawn = [(stage, logs[[clock, column]].dropna()) for stage, column in columns]
        drawn = [(stage, table) for stage, table in drawn if len(table) > 1]
        if drawn:
            figures.append((quantity, _learning_panel(quantity, drawn)))
    return figures


def nan_mean(stacked: Values) -> Values:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    finite = np.isfinite(stacked)
    count = finite.sum(axis=0)
    total = np.where(finite, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _bars(names: Values, people: Values, mean: Values, ceiling: Values | None) -> Figure:
    row, left, right, top, foot = 24.0, 190.0, 20.0, 26.0, 42.0
    n = len(names)
    width, height = 760.0, top + n * row + foot
    figure = canvas(width, height)
    axes = place(figure, left, top, width - left - right, n * row)
    at = np.arange(n)
    axes.barh(at, mean, height=0.62, color=PREDICTED, alpha=0.7)
    jitter = np.linspace(-0.2, 0.2, len(people)) if len(people) > 1 else [0.0]
    for person, offset in zip(people, jitter, strict=True):
        axes.scatter(person, at + offset, s=9, color=INK, alpha=0.55, linewidth=0, zorder=3)
    if ceiling is not None:
        axes.vlines(ceiling, at - 0.42, at + 0.42, color=CEILING, linewidth=2.2, zorder=4)
        note(figure, left + 134, 12, "ceiling", CEILING)
    note(figure, left, 12, "mean r", PREDICTED, bold=True)
    note(figure, left + 62, 12, "a person", MUTED)
    axes.axvline(0, color=RULE, linewidth=1)
    axes.set_yticks(at, [str(name) for name in names], color=INK)
    axes.set(ylim=(n - 0.5, -0.5), xlabel="correlation")
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def _ranked(names: Values, people: Values, mean: Values, ceiling: Values | None) -> Figure:
    width, height = 1040.0, 340.0
    figure = canvas(width, height)
    axes = place(figure, 52, 30, width - 62, 256)
    rank = np.arange(1, len(names) + 1)
    low, high = (
        (np.nanpercentile(people, q, axis=0) for q in (25, 75))
        if len(people) > 2
        else (
            mean,
            mean,
        )
    )
    axes.fill_between(rank, low, high, color=PREDICTED, alpha=0.22, linewidth=0)
    axes.plot(rank, mean, color=PREDICTED, linewidth=2)
    if ceiling is not None:
        axes.scatter(rank, ceiling, s=7, color=CEILING, alpha=0.7, linewidth=0)
        note(figure, 378, 12, "ceiling, mean over people", CEILING)
    figure.text(
        52 / width, 1 - 14 / height, "r, mean over people", color=PREDICTED, fontweight="bold"
    )
    figure.text(178 / width, 1 - 14 / height, "middle half of people", color=MUTED)
    axes.axhline(0, color=RULE, linewidth=1)
    axes.set(xlim=(0, len(names) + 1), xlabel="regions, from the best predicted", ylabel="r")
    return figure


def _learning_panel(quantity: str, drawn: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    width, height = 340.0, 250.0
    figure = canvas(width, height)
    with drawing():
        axes = place(figure, 50, 46, width - 60, height - 92)
        offset = 8.0
        note(figure, offset, 12, quantity, INK, bold=True)
        for i, (stage, table) in enumerate(drawn):
            colour = LINES[i % len(LINES)]
            axes.plot(table.iloc[:, 0], table.iloc[:, 1], color=colour, linewidth=1.8)
            if stage:
                note(figure, offset, 31, stage, colour)
                offset += 9 + 7 * len(stage)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", color=RULE, linewidth=0.6)
    return figure


def _stage(column: str) -> tuple[str, str]:
    """Split `val/loss` or `train_loss_epoch` into stage and quantity."""
    name = column.removesuffix("_epoch").removesuffix("_step")
    found = re.match(r"(train|training|val|valid|validation|test)[/_. ](.+)", name)
    if found is None:
        return "", name.replace("_", " ")
    stage = {"tra": "training", "val": "validation", "tes": "test"}[found[1][:3]]
    return stage, found[2].replace("_", " ")


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
