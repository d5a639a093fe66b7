"""The command that predicts a new film."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
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
from brainreel.data.reference_images import ReferenceChoice
from brainreel.errors import ConfigError, DataError, did_you_mean
from brainreel.train.predicted_images import PredictOptions, Units, predict_images

# What the reading of images calls an option of `prepare` -> what it is called here.
_CALLED = {
    "Give one: mask=PATH": "Give one: --mask PATH",
    ", narrow the mask, or set nonfinite: zero": " or give a narrower --mask",
    "or tr_s.": "or --tr-s.",
}


def predict(
    run: Path, out: Path, options: dict[str, Any], reference: dict[str, Any], dry_run: bool
) -> None:
    """Predict a film's BOLD into a folder, or say what would be written."""
    if not math.isfinite(options["film_start_s"]):
        raise ConfigError(f"--film-start-s {options['film_start_s']}: should be seconds.")
    chosen = PredictOptions(
        **options | {"units": _units(options["units"])}, reference=_reference(reference, options)
    )
    with Progress(
        TextColumn("predict"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("volumes"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=dry_run,
    ) as bar:
        task = bar.add_task("predict", total=None)
        with _options_called_by_name():
            found = predict_images(
                run,
                out,
                chosen,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                dry_run=dry_run,
            )
    say(
        f"{found.n_volumes} volumes of {found.subject}, {found.n_voxels} voxels, a TR of "
        f"{found.tr_s:g} s, in {found.units}"
    )
    say(f"  {found.scale}")
    n_files = len(found.files)
    stand = "would stand" if dry_run else "stands" if n_files == 1 else "stand"
    say(f"{n_files} {'image' if n_files == 1 else 'images'} {stand} in {out}:")
    for file in found.files:
        say(f"  {file}")


@contextmanager
def _options_called_by_name() -> Iterator[None]:
    try:
        yield
    except DataError as problem:
        told = str(problem)
        for theirs, ours in _CALLED.items():
            told = told.replace(theirs, ours)
        raise DataError(told) from problem


def _units(given: str) -> Units:
    for known in get_args(Units):
        if known == given:
            found: Units = known
            return found
    near = did_you_mean(given, get_args(Units))
    raise ConfigError(f"--units {given}: should be {' or '.join(get_args(Units))}.{near}")


def _reference(given: dict[str, Any], options: dict[str, Any]) -> ReferenceChoice | None:
    """Return the reference; refuse what is said of one that is not there."""
    tr_s = given["tr_s"]
    if tr_s is not None and not 0 < tr_s < math.inf:
        raise ConfigError(f"--tr-s {tr_s:g}: should be seconds above 0.")
    if given["image"] is not None:
        return ReferenceChoice(**given, subject=options["subject"])
    for name, option in (
        ("number", "--reference-volume"),
        ("mask", "--mask"),
        ("tr_s", "--tr-s"),
    ):
        if given[name] is not None:
            raise ConfigError(f"{option} says something of a reference. Give --reference too.")
    return None
