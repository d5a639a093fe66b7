"""The command `sweep`: a recipe and variants of it, run by run, and their table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, delayed
from rich.text import Text

from brainreel.checkpoints.store import CONFIG, VERSIONS
from brainreel.cli.console import console, say
from brainreel.config import read_yaml, to_yaml
from brainreel.errors import BrainreelError, OutputError
from brainreel.evaluate.pieces import read_pieces
from brainreel.evaluate.run import CARD, check_scoring, evaluate
from brainreel.evaluate.scorecard import Scorecard
from brainreel.evaluate.sweep import Scored, Summary, summarise
from brainreel.files import new_folder, require_free, write_text
from brainreel.fmri.workers import workers
from brainreel.report.beside import Comparison
from brainreel.report.page import write_report
from brainreel.report.sweep import make_sweep_table, runs_csv, shown_scores, to_csv, to_markdown
from brainreel.train.fit import fit
from brainreel.train.sweep import (
    BASE,
    SweepConfig,
    SweepRun,
    chosen_runs,
    resolve_sweep,
    runs_of,
)
from brainreel.train.trainer import is_first_process

SWEEP, TABLE, MARKDOWN, RUNS, PAGE = (
    "sweep.yaml", "table.csv", "table.md", "runs.csv", "report.html"
)  # fmt: skip


class Ended(NamedTuple):
    """How a run ended: what was wrong, or nothing."""

    run: SweepRun
    problem: BrainreelError | None
    seconds: float


def sweep(
    name: str,
    overrides: Sequence[str],
    out: Path,
    only: Sequence[str],
    n_jobs: int,
    *,
    resume: bool,
    dry_run: bool,
) -> None:
    """Run what is not there yet, then write and print the table of all that is."""
    config = resolve_sweep(name, overrides)
    planned = runs_of(config, name)
    chosen = chosen_runs(planned, only)
    states = {run.place: _state(run, out) for run in chosen}
    if dry_run:
        _list(config, chosen, states, out)
        return
    scorings = {run.config.scoring.digest(): run.config for run in chosen}
    for one in scorings.values():
        check_scoring(one)
    to_do = [run for run in chosen if states[run.place] != "scored"]
    with workers(n_jobs, None) as pool:
        _claim(out, config, resume)
        if len(to_do) < len(chosen):
            say(f"{len(chosen) - len(to_do)} of {len(chosen)} runs stand there already.")
        failed = _run_all(to_do, config, out, pool)
    if is_first_process():
        _write_tables(config, planned, out)
    if failed:
        first = failed[0]
        raise OutputError(
            f"{len(failed)} of {len(chosen)} runs failed; the first, {first.run.place}: "
            f"{first.problem} The table is of the others. Mend it, then go on by --resume."
        )


def _state(run: SweepRun, out: Path) -> str:
    """Return how far a run is: to do, broken off, fitted, or scored."""
    folder = out / run.place
    if not (folder / CONFIG).is_file():
        if folder.exists():
            require_free(folder)
        return "to do"
    if read_yaml(folder / CONFIG) != run.config.settled().to_dict():
        raise OutputError(
            f"{folder}: holds another run (its {CONFIG} differs). Choose another --out, or remove "
            "it first."
        )
    if not (folder / VERSIONS).is_file():
        return "broken off"
    return "scored" if (folder / CARD).is_file() and (folder / PAGE).is_file() else "fitted"


def _list(
    config: SweepConfig, runs: Sequence[SweepRun], states: Mapping[Path, str], out: Path
) -> None:
    for run in runs:
        changes = config.variants[run.variant].told if run.variant != BASE else ""
        told = f": {changes}" if changes else ""
        say(f"{out / run.place}: {states[run.place]}{told}")


def _claim(out: Path, config: SweepConfig, resume: bool) -> None:
    """Take a folder for a sweep: a new one, or with `resume` that of a sweep."""
    if not is_first_process():
        return
    if not (out / SWEEP).is_file():
        new_folder(out)
    elif not resume:
        raise OutputError(
            f"{out}: holds a sweep already. Go on with it by --resume, or choose another --out."
        )
    write_text(out / SWEEP, to_yaml(config.to_dict()))


def _run_all(
    runs: Sequence[SweepRun], config: SweepConfig, out: Path, pool: Parallel
) -> list[Ended]:
    """Run all, tell how each ended, and return those that failed.

    While nothing is scored, a failure ends the sweep: it would be that of all others too.
    """
    failed: list[Ended] = []
    for number, ended in enumerate(pool(delayed(_run)(run, out) for run in runs), start=1):
        how = "failed" if ended.problem else "scored"
        if is_first_process():
            say(f"{number} of {len(runs)}: {ended.run.place} {how}, {ended.seconds:.0f} s")
        if ended.problem is not None:
            failed.append(ended)
            if not any(out.glob(f"*/*/{CARD}")):
                _give_back(out, [run.place for run in runs])
                raise ended.problem
        elif ended.run.variant == BASE and is_first_process():
            shown_scores(Scorecard.load(out / ended.run.place / CARD), config.scores)
    return failed


def _run(run: SweepRun, out: Path) -> Ended:
    """Fit, evaluate and report one run, from where it stands."""
    started, problem, folder = time.monotonic(), None, out / run.place
    try:
        if not (folder / VERSIONS).is_file():
            fit(run.config, folder, resume=True)
        if is_first_process():
            if not (folder / CARD).is_file():
                evaluate(folder)
            write_report([folder], folder / PAGE)
    except BrainreelError as error:
        problem = error
    return Ended(run, problem, time.monotonic() - started)


def _give_back(out: Path, places: Sequence[Path]) -> None:
    """Remove a sweep's folder in which nothing was made."""
    if any((out / place).exists() for place in places):
        return
    (out / SWEEP).unlink(missing_ok=True)
    for folder in (*dict.fromkeys(out / place.parent for place in places), out):
        with suppress(OSError):  # it holds something
            folder.rmdir()


