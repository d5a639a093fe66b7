"""What the command line prints: one table of scores, plain in a pipe."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brainreel.data.series import GROUP
from brainreel.evaluate.scorecard import Interval, Scorecard

console = Console(highlight=False)


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for a table; what is not defined is a dash."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def interval(bounds: Interval | None) -> str:
    """Write an interval for a table."""
    return "–" if bounds is None else f"{number(bounds[0])} … {number(bounds[1])}"


def p_value(value: float | None) -> str:
    """Write a p-value, never as 0."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def percent(value: float | None) -> str:
    """Write a share as per cent."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def print_scores(cards: Sequence[tuple[str, Scorecard]]) -> None:
    """Print one table over runs: score, interval, p, ceiling, share of it, baseline.

    People one by one stand in the scorecard and on the page; means of groups are shown.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("score", "value", "interval", "p", "ceiling", "share", "baseline"):
        table.add_column(column, justify="left" if column == "score" else "right", no_wrap=True)
    for title, card in cards:
        table.add_row(f"[bold]{escape(title)}[/]")
        for row in card.rows():
            person = row["score"].partition("/")[2]
            if person and person != GROUP:
                continue
            table.add_row(
                f"  {escape(row['score'])}",
                number(row["value"]),
                interval(row["interval"]),
                p_value(row["p"]),
                number(row["ceiling"]),
                percent(row["share"]),
                number(row["baseline"]),
            )
    console.print(table)
