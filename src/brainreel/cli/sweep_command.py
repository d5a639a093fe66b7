"""Signature and help of the command `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainreel.cli.arguments import load


def sweep(
    name: Annotated[
        str, typer.Argument(metavar="SWEEP", help="A shipped sweep's name, or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Of the recipe, in all variants; and seeds, scores, variants.NAME of the sweep.",
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder to make; runs lie in VARIANT/seed-N.")],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Run this variant alone; may be given several times."),
    ] = None,
    n_jobs: Annotated[int, typer.Option(help="Runs at once; -1 for one on each core.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a sweep; what is scored is left alone.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and how far they are; run nothing.")
    ] = False,
) -> None:
    """Run a recipe and variants of it, with several seeds, and put them side by side."""
    load("sweeping").sweep(
        name, overrides or [], out, only or [], n_jobs, resume=resume, dry_run=dry_run
    )
