"""Folders in a published layout: what should be there, beside what was found."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.readers import check_finite, read_array
from brainreel.errors import DataError, did_you_mean

_SHOWN = 12


def require_tree(root: Path, needed: Sequence[str], tree: str) -> None:
    """Refuse a folder that lacks some of its files, showing what is expected and what is there.

    Parameters
    ----------
    root
        The folder that was given.
    needed
        Files and folders in it, relative to it.
    tree
        The whole layout, a line each, as the error shows it.

    Raises
    ------
    DataError
        One message with what is missing, what is expected, and what was found.
    """
    missing = [name for name in needed if not (root / name).exists()]
    if not missing:
        return
    raise DataError(
        f"{root}: {', '.join(missing[:3])}{', ...' * (len(missing) > 3)} "
        f"{'is' if len(missing) == 1 else 'are'} missing. Give the folder that holds\n"
        f"{_indented(tree)}\nFound there:\n{_indented(_listing(root))}"
    )


def _listing(root: Path) -> str:
    if not root.is_dir():
        return "no such folder"
    found = sorted(
        f"{path.relative_to(root)}{'/' * path.is_dir()}"
        for depth in ("*", "*/*")
        for path in root.glob(depth)
        if not path.name.startswith(".")
    )
    more = [f"... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "\n".join([*found[:_SHOWN], *more]) or "nothing"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip("\n").splitlines())


def read_keys(path: Path, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of a .npz; a missing key is an error that lists those there."""
    return {key: read_array(path, key) for key in keys}


def keys_of(path: Path) -> list[str]:
    """Return the names of the arrays in a .npz, without reading them."""
    try:
        with zipfile.ZipFile(path) as held:
            return [name.removesuffix(".npy") for name in held.namelist()]
    except (OSError, zipfile.BadZipFile) as problem:
        raise DataError(f"{path}: cannot be read as .npz ({problem}).") from problem


def as_voxels(values: NDArray[Any], where: str) -> NDArray[np.float32]:
    """Return (B, V) numbers as float32; other shapes, text, NaN and infinite values are errors."""
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise DataError(
            f"{where}: should be trials by voxels, and is {values.dtype} of {values.shape}."
        )
    with np.errstate(over="ignore"):
        voxels: NDArray[np.float32] = np.ascontiguousarray(values, dtype=np.float32)
    check_finite(voxels, where)
    return voxels


def chosen(asked: Sequence[str], there: Sequence[str], what: str, root: Path) -> list[str]:
    """Return what was asked for, or all; an unknown name is an error with the near one."""
    if not there:
        raise DataError(f"{root}: no {what} was found.")
    for name in asked:
        if name not in there:
            raise DataError(f"{root}: no {what} '{name}'.{did_you_mean(name, there)}")
    return list(asked) or list(there)
