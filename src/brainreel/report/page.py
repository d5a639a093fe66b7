"""Scorecards and predictions of one or several runs -> one self-contained HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from brainreel.errors import DataError
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import write_text
from brainreel.report.beside import Comparison, make_comparison
from brainreel.report.blocks import Blocks, common_r_max, make_blocks
from brainreel.report.cells import Grid, Withheld, make_grids, make_withheld
from brainreel.report.protocol import Told, tell
from brainreel.report.runs import RunRecord, read_run
from brainreel.report.scores import SplitTable, make_tables, meanings
from brainreel.report.style import PALETTE, ramp_css
from brainreel.report.viewer import key_css
from brainreel.report.without_brain import make_without_brain
from brainreel.report.words import plain_rows

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """One run on the page."""

    anchor: str
    run: RunRecord
    title: str
    told: Told
    tables: tuple[SplitTable, ...]
    meanings: tuple[tuple[str, str], ...]
    comparison: Comparison | None
    grids: tuple[Grid, ...]
    withheld: Withheld | None
    without_brain: tuple[Withheld, ...]
    blocks: Blocks
    command: str
    sources: tuple[tuple[str, str], ...]


def write_report(
    runs: Sequence[Path],
    out: Path,
    *,
    title: str | None = None,
    about: str = "",
    table: Comparison | None = None,
) -> Path:
    """Write one self-contained HTML page about one or several evaluated runs.

    Parameters
    ----------
    runs
        Run folders, in the order of the page.
    out
        The page; for a folder, `report.html` in it.
    title
        Head of the page; by default the title of a single run, or a general one.
    about
        What is asked of several runs, in some sentences.
    table
        That of a sweep, whose runs these are; by default runs stand beside each other.

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
        about=about,
        comparison=table or make_comparison(named_cards(records)),
        swept=table is not None,
        css=Markup(_css()),
        script=Markup(_read("viewer.js")),
        version=_version(records),
    )
    write_text(out, page)
    return out


def named_cards(runs: Sequence[RunRecord]) -> list[tuple[str, Scorecard]]:
    """Return the card of each run with its title, and its folder where two have the same one."""
    titles = [_title(run) for run in runs]
    return [
        (title if titles.count(title) == 1 else f"{title} ({run.name})", run.card)
        for title, run in zip(titles, runs, strict=True)
    ]


def _title(run: RunRecord) -> str:
    return run.card.title or run.name


def _css() -> str:
    def variables(which: int) -> str:
        return "".join(f"--{name}:{pair[which]};" for name, pair in PALETTE.items())

    text = _read("report.css")
    return (
        f":root{{{variables(0)}--ramp:{ramp_css()};--both:{key_css()}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(1)}}}}}\n{text}"
    )


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _version(records: Sequence[RunRecord]) -> str:
    found = {str(record.card.versions.get("brainreel", "")) for record in records} - {""}
    return ", ".join(sorted(found))


def _section(run: RunRecord, i: int, r_max: float) -> Section:
    unit = "region" if any(maps.regional for maps in run.maps) else "voxel"
    tables = make_tables(run.card, unit)
    return Section(
        anchor=f"run-{i + 1}",
        run=run,
        title=_title(run),
        told=tell(run.card, kind=run.kind),
        tables=tables,
        meanings=meanings(tables),
        comparison=make_comparison([("This run", run.card)]),
        grids=make_grids(run.card),
        withheld=make_withheld(run.card),
        without_brain=make_without_brain(run.card),
        blocks=make_blocks(run, f"r{i + 1}", r_max),
        command=f"brainreel run {shlex.quote(str(run.folder / 'config.yaml'))} "
        f"--out {shlex.quote(str(run.folder) + '-again')}",
        sources=tuple(plain_rows(run.card.data)),
    )
