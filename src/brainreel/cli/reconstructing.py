"""The command that reconstructs pictures of voxel vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from brainreel.cli.console import console, say
from brainreel.data.given_vectors import VectorChoice
from brainreel.errors import ConfigError, did_you_mean
from brainreel.train.picture_reconstruction import ZScore
from brainreel.train.reconstructed_pictures import ReconstructOptions, reconstruct_pictures

_NAMES = {"pixel_correlation": "pixel correlation", "ssim": "SSIM"}


def reconstruct(
    run: Path,
    out: Path,
    vectors: dict[str, Any],
    options: dict[str, Any],
    samples: int | None,
    dry_run: bool,
) -> None:
    """Draw pictures into a folder, or say what would be written."""
    changes = [*options["changes"], *([] if samples is None else [f"sampling.samples={samples}"])]
    zscore = None if options["zscore"] is None else _zscore(options["zscore"])
    if options["seed"] is not None and options["seed"] < 0:
        raise ConfigError(f"--seed {options['seed']}: should be 0 or more.")
    chosen = ReconstructOptions(
        VectorChoice(**vectors), **options | {"changes": tuple(changes), "zscore": zscore}
    )
    with Progress(
        TextColumn("reconstruct"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("brains"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=dry_run or not console.is_terminal,
    ) as bar:
        task = bar.add_task("reconstruct", total=None)
        found = reconstruct_pictures(
            run,
            out,
            chosen,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            dry_run=dry_run,
        )
    for number, line in enumerate(found.lines):
        say(f"  {line}" if number else line)
    if found.scores:
        told = ", ".join(f"{_NAMES[name]} {value:.3f}" for name, value in found.scores.items())
        say(f"  {told} on average")
    for note in found.notes:
        say(f"Note: {note}")
    say(f"{', '.join(found.files)} {'would stand' if dry_run else 'stand'} in {out}")


def _zscore(given: str) -> ZScore:
    known: tuple[ZScore, ...] = get_args(ZScore)
    for name in known:
        if name == given:
            return name
    near = did_you_mean(given, known)
    raise ConfigError(f"--zscore {given}: should be {', '.join(known)}.{near}")
