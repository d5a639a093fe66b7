"""Latent units of a VAE: how far the posterior is from the prior, and both over the film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from brainreel.metrics.latents import Gaussians, active_units, gaussian_kl
from brainreel.report.courses import MAX_WINDOW_S, clock
from brainreel.report.runs import RunRecord
from brainreel.report.style import (
    INK,
    MEASURED,
    MUTED,
    PREDICTED,
    RULE,
    Drawing,
    canvas,
    drawing,
    note,
    place,
)
from brainreel.report.words import split_words

N_COURSES = 4
_WIDTH, _LEFT, _ROW, _GAP, _HEAD, _FOOT = 1040.0, 120.0, 64.0, 10.0, 26.0, 44.0


@dataclass(frozen=True, eq=False)
class Units:
    """Posterior and prior of the latent units of one person in one segment of a test.

    Attributes
    ----------
    time_s
        (T,) film time at the onset of each TR, in seconds.
    """

    split: str
    subject: str
    time_s: NDArray[np.float64]
    posterior: Gaussians
    prior: Gaussians


def latent_figures(run: RunRecord, prefix: str) -> tuple[tuple[Drawing, ...], str]:
    """Draw KL per unit, and the units that the film moves most, of the first test's first person.

    Returns
    -------
    The drawings and their caption; nothing where the run has no latent units.
    """
    found = run.of_kind("latents")
    if not found:
        return (), ""
    arrays = found[0].load()
    rows = arrays["segment"] == arrays["segment"][0]
    rows &= arrays["film_time_s"] < arrays["film_time_s"][0] + MAX_WINDOW_S
    units = Units(
        found[0].split,
        found[0].subject,
        arrays["film_time_s"][rows],
        *(
            Gaussians(arrays[f"{side}_mean"][rows], arrays[f"{side}_std"][rows])
            for side in ("posterior", "prior")
        ),
    )
    kl = gaussian_kl(units.posterior, units.prior).mean(axis=0)
    moved = [int(active_units(side.mean).sum()) for side in (units.posterior, units.prior)]
    told = (
        f"{units.subject}, {split_words(units.split)}: of {len(kl)} units {moved[0]} move with the "
        f"brain (posterior) and {moved[1]} with the film (prior); KL {kl.sum():.1f} nats a volume. "
        f"Below: the {min(N_COURSES, len(kl))} that the film moves most, means and one deviation."
    )
    drawings = (
        Drawing.of(
            kl_figure(kl, units),
            alt=f"KL of each unit. {told}",
            prefix=f"{prefix}u0",
            min_px=640,
        ),
        Drawing.of(
            units_figure(units),
            alt=f"Posterior and prior. {told}",
            prefix=f"{prefix}u1",
            min_px=640,
        ),
    )
    return drawings, told


def kl_figure(kl: NDArray[np.float64], units: Units) -> Figure:
    """Draw the KL of each unit, from the largest; those that the film moves are filled."""
    order = np.argsort(-kl)
    moved = active_units(units.prior.mean)[order]
    with drawing():
        figure = canvas(_WIDTH, 220.0)
        axes = place(figure, 52, 28, _WIDTH - 62, 140)
        rank = np.arange(1, len(kl) + 1)
        for chosen, colour in ((moved, PREDICTED), (~moved, MEASURED)):
            axes.bar(rank[chosen], kl[order][chosen], width=0.8, color=colour, alpha=0.85)
        note(figure, 52, 12, "moved by the film", PREDICTED, bold=True)
        note(figure, 180, 12, "not moved by it", MUTED)
        axes.set(xlabel="latent units, from the largest KL", ylabel="KL (nats)")
        axes.set_xlim(0.2, len(kl) + 0.8)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def units_figure(units: Units) -> Figure:
    """Draw posterior (grey) and prior (blue) of the units that the film moves most, over time."""
    chosen = np.argsort(-np.var(units.prior.mean, axis=0))[:N_COURSES]
    height = _HEAD + len(chosen) * (_ROW + _GAP) + _FOOT
    with drawing():
        figure = canvas(_WIDTH, height)
        for row, unit in enumerate(chosen):
            top = _HEAD + row * (_ROW + _GAP)
            axes = place(figure, _LEFT, top, _WIDTH - _LEFT - 8, _ROW)
            _draw_unit(axes, units, int(unit), last=row == len(chosen) - 1)
            note(figure, 0, top + _ROW / 2, f"unit {int(unit) + 1}", INK)
        note(figure, _LEFT, 11, "posterior", MUTED)
        note(figure, _LEFT + 84, 11, "prior", PREDICTED, bold=True)
    return figure


def _draw_unit(axes: Axes, units: Units, unit: int, *, last: bool) -> None:
    for side, colour, width in ((units.posterior, MEASURED, 1.4), (units.prior, PREDICTED, 2.0)):
        mean, std = side.mean[:, unit], side.std[:, unit]
        axes.fill_between(
            units.time_s, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(units.time_s, mean, color=colour, linewidth=width)
    axes.set_xlim(units.time_s[0], units.time_s[-1] if len(units.time_s) > 1 else None)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(last)
    axes.tick_params(left=False, labelleft=False, bottom=last, labelbottom=last)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 1.5, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at)))
    if last:
        axes.set_xlabel("film time (min:s)")
