"""A time-first array on disk, written row by row and worked through column by column.

Plain reads and writes instead of a memory map: pages of a map count as memory of the process,
and 4 GB of them would break its limit.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.fmri.bold import Float32

_CHUNK_BYTES = 24 << 20  # of float32 at once; cleaning holds about eight times as much


def write_rows(path: Path, blocks: Iterable[Float32], n_trs: int, n_voxels: int) -> None:
    """Write (t, V) blocks one after the other as a (T, V) float32 `.npy` file."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (n_trs, n_voxels)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, "<f4").data)


def change_columns(
    path: Path, n_trs: int, n_voxels: int, change: Callable[[slice, Float32], Float32]
) -> None:
    """Replace each group of columns x of a (T, V) `.npy` file by `change(columns, x)`.

    Parameters
    ----------
    path
        Written by `write_rows`.
    n_trs, n_voxels
        T and V.
    change
        Gets the slice of columns and their (T, v) values, returns (T, v).
    """
    first = path.stat().st_size - 4 * n_trs * n_voxels
    descriptor = os.open(path, os.O_RDWR)
    try:
        for columns in column_groups(n_trs, n_voxels):
            values = np.empty((n_trs, columns.stop - columns.start), "<f4")
            starts = [first + 4 * (row * n_voxels + columns.start) for row in range(n_trs)]
            for row, start in enumerate(starts):
                _whole(os.preadv(descriptor, [values[row].data], start), values[row])
            changed: NDArray[np.float32] = np.ascontiguousarray(change(columns, values), "<f4")
            for row, start in enumerate(starts):
                _whole(os.pwrite(descriptor, changed[row].data, start), changed[row])
    finally:
        os.close(descriptor)


def _whole(n_bytes: int, row: Float32) -> None:
    if n_bytes != row.nbytes:
        raise OSError(errno.EIO, "a row could only be read or written in part")


def column_groups(n_trs: int, n_voxels: int) -> Iterator[slice]:
    """Yield slices of columns that fit in memory."""
    step = max(1, _CHUNK_BYTES // (4 * n_trs))
    for start in range(0, n_voxels, step):
        yield slice(start, min(start + step, n_voxels))
