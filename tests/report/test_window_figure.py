from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from brainreel.errors import DataError
from brainreel.layers.windowed import strip_lengths
from brainreel.report.window_figure import (
    ALL,
    NEAR,
    NOBODY,
    THE_CLASS,
    figure_window,
    looks_within,
)


def test_looks_are_those_of_the_formula() -> None:
    looks = looks_within(6, 4)
    for i in range(7):
        for j in range(7):
            near = NEAR if abs(i - j) <= 2 else NOBODY
            assert looks[i, j] == (ALL if i == 0 else THE_CLASS if j == 0 else near)


def test_the_blocks_drawn_cover_the_window_of_every_frame(tmp_path: Path, monkeypatch: Any) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **kwargs: Any) -> None:
        drawn.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    out = figure_window(tmp_path / "vtn.png")
    short, long = drawn[0].axes
    assert np.array_equal(short.images[0].get_array(), looks_within(24, 8))
    block, _ = strip_lengths(4)
    blocks = [p for p in long.patches if isinstance(p, Rectangle) and p.get_height() == block]
    assert len(blocks) == 160 // block
    for frame in range(160):
        inside = blocks[frame // block]
        assert inside.get_y() <= 1 + frame < inside.get_y() + inside.get_height()
        assert inside.get_x() <= 1 + max(0, frame - 4)
        assert inside.get_x() + inside.get_width() >= 1 + min(160, frame + 5)
    assert imread(out).std() > 0.02


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a picture\. End its name in \.png"):
        figure_window(tmp_path / "vtn.pdf")
    assert list(tmp_path.iterdir()) == []
