"""Arrays by key from .npz, .npy, .mat (v5 and v7.3) and .h5, never running what a file carries.

A key may go down into groups and structs: `"sub-01/voxels"`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError

from brainreel.errors import BrainreelError, DataError, did_you_mean
from brainreel.files import require_file

Float32 = NDArray[np.float32]
Array = NDArray[Any]

# What the readers below raise on a file that is cut short or is not what its name says.
_BROKEN = (
    OSError, ValueError, TypeError, KeyError, IndexError, EOFError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, MatReadError,
)  # fmt: skip


def read_array(path: Path, key: str = "") -> Array:
    """Read one array of a file by its key.

    Parameters
    ----------
    path
        A .npz, .npy, .mat (v5 or v7.3), .h5 or .hdf5 file.
    key
        Name of the array, with `/` into groups and structs. Empty where the file holds one array.

    Returns
    -------
    array
        Numbers or text, axes in the order of the program that wrote it (v7.3 files, which hold
        MATLAB's axes reversed, are turned back).

    Raises
    ------
    DataError
        For a missing or broken file, a wrong key (the keys there are listed), and pickled objects,
        which are refused without being read.
    """
    path = require_file(Path(path), "data file")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: arrays are read from {', '.join(_READERS)} files. Save it as one of these."
        )
    try:
        array = reader(path, key)
    except BrainreelError:
        raise
    except _BROKEN as problem:
        told = " ".join(str(problem).split()) or type(problem).__name__
        if "allow_pickle" in told or "pickled" in told:
            told = "it holds pickled objects, which may run code; save plain numbers instead"
        raise DataError(f"{path}: cannot be read as {path.suffix} ({told}).") from problem
    if array.dtype.kind not in "biufU":
        raise DataError(f"{path}: '{key}' holds no plain numbers or text ({array.dtype}).")
    return array


def array_names(path: Path) -> tuple[str, ...]:
    """Return the keys that a file holds, without reading the arrays; of a .npy file none.

    Raises
    ------
    DataError
        For a missing or broken file.
    """
    path = require_file(Path(path), "data file")
    kind = path.suffix.lower()
    try:
        if kind == ".npz":
            with zipfile.ZipFile(path) as archive:
                return tuple(name.removesuffix(".npy") for name in archive.namelist())
        if kind in (".mat", ".h5", ".hdf5") and h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return tuple(_listed(file))
        return tuple(name for name, _, _ in whosmat(path)) if kind == ".mat" else ()
    except _BROKEN as problem:
        told = " ".join(str(problem).split()) or type(problem).__name__
        raise DataError(f"{path}: cannot be read as {path.suffix} ({told}).") from problem


def read_numbers(path: Path, key: str = "") -> Float32:
    """Read an array as float32; NaN, infinite values and text are errors that say where."""
    array = read_array(path, key)
    where = f"{path} '{key}'" if key else str(path)
    if array.dtype.kind == "U":
        raise DataError(f"{where}: holds text where numbers are needed.")
    # Checked before the cast as well: a float64 beyond float32 turns infinite in the cast.
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float32)
    check_finite(values, where)
    return values


def read_texts(path: Path, key: str) -> tuple[str, ...]:
    """Read names (people, regions) as a flat tuple of text; numbers are written as text."""
    return tuple(str(item) for item in read_array(path, key).ravel())


def read_scalar(path: Path, key: str) -> float:
    """Read one number, such as the TR."""
    array = read_array(path, key)
    if array.size != 1 or array.dtype.kind == "U":
        raise DataError(f"{path}: '{key}' should be one number; its shape is {array.shape}.")
    # Through float32's shortest text, so that a stored 0.8f is 0.8 and not 0.800000012.
    return float(str(array.ravel()[0]))


def check_finite(values: Array, where: str) -> None:
    """Refuse NaN and infinite values, naming how many there are and the first.

    Raises
    ------
    DataError
        With the count and the index of the first.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{where}: {int(bad.sum())} of {bad.size} values are NaN or infinite, the first at "
            f"{first}. Clean or drop them."
        )


def check_same_length(lengths: dict[str, int], *, what: str, where: str) -> int:
    """Return the one length that several arrays share, or name those that differ."""
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"'{name}' has {n}" for name, n in lengths.items())
        raise DataError(f"{where}: {told} {what}; they should have as many.")
    return next(iter(lengths.values()))


