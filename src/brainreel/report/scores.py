"""The table of scores as text, and a small drawing of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.words import (
    NONE,
    ScoreName,
    ceiling_words,
    interval,
    number,
    p_value,
    percent,
    split_words,
)

N_HEADLINES = 3
_GAUGE_PX = 132.0


@dataclass(frozen=True)
class Share:
    """A ceiling and the share of it that was reached, as text."""

    estimator: str
    meaning: str
    ceiling: str
    share: str
    interval: str


@dataclass(frozen=True)
class Row:
    """One line of the table of scores, as text, with its drawing."""

    name: ScoreName
    value: str
    interval: str
    p: str
    shares: tuple[Share, ...]
    baseline: str
    target: str
    gauge: Markup
    spread: str = ""


@dataclass(frozen=True)
class SplitTable:
    """The rows of one split: over all people, over samples of a brain, and person by person."""

    split: str
    main: tuple[Row, ...]
    people: tuple[Row, ...]
    samples: tuple[Row, ...] = ()

    @property
    def title(self) -> str:
        """The split in words."""
        return split_words(self.split)

    @property
    def headlines(self) -> tuple[Row, ...]:
        """The scores shown large: those with a share of a ceiling, then those with a p-value.

        Errors come last of their kind. Of identification among few and among many only the
        latter, which says more; no score that flatters, and none that is right at one value.
        """
        ways = [row for row in self.main if row.name.n_way]
        most = max((row.name.n_way for row in ways), default=0)
        told = [
            row
            for row in self.main
            if row.name.n_way in (0, most) and not row.target and not row.name.flatters
        ]
        told = sorted(
            told, key=lambda row: (not row.shares, row.p == NONE, row.name.lower_is_better)
        )
        return tuple(told[:N_HEADLINES])


def make_tables(card: Scorecard, unit: str) -> tuple[SplitTable, ...]:
    """Return one table a split, in the card's order; `unit` is "voxel" or "region"."""
    rows: dict[str, list[Row]] = {}
    for content in card.rows():
        row = _row(content, card.shares_of(content["score"]), unit)
        rows.setdefault(row.name.split, []).append(row)
    return tuple(
        SplitTable(
            split,
            tuple(row for row in found if not (row.name.person or row.name.over_samples)),
            tuple(row for row in found if row.name.person),
            tuple(row for row in found if row.name.over_samples and not row.name.person),
        )
        for split, found in rows.items()
    )


def meanings(tables: Sequence[SplitTable]) -> tuple[tuple[str, str], ...]:
    """Say once what each score and each ceiling of a run is."""
    rows = [row for table in tables for row in (*table.main, *table.samples, *table.people)]
    found = {row.name.words: row.name.meaning for row in rows if row.name.meaning}
    ceilings = {f"Ceiling: {s.estimator}": s.meaning for row in rows for s in row.shares}
    return tuple((found | {name: text for name, text in ceilings.items() if text}).items())


def _row(content: Mapping[str, Any], shares: Sequence[Mapping[str, Any]], unit: str) -> Row:
    name = ScoreName.parse(content["score"], unit)
    return Row(
        name=name,
        value=number(content["value"]),
        interval=interval(content["interval"]),
        p=p_value(content["p"]),
        shares=tuple(
            Share(
                *ceiling_words(share["estimator"]),
                number(share["ceiling"]),
                percent(share["share"]),
                _percents(share["interval"]),
            )
            for share in shares
        ),
        baseline=number(content["baseline"]),
        target="" if content["target"] is None else number(content["target"]),
        gauge=_gauge(content, name),
        spread="" if content["spread"] is None else number(content["spread"]),
    )


def _percents(bounds: tuple[float, float] | None) -> str:
    if bounds is None or any(math.isnan(bound) for bound in bounds):
        return ""
    low, high = (f"{100 * bound:.0f}".replace("-", "−") for bound in bounds)
    return f"{low} to {high}"


def _gauge(content: Mapping[str, Any], name: ScoreName) -> Markup:
    """Draw value, interval, ceiling and baseline on one line from 0 (or the lowest) to 1."""
    value, baseline = content["value"], content["baseline"]
    ceiling = content["ceiling"] if content["target"] is None else content["target"]
    ends = content["interval"] or (value, value)
    known = [x for x in (value, *ends, ceiling, baseline) if x is not None and math.isfinite(x)]
    if not math.isfinite(value) or min(known) < -1 or max(known) > 1 or name.lower_is_better:
        return Markup("")
    low = min(0.0, *known)

    def at(number: float) -> str:
        return f"{4 + (number - low) / (1 - low) * (_GAUGE_PX - 8):.1f}"

    def line(kind: str, start: float, stop: float, reach: int) -> str:
        y = f'y1="{9 - reach}" y2="{9 + reach}"'
        return f'<line class="{kind}" x1="{at(start)}" x2="{at(stop)}" {y}/>'

    parts = [line("track", low, 1.0, 0)]
    if baseline is not None and math.isfinite(baseline):
        parts.append(line("base", baseline, baseline, 5))
    if all(math.isfinite(end) for end in ends):
        parts.append(line("range", ends[0], ends[1], 0))
    if ceiling is not None and math.isfinite(ceiling):
        parts.append(line("top", ceiling, ceiling, 7))
    parts.append(f'<circle class="dot" cx="{at(value)}" cy="9" r="4"/>')
    view = f'viewBox="0 0 {_GAUGE_PX:g} 18"'
    return Markup(f'<svg class="gauge" {view} aria-hidden="true">{"".join(parts)}</svg>')
