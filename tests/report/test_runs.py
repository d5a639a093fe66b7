from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.report.runs import read_arrays, read_run


def test_a_run_is_read_whole(deep_run: Path, film: Path) -> None:
    run = read_run(deep_run)
    assert run.name == "deep"
    assert run.card.title == "A small ViT: film to voxels"
    assert "name: encoding" in run.config
    assert run.logs is not None
    assert "train/loss" in run.logs
    assert [item.subject for item in run.of_kind("bold")] == ["sub-01", "sub-02", "sub-03"]
    assert run.predictions[0].film == film
    with np.load(deep_run / "predictions" / "maps_film_sub-02.npz") as stored:
        np.testing.assert_array_equal(run.maps[1].r, stored["r"])
        np.testing.assert_array_equal(run.maps[1].ceilings["exact"], stored["ceiling_exact"])
    assert not run.maps[0].regional


def test_regions_know_their_names(regions_run: Path) -> None:
    maps = read_run(regions_run).maps[0]
    assert maps.regional
    assert maps.names[:2] == ("region 1", "region 2")
    assert maps.mask is None


def test_folds_that_share_maps_give_them_once(ridge_run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(ridge_run, tmp_path / "run")
    index = copied / "predictions" / "index.json"
    text = index.read_text()
    index.write_text(text[:-1] + "," + text[1:])
    run = read_run(copied)
    assert len(run.predictions) == 6
    assert len(run.maps) == 3


def test_a_folder_that_is_no_run_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a run folder .*brainreel run RECIPE --out"):
        read_run(tmp_path)


def test_a_run_without_scores_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(DataError, match=r"not scored yet .*Run `brainreel evaluate .*` first"):
        read_run(tmp_path)


def test_scores_alone_are_enough(ridge_run: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "scorecard.json"):
        shutil.copy(ridge_run / name, tmp_path / name)
    run = read_run(tmp_path)
    assert (run.predictions, run.maps, run.logs) == ((), (), None)


def test_empty_logs_are_no_logs(ridge_run: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "scorecard.json"):
        shutil.copy(ridge_run / name, tmp_path / name)
    (tmp_path / "metrics.csv").write_text("")
    assert read_run(tmp_path).logs is None


def test_predictions_that_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, predicted=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"p\.npz: cannot be read"):
        read_arrays(path, ("predicted",))


def test_a_cut_file_and_a_missing_key_are_named(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, predicted=np.zeros(3))
    with pytest.raises(DataError, match=r"has no 'measured' \(it holds predicted\)"):
        read_arrays(path, ("predicted", "measured"))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cannot be read .*Run `brainreel evaluate` again"):
        read_arrays(path, ())
    with pytest.raises(DataError, match="no such predictions file"):
        read_arrays(tmp_path / "gone.npz", ())
