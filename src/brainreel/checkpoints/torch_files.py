"""PyTorch files read for their tensors and plain values alone: nothing in them can run code."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
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
        with torch.serialization.safe_globals(_PLAIN):
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


class _Kind:
    """What stands for a numpy dtype in the file; only numbers are made of it."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = str(code)

    def __setstate__(self, state: Any) -> None:
        """Take no notice of byte order and padding: numbers are little-endian."""


def _number(kind: _Kind, data: bytes) -> Any:
    """Return a numpy number (a loss that was kept beside the weights) as a plain one."""
    if not isinstance(kind, _Kind) or not re.fullmatch(r"[fiub]\d", kind.code):
        raise pickle.UnpicklingError("is no number")
    return np.frombuffer(data, np.dtype(kind.code))[0].item()


class Options:
    """What stands for an object of options in the file: its plain values by name, no methods."""


def plain_options(kept: Any) -> dict[str, Any]:
    """Return the values of options that a training script kept beside its weights; {} of others."""
    if isinstance(kept, Options | argparse.Namespace):
        return dict(vars(kept))
    return dict(kept) if isinstance(kept, Mapping) else {}


# Training scripts keep options and scores beside the weights: a Namespace is plain values, and
# numpy's numbers and the classes of options are made by functions and a class of our own.
_PLAIN: list[Any] = [
    argparse.Namespace,
    *(
        (Options, f"config.{name}")
        for name in (
            "Config_MAE_fMRI",
            "Config_MBM_fMRI",
            "Config_MBM_finetune",
            "Config_Generative_Model",
        )
    ),
    (_Kind, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
]