def _write_tables(config: SweepConfig, planned: Sequence[SweepRun], out: Path) -> None:
    """Write and print the table of all runs that are scored."""
    there = [run for run in planned if (out / run.place / CARD).is_file()]
    scored = [
        Scored(
            run.variant,
            run.seed,
            Scorecard.load(out / run.place / CARD),
            read_pieces(out / run.place),
        )
        for run in there
    ]
    titles = {BASE: config.title_of(BASE)} | {v: config.title_of(v) for v in config.variants}
    summaries = summarise(scored, BASE)
    table = _table(config, scored, summaries, titles, len(planned))
    write_text(out / TABLE, to_csv(summaries, titles))
    write_text(out / RUNS, runs_csv(scored))
    write_text(out / MARKDOWN, to_markdown(table))
    first = [run for run in there if run.seed == there[0].seed]
    of_one = {run.variant for run in there} == {there[0].variant}
    write_report(
        [out / run.place for run in (there if of_one else first)],
        out / PAGE,
        title=config.title or None,
        about=config.about,
        table=table,
    )
    _print(table)
    say(f"The page: {out / PAGE}. The table: {out / MARKDOWN}, {out / TABLE}")


def _table(
    config: SweepConfig,
    scored: Sequence[Scored],
    summaries: Sequence[Summary],
    titles: Mapping[str, str],
    n_planned: int,
) -> Comparison:
    known = next((run for run in scored if run.variant == BASE), scored[0])
    missing = n_planned - len(scored)
    return make_sweep_table(
        summaries,
        shown_scores(known.card, config.scores),
        titles,
        {name: variant.told for name, variant in config.variants.items()},
        base=BASE,
        notes=[f"{missing} of {n_planned} runs are not there yet."] if missing else [],
    )


def _print(table: Comparison) -> None:
    """Print each score of each test, variant by variant."""
    lines = [line for group in table.groups for line in group.lines]
    width = max(len(line.name) for line in lines) + 4
    for group in table.groups:
        for number, column in enumerate(table.columns):
            heading = f"{group.title}: {column}" if group.title else column
            console.print(Text(heading, "bold"), soft_wrap=True)
            for line in group.lines:
                entry = line.entries[number]
                text = f"  {line.name}".ljust(width) + f"{entry.value:>8}  {entry.under}"
                console.print(Text(text.rstrip()), soft_wrap=True)
    for note in table.notes:
        say(note)
