"""What the command line prints: one table of scores, plain in a pipe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from brainreel.data.series import GROUP
from brainreel.evaluate.scorecard import Interval, Scorecard

console = Console(highlight=False, emoji=False)


def say(text: str) -> None:
    """Print a line as it is: brackets kept, paths never broken."""
    console.print(text, markup=False, soft_wrap=True)


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
    """Print one table over runs: score, spread over samples, interval, p, ceiling, share of it,
    baseline; what a score falls by with a control; then notes.

    People one by one, and the best of several samples, stand in the scorecard and on the page;
    means of groups are shown. A column that no run fills is left out. Nothing is cut off: a narrow
    terminal breaks long lines.
    """
    lines = [line for title, card in cards for line in _lines(title, card)]
    filled = [
        i for i in range(len(_COLUMNS)) if i < 2 or any(row[i] not in _EMPTY for row in lines)
    ]
    rows = [[row[i] for i in filled] for row in ((*_COLUMNS,), *lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(filled))]
    gap = "  " if sum(widths) + 2 * len(widths) <= console.width else " "
    for number_of_row, row in enumerate(rows):
        cells = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        style = "bold" if number_of_row == 0 else _style(row)
        console.print(Text(gap.join(cells).rstrip(), style), soft_wrap=True)
    for title, card in cards:
        for note in card.notes:
            say(f"{title}: {note}")


_COLUMNS = (
    "score", "value", "±", "interval", "p", "ceiling", "share", "baseline", "right", "fall",
)  # fmt: skip
# What of the systems beside a run is printed; the page shows more.
_COMPARED = ("r_reliable", "r_median", "identification_2way")
_EMPTY = ("", "–")
# Scores of the best of several samples, picked by the truth: on the page alone.
_PICKED = "_best"
_NOTHING = ("",) * (len(_COLUMNS) - 1)


def _lines(title: str, card: Scorecard) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a run: its title, a heading for each split and group, and the scores."""
    yield (title, *_NOTHING)
    told = ""
    for heading, name, row in _told(card):
        if heading != told:
            yield (f"  {heading or 'people'}", *_NOTHING)
            told = heading
        yield (f"    {name}" if told else f"  {name}", *_numbers(row))
    for system, beside in card.beside.items():
        rows = [(heading, name, row) for heading, name, row in _told(beside)]
        best = next((name for name in _COMPARED if any(name == one for _, one, _ in rows)), "")
        if best:
            yield (f"  beside: {system}, {best}", *_NOTHING)
        for heading, name, row in rows:
            if name == best and GROUP not in heading:
                yield (f"    {heading or 'people'}", *_numbers(row))


def _told(card: Scorecard) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield heading, score and row of what is not of a single person."""
    for row in card.rows():
        split, _, rest = row["score"].rpartition(":")
        name, _, person = rest.partition("/")
        if (person and person != GROUP) or name.endswith(_PICKED):
            continue
        parts = (split, person and f"{person} (mean of all)")
        yield ", ".join(part for part in parts if part), name, row


def _numbers(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        number(row["value"]),
        number(row["spread"]),
        interval(row["interval"]),
        p_value(row["p"]),
        number(row["ceiling"]),
        percent(row["share"]),
        number(row["baseline"]),
        number(row["target"]),
        number(row["fall"]),
    )


def _style(row: Sequence[str]) -> str:
    """Titles of runs are bold, headings within them dim."""
    if row[1]:
        return ""
    return "dim" if row[0].startswith(" ") else "bold"
