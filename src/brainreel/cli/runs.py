"""Commands about runs: fit, evaluate, report, and the three in one go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brainreel.cli.console import console, print_scores
from brainreel.config import to_yaml
from brainreel.evaluate.run import evaluate as evaluate_run
from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.page import write_report
from brainreel.train.fit import fit as fit_run
from brainreel.train.recipe import RunConfig, resolve

PAGE = "report.html"


def run(recipe: str, overrides: Sequence[str], out: Path, dry_run: bool, resume: bool) -> None:
    """Fit, evaluate and report; print the table."""
    config = resolve(recipe, overrides)
    if dry_run:
        console.print(to_yaml(config.to_dict()), end="", markup=False, soft_wrap=True)
        return
    card = run_in_one_go(config, out, resume=resume)
    print_scores([(out.name, card)])
    console.print(f"The page: {out / PAGE}")


def run_in_one_go(config: RunConfig, out: Path, *, resume: bool = False) -> Scorecard:
    """Fit, evaluate and write the page of one run."""
    fit_run(config, out, resume=resume)
    card = evaluate_run(out)
    write_report([out], out / PAGE)
    return card


def fit(recipe: str, overrides: Sequence[str], out: Path, resume: bool) -> None:
    """Fit alone."""
    fit_run(resolve(recipe, overrides), out, resume=resume)
    console.print(f"Fitted into {out}. Next: brainreel evaluate {out}")


def evaluate(folder: Path) -> None:
    """Score a fitted run; print the table."""
    print_scores([(folder.name, evaluate_run(folder))])


def report(folders: Sequence[Path], out: Path | None) -> None:
    """Write the page of one or several runs."""
    page = write_report(folders, out or folders[0] / PAGE)
    console.print(f"The page: {page}")