def read_table(path: Path, columns: Sequence[str], *, text: bool = False) -> pd.DataFrame:
    """Read a .tsv or .csv table that must have `columns`; `n/a` is a missing value.

    With `text` every value is the text that stands there, and a missing one is empty.
    """
    path = require_file(Path(path), "table")
    try:
        separator = "," if path.suffix.lower() == ".csv" else "\t"
        kind = str if text else None
        table: pd.DataFrame = pd.read_csv(path, sep=separator, na_values="n/a", dtype=kind)
    except (ValueError, OSError) as problem:
        raise DataError(f"{path}: cannot be read as a table ({problem}).") from problem
    for column in columns:
        if column not in table.columns:
            raise DataError(f"{path}: no column '{column}'. It has: {', '.join(table.columns)}.")
    return table.fillna("") if text else table


def _pick(path: Path, keys: Iterable[str], key: str) -> str:
    keys = list(keys)
    if key in keys:
        return key
    if not key and len(keys) == 1:
        return keys[0]
    told = f"no key '{key}'" if key else "which key is meant is not said"
    near = did_you_mean(key, keys) if key else ""
    near = near if near.startswith(" Did") else ""
    raise DataError(f"{path}: {told}. It holds: {', '.join(keys) or 'nothing'}.{near}")


def _read_numpy(path: Path, key: str) -> Array:
    # Opened here, since numpy leaves the stream of a broken file open.
    with path.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            array: Array = loaded[_pick(path, loaded.files, key)]
            return array
    if key:
        raise DataError(f"{path}: holds one array without a name; leave the key '{key}' out.")
    return loaded


def _read_mat(path: Path, key: str) -> Array:
    if h5py.is_hdf5(path):
        return _read_hdf(path, key)
    top, *down = key.split("/")
    top = _pick(path, [name for name, _, _ in whosmat(path)], top)
    value = loadmat(path, variable_names=[top])[top]
    for step in down:
        fields = list(value.dtype.names or ())
        value = value[_pick(path, fields, step)]
        if value.size == 1 and value.dtype == object:
            value = value.item()
    return _plain_cell(value) if value.dtype == object else value


def _plain_cell(value: Array) -> Array:
    """Turn a cell array of strings into a text array; other cells stay objects, to be refused."""
    items = [np.asarray(item) for item in value.ravel()]
    if all(item.dtype.kind == "U" and item.size <= 1 for item in items):
        return np.array([str(item.item()) if item.size else "" for item in items])
    return value


def _read_hdf(path: Path, key: str) -> Array:
    with h5py.File(path, "r") as file:
        dataset = file[_pick(path, _listed(file), key.strip("/"))]
        matlab = dataset.attrs.get("MATLAB_class", b"").decode()
        array: Array = dataset[()] if dataset.dtype != object else _read_cells(file, dataset)
    if _is_text(array):
        return np.array([_decoded(item) for item in np.atleast_1d(array).ravel()])
    if matlab == "char":
        return np.array(["".join(chr(code) for code in array.T.ravel())])
    # MATLAB stores its columns first, so HDF5 shows its axes reversed.
    return array.T if matlab else np.asarray(array)


def _listed(file: Any) -> list[str]:
    keys: list[str] = []
    file.visititems(lambda name, item: keys.append(name) if _is_listed(name, item) else None)
    return keys


def _is_listed(name: str, item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and not name.startswith("#")


def _read_cells(file: Any, dataset: Any) -> Array:
    """Read variable-length text, or the strings that a MATLAB cell array refers to."""
    if h5py.check_ref_dtype(dataset.dtype) is None:
        return np.asarray(dataset.asstr()[()], dtype=object)
    cells = [file[reference][()] for reference in dataset[()].T.ravel()]
    return np.array(["".join(chr(int(c)) for c in cell.T.ravel()) for cell in cells], dtype=object)


def _is_text(array: Array) -> bool:
    return np.asarray(array).dtype.kind in "SO"


def _decoded(item: Any) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)


_READERS: dict[str, Callable[[Path, str], Array]] = {
    ".npz": _read_numpy,
    ".npy": _read_numpy,
    ".mat": _read_mat,
    ".h5": _read_hdf,
    ".hdf5": _read_hdf,
}
