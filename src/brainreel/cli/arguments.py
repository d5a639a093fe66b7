"""Arguments that several commands share, and how a command's room is loaded."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder to make; it must be new or empty.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Overrides of the recipe.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")
]


def load(module: str) -> Any:
    """Import a command's room on first use: `--help` must not wait for PyTorch."""
    return importlib.import_module(f"brainreel.cli.{module}")
