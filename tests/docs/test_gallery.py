"""The gallery reads like examples, and its quickest script runs to its figures."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.docs.conftest import ROOT

SCRIPTS = sorted((ROOT / "gallery").glob("[0-9]*.py"))


def run(script: Path, *arguments: str, **environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key != "BRAINREEL_DATA"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        env=kept | {"MPLBACKEND": "agg"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_at_least_three() -> None:
    assert len(SCRIPTS) >= 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_has_a_title_cells_with_prose_and_an_output_folder(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    title, underline, *_ = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert len(title) > 10
    assert re.fullmatch(rf"={{{len(title)}}}", underline)
    cells = text.split("\n# %%\n")[1:]
    assert len(cells) >= 4
    assert all(cell.startswith("# ") for cell in cells)
    assert '"--out"' in text
    assert str(script.relative_to(ROOT)) in text


def test_pictures_are_read_from_a_simulated_person(tmp_path: Path) -> None:
    told = run(SCRIPTS[2], "--out", str(tmp_path / "figures"))
    assert "Data: pictures, a simulated person" in told
    figures = sorted((tmp_path / "figures").glob("*.png"))
    assert [path.stem for path in figures] == ["03_digits_identification", "03_digits_pictures"]
    for path in figures:
        picture = imread(path)
        assert picture.shape[1] == 1880
        assert np.ptp(picture) > 0.9
    found = re.search(r"seen (\S+), with others of its class (\S+), of another class (\S+)", told)
    assert found is not None
    own, same, other = (float(value) for value in found.groups())
    assert own > same + 0.05 > other + 0.1


@pytest.mark.slow
def test_digits_are_read_from_the_recording(real_data: Path, tmp_path: Path) -> None:
    told = run(SCRIPTS[2], "--out", str(tmp_path), BRAINREEL_DATA=str(real_data))
    assert "Data: handwritten digits, a real recording" in told
    found = re.search(r"^pixel_correlation +(\S+)", told, flags=re.M)
    assert found is not None
    assert float(found[1]) > 0.75
