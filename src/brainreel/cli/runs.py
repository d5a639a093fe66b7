"""Commands about runs: fit, evaluate, report, and the three in one go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from brainreel.cli.console import console, print_scores, say
from brainreel.config import to_yaml
from brainreel.evaluate.run import check_scoring
from brainreel.evaluate.run import evaluate as evaluate_run
from brainreel.report.beside import Comparison, make_comparison
from brainreel.report.page import named_cards, write_report
from brainreel.report.runs import read_run
from brainreel.train.fit import fit as fit_run
from brainreel.train.recipe import resolve
from brainreel.train.trainer import is_first_process

PAGE = "report.html"


def run(recipe: str, overrides: Sequence[str], out: Path, dry_run: bool, resume: bool) -> None:
    """Fit, evaluate and report; print the table."""
    config = resolve(recipe, overrides)
    if dry_run:
        console.print(to_yaml(config.to_dict()), end="", markup=False, soft_wrap=True)
        return
    check_scoring(config)
    fit_run(config, out, resume=resume)
    # On several devices this command runs once on each; the first one goes on alone.
    if is_first_process():
        evaluate(out)
        report([out], None)


def fit(recipe: str, overrides: Sequence[str], out: Path, resume: bool) -> None:
    """Fit alone."""
    fit_run(resolve(recipe, overrides), out, resume=resume)
    if is_first_process():
        say(f"Fitted into {out}. Next: brainreel evaluate {out}")


def evaluate(folder: Path) -> None:
    """Score a fitted run; print the table."""
    print_scores([(folder.name, evaluate_run(folder))])


def report(folders: Sequence[Path], out: Path | None) -> None:
    """Write the page of one or several runs; of several, print how they compare."""
    page = write_report(folders, out or folders[0] / PAGE)
    if len(folders) > 1:
        table = make_comparison(named_cards([read_run(folder) for folder in folders]))
        if table is not None:
            print_comparison(table)
    say(f"The page: {page}")


def print_comparison(table: Comparison) -> None:
    """Print the main score of several runs, and of what stands beside them, test by test."""
    lines = [line for group in table.groups for line in group.lines]
    width = max(len(line.name) for line in lines) + 4
    for group in table.groups:
        heading = ", ".join(part for part in (group.title, group.stamp) if part)
        console.print(Text(f"{heading or 'people'}: {table.columns[0]}", "bold"), soft_wrap=True)
        for line in group.lines:
            main = line.entries[0]
            console.print(
                Text(f"  {line.name}".ljust(width) + f"{main.value:>8}  {main.under}".rstrip()),
                soft_wrap=True,
            )
    for note in table.notes:
        say(note)
