"""Tensors by name from any file of weights that is safe to read."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainreel.checkpoints.flax_files import read_flax
from brainreel.checkpoints.store import load_weights
from brainreel.checkpoints.torch_files import plain_options, read_torch
from brainreel.errors import CheckpointError, DataError, did_you_mean
from brainreel.files import read_json

CONFIG_JSON = "config.json"
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_INDEX = "model.safetensors.index.json"
# Where training scripts keep the weights beside the optimiser and the like.
_INSIDE = ("state_dict", "model_state_dict", "model_state", "model", "module", "net")
# What Flax calls its files: the step, and no suffix.
_FLAX = re.compile(r"checkpoint(_\d+)?")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name; half-precision and double ones become float32.

    Parameters
    ----------
    path
        `.safetensors`; a Hugging Face folder with model.safetensors (whole or in shards) or
        pytorch_model.bin; `.npz`; a PyTorch file (`.pt`, `.pth`, `.bin`, `.ckpt`) of tensors and
        plain values; Flax's `.msgpack` or `checkpoint_1000`, names joined by `/`. In a PyTorch
        file the weights may lie beside an optimiser.

    Raises
    ------
    CheckpointError
        If there is no such file, it is damaged, it could run code, or it holds no tensors.
    """
    path = Path(path)
    if path.is_dir():
        state = _read_folder(path)
    elif not path.is_file():
        raise CheckpointError(f"{path}: no such file or folder of weights.")
    elif (kind := ".msgpack" if _FLAX.fullmatch(path.name) else path.suffix) in _READERS:
        state = _READERS[kind](path)
    else:
        known = ", ".join(_READERS)
        raise CheckpointError(
            f"{path}: weights are read from a folder, or from {known}; not '{path.suffix}'."
        )
    if not state:
        raise CheckpointError(f"{path}: holds no tensors.")
    return _as_float32(state)


def read_with_options(path: Path, under: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors by name, and the options that a PyTorch file keeps beside them.

    Parameters
    ----------
    path
        As in `read_tensors`.
    under
        What the file calls its options; {} where it has none, and for any other kind of file.
    """
    path = Path(path)
    if not path.is_file() or _READERS.get(path.suffix) is not _read_torch:
        return read_tensors(path), {}
    content = read_torch(path)
    return _as_float32(_tensors_in(content, path)), plain_options(content.get(under))


def _as_float32(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() if value.is_floating_point() else value
            for name, value in state.items()}  # fmt: skip


def read_sizes(path: Path) -> dict[str, Any]:
    """Return the config.json of a folder of weights; {} without, and for a single file.

    What a preprocessor_config.json beside it says stands under `preprocessor`.
    """
    folder = Path(path)
    told = _read_mapping(folder / CONFIG_JSON)
    preprocessor = _read_mapping(folder / "preprocessor_config.json")
    return {**told, "preprocessor": preprocessor} if preprocessor else told


def _read_mapping(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = read_json(file)
    except DataError as problem:
        raise CheckpointError(str(problem)) from problem
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: should be a mapping of names to values.")
    return content


def without_prefix(state: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """Take the first of the prefixes that is there off the names; others stay as they are."""
    for prefix in prefixes:
        if any(name.startswith(prefix) for name in state):
            return {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)


def _read_folder(folder: Path) -> dict[str, Tensor]:
    for name in _WHOLE:
        if (folder / name).is_file():
            return _READERS[Path(name).suffix](folder / name)
    if not (folder / _INDEX).is_file():
        raise CheckpointError(
            f"{folder}: holds none of {', '.join((*_WHOLE, _INDEX))}. Give the file itself."
        )
    index = read_json(folder / _INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict):
        raise CheckpointError(f"{folder / _INDEX}: does not say which file holds which tensor.")
    state: dict[str, Tensor] = {}
    for name in sorted({str(place) for place in places.values()}):
        if Path(name).name != name:
            raise CheckpointError(f"{folder / _INDEX}: {name} lies outside the folder.")
        state |= load_weights(folder / name)
    if missing := places.keys() - state.keys():
        raise CheckpointError(f"{folder}: the files lack {len(missing)} tensors of the index.")
    return state


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise CheckpointError(f"{path}: is one array; weights are several, by name.")
            return {name: torch.from_numpy(np.array(file[name])) for name in file.files}
    except (zipfile.BadZipFile, EOFError, OSError) as problem:
        raise CheckpointError(f"{path}: truncated or damaged. Get the file again.") from problem
    except (ValueError, TypeError) as problem:
        raise CheckpointError(
            f"{path}: holds objects, or no arrays of numbers, and was not loaded because such a "
            "file can run code. Save plain arrays."
        ) from problem


def _read_torch(path: Path) -> dict[str, Tensor]:
    return _tensors_in(read_torch(path), path)


def _tensors_in(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    # Weights that have a place of their own are taken before a lone tensor beside them, such as the
    # state of a random generator.
    while (inner := _inside(content)) is not None:
        content = inner
    if not any(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            f"{path}: holds no tensors by name at its top or under {', '.join(_INSIDE)}."
            f"{did_you_mean('', map(str, content))}"
        )
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _inside(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((content[k] for k in _INSIDE if isinstance(content.get(k), Mapping)), None)


_READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".safetensors": load_weights,
    ".npz": _read_npz,
    ".msgpack": read_flax,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pyth"), _read_torch),
}
