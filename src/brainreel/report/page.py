"""Scorecards and predictions of one or several runs -> one self-contained HTML page."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from brainreel.errors import DataError
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import write_text
from brainreel.report.blocks import Blocks, common_r_max, make_blocks
from brainreel.report.runs import RunRecord, read_run
from brainreel.report.style import PALETTE, ramp_css
from brainreel.report.words import (
    ScoreName,
    ceiling_words,
    interval,
    number,
    p_value,
    percent,
    plain_rows,
    plain_value,
)

_TEMPLATES = Path(__file__).parent / "templates"
_GAUGE_PX = 132.0
NONE = "–"
N_HEADLINES = 3


@dataclass(frozen=True)
class Row:
    """One line of the table of scores, as text, with its drawing."""

    name: ScoreName
    value: str
    interval: str
    p: str
    ceiling: str
    estimator: str
    share: str
    baseline: str
    gauge: Markup


@dataclass(frozen=True)
class SplitTable:
    """The rows of one split: over all people, and person by person."""

    split: str
    main: tuple[Row, ...]
    people: tuple[Row, ...]


@dataclass(frozen=True)
class Section:
    """One run on the page."""

    anchor: str
    run: RunRecord
    title: str
    stamps: tuple[str, ...]
    told: tuple[str, ...]
    protocol: tuple[tuple[str, str], ...]
    tables: tuple[SplitTable, ...]
    meanings: tuple[tuple[str, str], ...]
    blocks: Blocks
    command: str
    sources: tuple[tuple[str, str], ...]

    @property
    def headlines(self) -> tuple[Row, ...]:
        """The scores shown large: those with a share of a ceiling, then those with a p-value."""
        rows = self.tables[0].main if self.tables else ()
        told = sorted(rows, key=lambda row: (row.share == NONE, row.p == NONE))
        return tuple(told[:N_HEADLINES])


def write_report(runs: Sequence[Path], out: Path, *, title: str | None = None) -> Path:
    """Write one self-contained HTML page about one or several evaluated runs.

    Parameters
    ----------
    runs
        Run folders, in the order of the page.
    out
        The page; for a folder, `report.html` in it.
    title
        Head of the page; by default the title of a single run, or a general one.

    Returns
    -------
    The path of the page.

    Raises
    ------
    DataError
        If a folder is no run, or was not evaluated, naming the command to run first.
    """
    if not runs:
        raise DataError("No run was given. Name at least one run folder.")
    records = [read_run(Path(folder)) for folder in runs]
    r_max = common_r_max(records)
    sections = [_section(record, i, r_max) for i, record in enumerate(records)]
    out = Path(out) / "report.html" if Path(out).is_dir() else Path(out)
    fallback = sections[0].title if len(sections) == 1 else "From film to brain, and back"
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("report.html.j2").render(
        title=title or fallback,
        sections=sections,
        css=Markup(_css()),
        version=_version(records),
    )
    write_text(out, page)
    return out


def _css() -> str:
    def variables(which: int) -> str:
        return "".join(f"--{name}:{pair[which]};" for name, pair in PALETTE.items())

    text = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    return (
        f":root{{{variables(0)}--ramp:{ramp_css()}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(1)}}}}}\n{text}"
    )


def _version(records: Sequence[RunRecord]) -> str:
    found = {str(record.card.versions.get("brainreel", "")) for record in records} - {""}
    return ", ".join(sorted(found))


def _section(run: RunRecord, i: int, r_max: float) -> Section:
    card = run.card
    told, stamps, rest = _told(card)
    unit = "region" if any(maps.regional for maps in run.maps) else "voxel"
    tables = _tables(card, unit)
    return Section(
        anchor=f"run-{i + 1}",
        run=run,
        title=card.title or run.name,
        stamps=stamps,
        told=told,
        protocol=tuple(plain_rows(rest)),
        tables=tables,
        meanings=_meanings(tables),
        blocks=make_blocks(run, f"r{i + 1}", r_max),
        command=f"brainreel run {shlex.quote(str(run.folder / 'config.yaml'))} "
        f"--out {shlex.quote(str(run.folder) + '-again')}",
        sources=tuple(plain_rows(card.data)),
    )


def _told(card: Scorecard) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Part the protocol into sentences, warnings and the rest, which becomes a list of facts."""
    rest = dict(card.protocol)
    told = [str(rest.pop(key)) for key in ("question", "asked", "words", "summary") if key in rest]
    stamps = rest.pop("stamps", ()) or ()
    stamps = (stamps,) if isinstance(stamps, str) else stamps
    if isinstance(stamps, Mapping):
        stamps = [f"{key}: {plain_value(value)}" for key, value in stamps.items()]
    return tuple(told), tuple(str(stamp) for stamp in stamps), rest


