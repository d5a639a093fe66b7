from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Polygon

from brainreel.errors import DataError
from brainreel.layers.tubes import Tube
from brainreel.models.tubevit import TubeViTConfig
from brainreel.report.tube_figure import figure_tubes
from brainreel.shapes import DataSpec

TUBES = (
    Tube(kernel=(2, 4, 4), stride=(4, 8, 8)),
    Tube(kernel=(1, 8, 8), stride=(8, 8, 8)),
)


def test_every_box_is_drawn_and_every_token_counted(tmp_path: Path, monkeypatch: Any) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **kwargs: Any) -> None:
        drawn.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    spec = DataSpec(frame_shape=(3, 16, 16), clip_frames=8)
    out = figure_tubes(tmp_path / "tubes.png", TubeViTConfig(tubes=TUBES, width=24), spec)
    first, second, row = drawn[0].axes
    inside = [text.get_text() for axes in drawn[0].axes for text in axes.texts]
    told = [text.get_text() for text in drawn[0].texts]
    assert told[:4] == [
        "2 x 4 x 4 every 4 x 8 x 8", "2 x 2 x 2 = 8 tokens",
        "1 x 8 x 8 every 8 x 8 x 8", "1 x 2 x 2 = 4 tokens",
    ]  # fmt: skip
    # 8 boxes of 32 pixels and 4 of 64, of which 4 x 16 are in both, of 8 x 16 x 16.
    share = (8 * 32 + 4 * 64 - 4 * 16) / (8 * 16 * 16)
    assert told[4].startswith("13 tokens of width 24")
    assert f"{share:.0%} of the clip's pixels" in told[4]
    assert {"time: 8 frames", "16 rows", "16 columns", "class", "8", "4"} <= set(inside)
    # Five faces of the clip; three of each box, each on paper.
    faces = [sum(isinstance(p, Polygon) for p in axes.patches) for axes in (first, second)]
    assert faces == [5 + 8 * 6, 5 + 4 * 6]
    assert len(row.patches) == 3
    assert imread(out).std() > 0.02


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a picture\. End its name in \.png"):
        figure_tubes(tmp_path / "tubes.pdf")
    with pytest.raises(DataError, match="a clip of 4 frames is too short for a tube of 8"):
        figure_tubes(tmp_path / "tubes.png", spec=DataSpec(frame_shape=(3, 64, 64), clip_frames=4))
    assert list(tmp_path.iterdir()) == []
