"""Flax checkpoints (msgpack) read as tensors by name: nothing in them can run code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack
import torch
from torch import Tensor

from brainreel.errors import CheckpointError

# Flax's codes of what msgpack has no type for: an array, a complex number, a numpy number.
_ARRAY, _COMPLEX, _NUMBER = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
_NAMES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in _NAMES}


class _FaultError(ValueError):
    """What is wrong in the file."""


def read_flax(path: Path) -> dict[str, Tensor]:
    """Read a file that `flax.serialization.msgpack_serialize` or `to_bytes` wrote.

    Parameters
    ----------
    path
        Nested mappings of arrays; large ones may lie in chunks, as Flax writes them.

    Returns
    -------
    dict
        Names of all levels joined by `/` -> tensor, in the dtype of the file. Single numbers are
        tensors without an axis; text and nothing are left out.

    Raises
    ------
    CheckpointError
        If it is truncated, damaged, or no Flax checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file of weights.")
    try:
        content = msgpack.unpackb(path.read_bytes(), ext_hook=_unpacked)
        if not isinstance(content, Mapping):
            raise _FaultError("at its top are no names")
        return dict(_leaves(content, ""))
    except (ValueError, TypeError, RuntimeError, msgpack.UnpackException) as problem:
        reason = f" ({problem})" if str(problem) else ""
        raise CheckpointError(
            f"{path}: truncated, damaged, or no Flax checkpoint{reason}. Get the file again."
        ) from problem


def _leaves(content: Mapping[Any, Any], above: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            if _CHUNKED in value:
                yield name, _joined(value, name)
            else:
                yield from _leaves(value, f"{name}/")
        elif isinstance(value, list):
            yield from _leaves(dict(enumerate(value)), f"{name}/")
        elif isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, bool | int | float | complex):
            yield name, torch.tensor(value)


def _unpacked(code: int, data: bytes) -> Any:
    """Turn one of Flax's own types into a tensor or a number."""
    if code not in (_ARRAY, _COMPLEX, _NUMBER):
        raise _FaultError(f"a value of the unknown type {code}")
    parts = msgpack.unpackb(data, raw=True)
    if code == _COMPLEX:
        return complex(*parts)
    shape, dtype, buffer = parts
    return _array(tuple(shape), dtype, buffer)


def _array(shape: tuple[Any, ...], dtype: bytes, buffer: bytes) -> Tensor:
    name = dtype.decode("ascii", errors="replace")
    if name not in _DTYPES:
        raise _FaultError(f"an array of {name}, which is no kind of number")
    wanted = math.prod(shape) * _DTYPES[name].itemsize
    if any(not isinstance(n, int) or n < 0 for n in shape) or len(buffer) != wanted:
        raise _FaultError(f"an array of shape {shape} in {len(buffer)} bytes")
    if not buffer:
        return torch.empty(shape, dtype=_DTYPES[name])
    # A copy of its own: torch would warn that it may not write into bytes.
    return torch.frombuffer(bytearray(buffer), dtype=_DTYPES[name]).reshape(shape)


def _joined(value: Mapping[Any, Any], name: str) -> Tensor:
    """Join the chunks of a large array, which Flax numbers as text."""
    try:
        shape = [value["shape"][str(i)] for i in range(len(value["shape"]))]
        chunks = [value["chunks"][str(i)] for i in range(len(value["chunks"]))]
        return torch.cat([chunk.reshape(-1) for chunk in chunks]).reshape(shape)
    except (KeyError, TypeError, AttributeError, RuntimeError) as problem:
        raise _FaultError(f"{name} is in chunks that do not make one array") from problem
