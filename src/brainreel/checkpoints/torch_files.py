"""PyTorch files read for their tensors and plain values alone: nothing in them can run code."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from brainreel.errors import CheckpointError

# How a zip archive (torch.save), and an old file of PyTorch before 1.6, begin.
_HEADS = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")


def read_torch(path: Path, map_location: Any = "cpu", *, advice: str = "") -> dict[str, Any]:
    """Read a PyTorch file that holds tensors and plain values alone.

    Parameters
    ----------
    path
        Made by `torch.save`.
    map_location
        Where the tensors go.
    advice
        What the user should do about a bad file.

    Raises
    ------
    CheckpointError
        If it holds any other object (which could run code), or is damaged.
    """
    told = advice or "Give a .safetensors file."
    refused = CheckpointError(
        f"{path}: holds more than tensors and plain values, or is no checkpoint, and was not "
        f"loaded because such a file can run code. {told}"
    )
    with Path(path).open("rb") as stream:
        if not stream.read(4).startswith(_HEADS):
            raise refused
    try:
        # Training scripts keep their options beside the weights; a Namespace is plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as problem:
        raise refused from problem
    except (RuntimeError, EOFError, OSError, ValueError) as problem:
        raise CheckpointError(
            f"{path}: cannot be read; the checkpoint is damaged. {told}"
        ) from problem
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: is no checkpoint. {told}")
    return dict(content)
