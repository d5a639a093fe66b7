from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from brainreel.errors import ConfigError, DataError
from brainreel.models.ast import ASTConfig
from brainreel.models.vit import ViTConfig
from brainreel.report.token_figures import figure_tokens
from brainreel.simulate.film import render_film


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with sound."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    render_film(path, 10, 0, frame_rate_hz=5, size=(32, 48))
    return path


def words(figure: Figure) -> list[str]:
    """All text of a figure."""
    inside = [text for axes in figure.axes for text in axes.texts]
    return [text.get_text() for text in [*figure.texts, *inside]]


def test_the_figure_counts_the_tokens(film: Path, tmp_path: Path, monkeypatch: Any) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **kwargs: Any) -> None:
        drawn.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    out = figure_tokens(
        film, tmp_path / "tokens.png", time_s=0.5, span_s=1.0, size=(32, 48),
        vit=ViTConfig(patch=(8, 16)), ast=ASTConfig(patch=16, stride=(10, 8), pooling="distilled"),
    )  # fmt: skip
    told = words(drawn[0])
    assert "A frame of 32 x 48 pixels" in told
    assert "4 x 3 patches of 8 x 16, side by side" in told
    assert "12 tokens of width 32" in told
    assert "1 s of sound: 100 steps x 128 mel bands" in told
    assert "9 x 15 patches of 16 x 16, one every 10 x 8 (dots)" in told
    assert f"{9 * 15 + 2} tokens of width 32" in told
    assert told.count("class") == told.count("distillation") == 1
    assert imread(out).std() > 0.1


def test_what_cannot_be_drawn_is_said(film: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a picture\. End its name in \.png"):
        figure_tokens(film, tmp_path / "tokens.txt")
    with pytest.raises(ConfigError, match="leaves gaps"):
        figure_tokens(film, tmp_path / "tokens.png", ast=ASTConfig(patch=8, stride=9))
    assert list(tmp_path.iterdir()) == []
