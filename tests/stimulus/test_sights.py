"""Luminance, contrast and change against their definitions."""

from __future__ import annotations

import numpy as np

from brainreel.stimulus.motion import motion_energy
from brainreel.stimulus.sights import (
    CONTRAST_COLUMNS,
    LUMINANCE_COLUMNS,
    MOTION_COLUMNS,
    contrast,
    luminance,
    motion,
)

LUMA = np.random.default_rng(0).random((6, 32, 48), dtype=np.float32)


def test_luminance_and_contrast_of_every_cell() -> None:
    light, spread = luminance(LUMA, 12.5), contrast(LUMA, 12.5)
    edges_y, edges_x = (0, 11, 21, 32), (0, 16, 32, 48)
    for frame in range(6):
        np.testing.assert_allclose(light[frame, 0], LUMA[frame].mean(), rtol=1e-5)
        np.testing.assert_allclose(spread[frame, 0], LUMA[frame].std(), rtol=1e-5)
        for row in range(3):
            for col in range(3):
                cell = LUMA[frame, edges_y[row] : edges_y[row + 1], edges_x[col] : edges_x[col + 1]]
                column = LUMINANCE_COLUMNS.index(f"row{row + 1}_col{col + 1}")
                np.testing.assert_allclose(light[frame, column], cell.mean(), rtol=1e-5)
                np.testing.assert_allclose(spread[frame, column], cell.std(), rtol=1e-4)


def test_motion_holds_energy_and_change() -> None:
    moved = motion(LUMA, 10.0)
    assert moved.shape[1] == len(MOTION_COLUMNS)
    np.testing.assert_array_equal(moved[:, :-1], motion_energy(LUMA, 10.0))
    assert moved[0, -1] == 0
    for frame in range(1, 6):
        change = np.abs(LUMA[frame] - LUMA[frame - 1]).mean() * 10
        np.testing.assert_allclose(moved[frame, -1], change, rtol=1e-5)


def test_columns_name_frequency_and_direction() -> None:
    assert MOTION_COLUMNS[:3] == ("2hz_0deg", "2hz_45deg", "2hz_90deg")
    assert MOTION_COLUMNS[8] == "4hz_0deg"
    assert len(CONTRAST_COLUMNS) == 10