def _tables(card: Scorecard, unit: str) -> tuple[SplitTable, ...]:
    rows: dict[str, list[Row]] = {}
    for content in card.rows():
        row = _row(content, unit)
        rows.setdefault(row.name.split, []).append(row)
    return tuple(
        SplitTable(
            split,
            tuple(row for row in found if not row.name.person),
            tuple(row for row in found if row.name.person),
        )
        for split, found in rows.items()
    )


def _row(content: Mapping[str, Any], unit: str) -> Row:
    name = ScoreName.parse(content["score"], unit)
    return Row(
        name=name,
        value=number(content["value"]),
        interval=interval(content["interval"]),
        p=p_value(content["p"]),
        ceiling=number(content["ceiling"]),
        estimator=ceiling_words(content["estimator"])[0] if content["estimator"] else "",
        share=percent(content["share"]),
        baseline=number(content["baseline"]),
        gauge=_gauge(content, name),
    )


def _gauge(content: Mapping[str, Any], name: ScoreName) -> Markup:
    """Draw value, interval, ceiling and baseline on one line from 0 (or the lowest) to 1."""
    low_high = content["interval"] or (content["value"], content["value"])
    numbers = [content["value"], *low_high, content["ceiling"], content["baseline"]]
    known = [value for value in numbers if value is not None and math.isfinite(value)]
    bounded = bool(known) and min(known) >= -1 and max(known) <= 1
    if not bounded or name.lower_is_better or not math.isfinite(content["value"]):
        return Markup("")
    low = min(0.0, *known)

    def at(value: float) -> str:
        return f"{4 + (value - low) / (1 - low) * (_GAUGE_PX - 8):.1f}"

    parts = [f'<line class="track" x1="{at(low)}" x2="{at(1.0)}" y1="9" y2="9"/>']
    if content["baseline"] is not None and math.isfinite(content["baseline"]):
        x = at(content["baseline"])
        parts.append(f'<line class="base" x1="{x}" x2="{x}" y1="4" y2="14"/>')
    if all(math.isfinite(bound) for bound in low_high):
        x1, x2 = at(low_high[0]), at(low_high[1])
        parts.append(f'<line class="range" x1="{x1}" x2="{x2}" y1="9" y2="9"/>')
    if content["ceiling"] is not None and math.isfinite(content["ceiling"]):
        x = at(content["ceiling"])
        parts.append(f'<line class="top" x1="{x}" x2="{x}" y1="2" y2="16"/>')
    parts.append(f'<circle class="dot" cx="{at(content["value"])}" cy="9" r="4"/>')
    return Markup(
        f'<svg class="gauge" viewBox="0 0 {_GAUGE_PX:g} 18" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _meanings(tables: Sequence[SplitTable]) -> tuple[tuple[str, str], ...]:
    """Say once what each score and each ceiling of a run is."""
    found: dict[str, str] = {}
    for table in tables:
        for row in (*table.main, *table.people):
            if row.name.meaning:
                found.setdefault(row.name.words, row.name.meaning)
    for table in tables:
        for row in table.main:
            meaning = ceiling_words(row.estimator.replace(" ", "_"))[1]
            if row.estimator and meaning:
                found.setdefault(f"Ceiling: {row.estimator}", meaning)
    return tuple(found.items())
