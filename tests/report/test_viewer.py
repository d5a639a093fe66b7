"""Volume by volume: sheets of pictures that a slider runs through."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from brainreel.fmri.bold import VoxelMask
from brainreel.report.page import write_report
from brainreel.report.runs import read_run
from brainreel.report.slices import OUTSIDE, axial_slices, three_slices
from brainreel.report.viewer import (
    MAX_VOLUMES,
    Sheet,
    Viewer,
    key_css,
    make_viewer,
    volume_sheet,
)

from .conftest import FILM_S, N_TRS, make_regions, make_ridge


def opened(sheet: Sheet) -> NDArray[np.uint8]:
    """(n, H, W, 4) pictures of a sheet."""
    head, _, text = sheet.uri.partition(",")
    assert head == "data:image/webp;base64"
    tall = imread(io.BytesIO(base64.b64decode(text)), format="webp")
    assert tall.shape == (sheet.n * sheet.height, sheet.width, 4)
    return tall.reshape(sheet.n, sheet.height, sheet.width, 4)


def viewer_of(folder: Path) -> Viewer:
    found = make_viewer(read_run(folder))
    assert found is not None
    return found


def out_of_mni(folder: Path) -> Path:
    """The same run in a space without a glass brain, which is drawn in no time."""
    index = folder / "predictions" / "index.json"
    entries = json.loads(index.read_text())
    index.write_text(json.dumps([{**entry, "space": "T1w"} for entry in entries]))
    return folder


def test_colours_are_linear_in_the_value_and_clear_outside() -> None:
    inside = np.random.default_rng(0).random((5, 6, 4)) < 0.6
    mask = VoxelMask(inside, np.eye(4))
    slices = axial_slices(mask, 3)
    values = np.linspace(-3, 3, 7)[:, None] + np.zeros((7, mask.n_voxels))
    pictures = opened(volume_sheet(values.astype(np.float32), slices, 2.0, 4))
    assert pictures.shape[1] == len(slices) + 1
    assert (pictures[:, -1, :, 3] == 0).all()
    shown = slices != OUTSIDE
    assert np.array_equal(pictures[0, :-1, :, 3] == 255, shown)
    for value, picture in zip(values[:, 0], pictures, strict=True):
        share = np.clip(np.round(4 * value / 2) / 4, -1, 1)
        colour = np.round(128 + share * np.array([112, 34, -98]))
        assert (picture[:-1][shown][:, :3] == colour).all()
    ends = "rgb(16 94 226), rgb(128 128 128), rgb(240 162 30)"
    assert key_css() == f"linear-gradient(to right, {ends})"


def test_what_the_browser_stretches_is_what_a_larger_prediction_would_be() -> None:
    """CSS: contrast(k) maps a colour c to 127.5 + k (c - 127.5)."""
    mask = VoxelMask(np.ones((3, 3, 1), bool), np.eye(4))
    slices = axial_slices(mask, 1)
    values = np.linspace(-0.5, 0.5, 9, dtype=np.float32)[None]
    plain, larger = (
        opened(volume_sheet(side, slices, 2.0, 100)).astype(float) for side in (values, 3 * values)
    )
    stretched = 127.5 + 3 * (plain[..., :3] - 127.5)
    assert stretched[0, :-1] == pytest.approx(larger[0, :-1, :, :3], abs=6)


def test_every_moment_is_told_and_shown(ridge_run: Path) -> None:
    viewer = viewer_of(ridge_run)
    assert len(viewer.told) == min(N_TRS, MAX_VOLUMES) == viewer.measured.n == viewer.predicted.n
    assert viewer.frames is not None
    assert viewer.frames.n == N_TRS
    run = read_run(ridge_run)
    who = viewer.caption.partition(",")[0]
    maps = next(item for item in run.maps if item.subject == who)
    arrays = dict(np.load(ridge_run / "predictions" / f"film_{who}.npz"))
    a, b = (arrays[side] - arrays[side].mean(axis=0) for side in ("predicted", "measured"))
    for at in (0, 40, N_TRS - 1):
        r = np.corrcoef(a[at], b[at])[0, 1]
        assert viewer.told[at].endswith(f"r over voxels {r:.3f}".replace("-", "−"))
    assert viewer.told[40].startswith(f"film 1:00 · volume 41 of {N_TRS}")
    scale = np.percentile(np.abs(b), 98)
    assert float(viewer.scale) == pytest.approx(scale, abs=0.051)
    assert viewer.stretch == pytest.approx(b.std() / a.std(), rel=0.05)
    # The voxel with the highest r stands where the slices meet, in the colour of its value.
    assert maps.mask is not None
    columns = three_slices(_mask(maps.mask), int(np.nanargmax(maps.r)))
    row, column = np.argwhere(columns == np.nanargmax(maps.r))[0]
    red = opened(viewer.measured)[:, row, column, 0].astype(float)
    share = np.clip(b[:, np.nanargmax(maps.r)] / float(viewer.scale), -1, 1)
    assert red == pytest.approx(128 + 112 * share, abs=112 / 15)


def _mask(path: Path) -> VoxelMask:
    image = nib.load(path)
    return VoxelMask(np.asarray(image.dataobj) > 0, np.asarray(image.affine))


def test_frames_end_with_the_film(film: Path, tmp_path: Path) -> None:
    folder = make_ridge(tmp_path / "run", film)
    late = folder / "predictions"
    for path in late.glob("film_*.npz"):
        arrays = dict(np.load(path))
        arrays["film_time_s"] = arrays["film_time_s"] + FILM_S - 30
        np.savez(path, **arrays)
    frames = opened(viewer_of(folder).frames)
    shown = frames[..., 3].all(axis=(1, 2))
    assert shown.tolist() == [True] * 20 + [False] * (N_TRS - 20)
    assert not frames[~shown][..., 3].any()


def test_a_film_that_was_moved_is_left_out_with_a_word(tmp_path: Path) -> None:
    folder = out_of_mni(make_ridge(tmp_path / "run", tmp_path / "moved.mp4"))
    viewer = viewer_of(folder)
    assert viewer.frames is None
    assert "The film moved.mp4 is not at hand, so no frames are shown." in viewer.caption
    text = write_report([folder], tmp_path / "page.html").read_text()
    assert "Volume by volume" in text
    assert 'class="strip"' not in text
    assert "On screen" not in text


def test_regions_have_no_volumes(tmp_path: Path) -> None:
    folder = make_regions(tmp_path / "regions", 5)
    assert make_viewer(read_run(folder)) is None
    assert "<script" not in write_report([folder], tmp_path / "page.html").read_text()


def test_a_prediction_that_never_changes_is_not_stretched(tmp_path: Path) -> None:
    folder = make_ridge(tmp_path / "run", None)
    for path in (folder / "predictions").glob("film_*.npz"):
        arrays = dict(np.load(path))
        arrays["predicted"][:] = 0.3
        np.savez(path, **arrays)
    viewer = viewer_of(folder)
    assert viewer.stretch == 0
    assert viewer.told[0] == f"time 0:00 · volume 1 of {N_TRS} · r over voxels 0.000"
    shown = opened(viewer.predicted)
    assert (shown[shown[..., 3] > 0][:, :3] == 128).all()


class _Viewers(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[str]] = []
        self.moments: list[int] = []
        self.sliders: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "data-told" in given:
            self.told.append(json.loads(given["data-told"] or ""))
        if "data-moment" in given:
            self.moments.append(int(given["data-moment"] or ""))
        if given.get("type") == "range":
            self.sliders.append(given)


def test_the_page_holds_all_that_the_slider_needs(film: Path, tmp_path: Path) -> None:
    folder = out_of_mni(make_ridge(tmp_path / "run", film))
    page = write_report([folder], tmp_path / "page.html")
    text = page.read_text()
    found = _Viewers()
    found.feed(text)
    assert found.told == [list(viewer_of(folder).told)]
    assert (found.moments[0], found.moments[-1], len(found.moments)) == (0, N_TRS - 1, 9)
    (slider,) = found.sliders
    assert (slider["min"], slider["max"], slider["value"]) == ("0", str(N_TRS - 1), str(N_TRS // 2))
    assert text.count("<script>") == 1
    assert page.stat().st_size < 3e6
