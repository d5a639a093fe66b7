"""What the pictures of a film look like, moment by moment: luminance, contrast, motion."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from brainreel.shapes import check_shape
from brainreel.stimulus.motion import N_DIRECTIONS, TEMPORAL_HZ, motion_energy

Float32 = NDArray[np.float32]

CELLS = (3, 3)
"""Rows and columns of the coarse grid: left, centre and right by upper, middle and lower."""

_CELL_NAMES = tuple(f"row{row + 1}_col{col + 1}" for row, col in product(*map(range, CELLS)))
LUMINANCE_COLUMNS = ("whole", *_CELL_NAMES)
CONTRAST_COLUMNS = ("whole", *_CELL_NAMES)
MOTION_COLUMNS = (
    *(
        f"{hertz:g}hz_{360 * direction // N_DIRECTIONS}deg"
        for hertz, direction in product(TEMPORAL_HZ, range(N_DIRECTIONS))
    ),
    "change",
)


def luminance(luma: Float32, rate_hz: float) -> Float32:
    """Return mean luma of the whole picture and of each cell of a 3 x 3 grid.

    y[f, c] = mean of x[f] over cell c

    Parameters
    ----------
    luma
        (F, H, W) in [0, 1]: the display's code values, not linear light.
    rate_hz
        Frames per second (not used).

    Returns
    -------
    (F, 10) float32 in [0, 1], columns `LUMINANCE_COLUMNS`.
    """
    return np.stack([part.mean(axis=(1, 2)) for part in _parts(luma)], axis=1)


def contrast(luma: Float32, rate_hz: float) -> Float32:
    """Return root-mean-square contrast of the whole picture and of each cell of a 3 x 3 grid.

    y[f, c] = standard deviation of x[f] over cell c

    Parameters
    ----------
    luma
        (F, H, W) in [0, 1].
    rate_hz
        Frames per second (not used).

    Returns
    -------
    (F, 10) float32 in [0, 0.5], columns `CONTRAST_COLUMNS`. Peli 1990.
    """
    return np.stack([part.std(axis=(1, 2)) for part in _parts(luma)], axis=1)


def motion(luma: Float32, rate_hz: float) -> Float32:
    """Return `motion_energy` in 8 directions at 2 temporal frequencies, and the plain change.

    change[f] = rate * mean over pixels of |x[f] - x[f - 1]|

    Parameters
    ----------
    luma
        (F, H, W) in [0, 1].
    rate_hz
        Frames per second.

    Returns
    -------
    (F, 17) float32, columns `MOTION_COLUMNS`: energies in luma, change in luma per second.
    """
    energy = motion_energy(luma, rate_hz)
    change = np.zeros((len(luma), 1), np.float32)
    change[1:, 0] = np.abs(np.diff(luma, axis=0)).mean(axis=(1, 2)) * rate_hz
    return np.concatenate([energy, change], axis=1)


def _parts(luma: Float32) -> Iterator[Float32]:
    """Yield the whole picture, then the cells row by row."""
    sizes = check_shape(luma, "F H W", name="luma")
    yield luma
    rows = np.linspace(0, sizes["H"], CELLS[0] + 1).round().astype(int)
    cols = np.linspace(0, sizes["W"], CELLS[1] + 1).round().astype(int)
    for row, col in product(*map(range, CELLS)):
        yield luma[:, rows[row] : rows[row + 1], cols[col] : cols[col + 1]]
