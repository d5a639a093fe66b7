"""Dictionaries of arrays that numpy pickled into a .npy, read without running what they carry."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import require_file


class _Kind:
    """What stands for a numpy dtype in the file."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = str(code), ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])

    def dtype(self) -> np.dtype[Any]:
        """Return the dtype; objects and records are refused."""
        if not re.fullmatch(r"[biufUS]\d+", self.code) or self.order not in ("", *"<>=|"):
            raise pickle.UnpicklingError(f"an array of kind {self.code}")
        return np.dtype(self.order + self.code)


class _Array:
    """What stands for an array in the file: shape, kind and bytes."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """Return the numbers."""
        _, shape, kind, by_columns, data = self.state
        flat = np.frombuffer(data, kind.dtype())
        return flat.reshape(shape, order="F" if by_columns else "C")


def _from_buffer(data: bytes, kind: _Kind, shape: tuple[int, ...], order: str) -> _Array:
    made = _Array()
    made.state = (1, shape, kind, order == "F", data)
    return made


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes as Python 2 wrote them: text of one character each."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding}")
    return text.encode("latin1")


_NUMPY = ("numpy.core", "numpy._core")
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encoded,
    **{(f"{top}.multiarray", "_reconstruct"): _Array for top in _NUMPY},
    **{(f"{top}.numeric", "_frombuffer"): _from_buffer for top in _NUMPY},
}


class _Reader(pickle.Unpickler):
    """Knows arrays and plain values, made by the classes above; nothing else is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        """Return our own class for one of numpy's, or refuse."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None


def read_pickled_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a dictionary from names to arrays that `np.save` pickled.

    Raises
    ------
    DataError
        If the file is missing or damaged, or holds anything but names and arrays of numbers, which
        could run code.
    """
    path = require_file(path, "file of pictures")
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version[0] > 2:
                raise pickle.UnpicklingError(f"numpy's format {version}")
            head = np.lib.format
            read = head.read_array_header_1_0 if version[0] == 1 else head.read_array_header_2_0
            read(stream)
            held = _Reader(stream).load()
        if isinstance(held, _Array):
            (held,) = held.state[4]
        named = dict(held.items())
        return {_name(name): _array(values) for name, values in named.items()}
    except (
        pickle.UnpicklingError, AttributeError, EOFError, IndexError, KeyError, MemoryError,
        OSError, TypeError, UnicodeError, ValueError,
    ) as problem:  # fmt: skip
        told = " ".join(str(problem).split()) or type(problem).__name__
        raise DataError(
            f"{path}: should hold names and arrays of pictures alone, and was not read on "
            f"({told}), because such a file can run code. Save the pictures as files instead."
        ) from problem


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise pickle.UnpicklingError("a name that is no text")
    return name


def _array(values: Any) -> NDArray[Any]:
    if not isinstance(values, _Array):
        raise pickle.UnpicklingError("something that is no array")
    return values.array()
