"""Networks and schedulers of diffusers, loaded when one is asked for."""

from __future__ import annotations

import importlib
from typing import Any


def diffusers_part(name: str) -> Any:
    """Return a class of diffusers by name.

    Loading the package takes seconds, for which no other model, and no `--help`, should wait.
    """
    return getattr(importlib.import_module("diffusers"), name)
