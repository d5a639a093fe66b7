"""The command line: signatures and help; the work is loaded when a command is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from brainreel import __version__
from brainreel.errors import BrainreelError

app = typer.Typer(
    help="The two-way map between what people watch and hear and their fMRI.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Out = Annotated[Path, typer.Option("--out", help="Folder to make; it must be new or empty.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE ...]", help="Overrides of the recipe.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")
]


def _load(module: str) -> Any:
    """Import a command's room on first use: `--help` must not wait for PyTorch."""
    return importlib.import_module(f"brainreel.cli.{module}")


@app.command()
def quickstart(
    out: Out = Path("quickstart"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated study and of the fits.")] = 0,
) -> None:
    """Simulate a small study, fit both directions, score against the exact ceiling, make a page."""
    _load("quickstart").quickstart(out, seed)


@app.command()
def simulate(
    out: Out,
    seed: Annotated[int, typer.Option(help="Seed of people and films.")] = 0,
    subjects: Annotated[int, typer.Option(help="Number of people.")] = 3,
    films: Annotated[int, typer.Option(help="Number of films.")] = 3,
    film_duration_s: Annotated[float, typer.Option(help="Length of a film in seconds.")] = 180.0,
) -> None:
    """Write a simulated study as a BIDS folder: NIfTI, films with sound, and the known truth."""
    _load("study").simulate(out, seed, subjects, films, film_duration_s)


@app.command()
def prepare(
    bids: Annotated[
        Path, typer.Argument(metavar="BIDS", help="BIDS or fMRIPrep folder, or one NIfTI file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The store; it may hold earlier runs.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE ...]", help="Options of the cleaning."),
    ] = None,
    derivatives: Annotated[
        Path | None, typer.Option(help="fMRIPrep folder, if it is not inside BIDS.")
    ] = None,
    subject: Annotated[list[str] | None, typer.Option(help="Only these people.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only these tasks.")] = None,
    space: Annotated[str | None, typer.Option(help="Only this space.")] = None,
    film: Annotated[Path | None, typer.Option(help="Film of a single NIfTI file.")] = None,
    film_start_s: Annotated[
        float, typer.Option(help="Scan time at which the film of a single file began, in seconds.")
    ] = 0.0,
    n_jobs: Annotated[int, typer.Option(help="Runs prepared at once; -1 for all cores.")] = 1,
    backend: Annotated[
        str | None, typer.Option(help="A joblib backend: loky, threading, dask, ...")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be done.")] = False,
) -> None:
    """Mask, clean and store every run, time first; what is already there is left alone."""
    study = _load("study")
    if bids.is_file():
        runs = study.single_run(bids, film, film_start_s)
    else:
        runs = study.found_runs(bids, derivatives, subject, task, space)
    study.prepare(runs, out, options or [], n_jobs, backend, dry_run)


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    *,
    out: Out,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe; fit nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken run.")] = False,
) -> None:
    """Fit, evaluate and report in one go."""
    _load("runs").run(recipe, overrides or [], out, dry_run, resume)


@app.command()
def fit(
    recipe: RecipeName,
    overrides: Overrides = None,
    *,
    out: Out,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken fit.")] = False,
) -> None:
    """Fit alone: weights, configuration and facts of the data into a run folder."""
    _load("runs").fit(recipe, overrides or [], out, resume)


@app.command()
def evaluate(folder: RunFolder) -> None:
    """Predict the test data of a fitted run and write its scorecard."""
    _load("runs").evaluate(folder)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN ...", help="Run folders.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page [RUN/report.html for one run].")
    ] = None,
) -> None:
    """Write one self-contained page about one or several evaluated runs."""
    _load("runs").report(folders, out)


@app.command()
def describe(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model, task, data kind or recipe.")
    ] = None,
) -> None:
    """List models, tasks, data kinds and recipes, or every option of one with its meaning."""
    _load("describe").describe(name)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"brainreel {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The two-way map between what people watch and hear and their fMRI."""


def main() -> None:
    """Run the command line: a user's error is one sentence on stderr and exit status 2."""
    sys.exit(guarded(app))


def guarded(call: Callable[[], Any]) -> int:
    """Call, and turn an error of the `BrainreelError` family into its sentence and status 2."""
    try:
        call()
    except BrainreelError as problem:
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"[bold red]brainreel:[/] {_escaped(str(problem))}"
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
