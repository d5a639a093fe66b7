"""The error family: what happened, where, and what to do.

Every error a user can cause is a `BrainreelError` of one sentence (or two: what is wrong, what
to do). The command line prints it and exits with 2; a library caller catches the family.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class BrainreelError(Exception):
    """Base of every error that the user can mend."""


class ConfigError(BrainreelError):
    """A recipe or an override names something that is not there, or gives a wrong value."""


class DataError(BrainreelError):
    """A file or an array is not what it should be."""


class ShapeError(DataError, ValueError):
    """An array's axis has the wrong size."""


class AlignmentError(DataError):
    """Stimulus and scan do not cover the same time."""


class LeakError(DataError):
    """A split would let test data into training."""


class CheckpointError(BrainreelError):
    """Weights that cannot be, or must not be, loaded."""


class OutputError(BrainreelError):
    """A place that cannot be written, or is in use."""


class MissingExtraError(BrainreelError):
    """An optional package is needed and not installed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'near'?"` for the nearest known name, else the list of them."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" Known: {', '.join(names)}." if names else ""


def require_extra(module: str, extra: str) -> ModuleType:
    """Import an optional `module`, or name the `pip install` line that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise MissingExtraError(
            f"'{module}' is not installed. Run: pip install 'brainreel[{extra}]'"
        ) from missing
