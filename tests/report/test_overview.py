from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from brainreel.errors import DataError
from brainreel.report.overview import figure_overview
from brainreel.report.style import PALETTE


def test_the_overview_holds_every_part(ridge_run: Path, pictures_run: Path, tmp_path: Path) -> None:
    out = figure_overview([pictures_run, ridge_run], tmp_path / "overview.png")
    picture = imread(out)
    assert picture.shape[:2] == (1080, 2960)
    paper = np.array([int(PALETTE["paper"][0][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    drawn = np.abs(picture[..., :3] - paper).max(axis=2) > 0.05
    parts = {
        "film": drawn[116:236, 100:1800],
        "courses": drawn[300:650, 100:1800],
        "map": drawn[150:700, 2000:2880],
        "pictures": drawn[870:1010, 80:2800],
    }
    for name, part in parts.items():
        assert part.mean() > 0.02, name


def test_without_pictures_the_overview_is_lower(ridge_run: Path, tmp_path: Path) -> None:
    picture = imread(figure_overview([ridge_run], tmp_path / "overview.png"))
    assert picture.shape[:2] == (800, 2960)


def test_an_overview_of_nothing_is_refused(ridge_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"overview\.txt: not a picture"):
        figure_overview([ridge_run], tmp_path / "overview.txt")
    for name in ("config.yaml", "scorecard.json"):
        shutil.copy(ridge_run / name, tmp_path / name)
    with pytest.raises(DataError, match="No run has predictions to draw"):
        figure_overview([tmp_path], tmp_path / "overview.png")
    assert not (tmp_path / "overview.png").exists()
