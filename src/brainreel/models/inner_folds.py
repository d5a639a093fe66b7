"""Folds inside the training rows, by which a ridge chooses its penalties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError

Rows = NDArray[np.intp]
FoldKind = Literal["auto", "runs", "blocks"]


def inner_folds(
    n_rows: int,
    groups: Sequence[object] | None = None,
    *,
    kind: FoldKind = "auto",
    n_folds: int = 5,
    gap_rows: int = 0,
) -> list[tuple[Rows, Rows]]:
    """Cut rows in time order into (train, validation) pairs; each row validates exactly once.

    Parameters
    ----------
    n_rows
        Number of training rows, in time order within each run.
    groups
        Run of each row (`n_rows` values), or None for one run.
    kind
        `"runs"` leaves out whole runs (put together where there are more than `n_folds`);
        `"blocks"` leaves out contiguous blocks of rows; `"auto"` takes runs from two runs on.
    n_folds
        Number of blocks, and the largest number of folds of runs.
    gap_rows
        Rows dropped from training on either side of a block, within its runs.

    Raises
    ------
    DataError
        If there are too few rows or runs.
    """
    codes = _codes(n_rows, groups)
    n_groups = int(codes.max()) + 1 if n_rows else 0
    if kind == "runs" or (kind == "auto" and n_groups > 1):
        return _run_folds(codes, n_groups, n_folds)
    return _block_folds(codes, n_folds, gap_rows)


def shuffled_folds(n_rows: int, n_folds: int, rng: np.random.Generator) -> list[tuple[Rows, Rows]]:
    """Cut rows without a time axis (trials) into random folds of nearly equal size."""
    if n_rows < 2 * n_folds:
        raise DataError(
            f"{n_rows} training trials cannot be cut into {n_folds} inner folds of two or more. "
            "Give more trials or a smaller n_folds."
        )
    parts = np.array_split(rng.permutation(n_rows), n_folds)
    return [(np.setdiff1d(np.arange(n_rows), part), np.sort(part)) for part in parts]


def _codes(n_rows: int, groups: Sequence[object] | None) -> Rows:
    if groups is None:
        return np.zeros(n_rows, dtype=np.intp)
    if len(groups) != n_rows:
        raise DataError(f"groups name {len(groups)} rows; there are {n_rows}. Give one per row.")
    number = {group: code for code, group in enumerate(dict.fromkeys(groups))}
    return np.array([number[group] for group in groups], dtype=np.intp)


def _run_folds(codes: Rows, n_groups: int, n_folds: int) -> list[tuple[Rows, Rows]]:
    if n_groups < 2:
        raise DataError(
            f"Leaving out whole runs needs two or more training runs; there is {n_groups}. "
            "Set the model's inner_folds to blocks."
        )
    folds = []
    for runs in np.array_split(np.arange(n_groups), min(n_groups, n_folds)):
        left_out = np.isin(codes, runs)
        folds.append((np.flatnonzero(~left_out), np.flatnonzero(left_out)))
    return folds


def _block_folds(codes: Rows, n_folds: int, gap_rows: int) -> list[tuple[Rows, Rows]]:
    rows = np.arange(codes.size)
    if codes.size < 2 * n_folds:
        raise DataError(
            f"{codes.size} training rows cannot be cut into {n_folds} inner folds of two or more. "
            "Give more rows or a smaller n_folds."
        )
    folds = []
    for block in np.array_split(rows, n_folds):
        near = (rows >= block[0] - gap_rows) & (rows <= block[-1] + gap_rows)
        dropped = near & np.isin(codes, codes[block])
        dropped[block] = True
        if dropped.all():
            raise DataError(
                f"A gap of {gap_rows} rows around inner blocks of {block.size} rows leaves "
                f"nothing of {codes.size} to train on. Make gap_rows smaller."
            )
        folds.append((np.flatnonzero(~dropped), block))
    return folds
