from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainreel.errors import DataError, ShapeError
from brainreel.files import read_json
from brainreel.train.class_predictions import ClassPrediction
from brainreel.train.prediction_files import load_predictions, save_predictions

RNG = np.random.default_rng(0)


def prediction(**changed: Any) -> ClassPrediction:
    given = {
        "split": "given",
        "fold": "given",
        "subject": "",
        "scores": RNG.random((4, 5)).astype(np.float32),
        "targets": np.array([[1, 0, -1, -1, -1], [0, 1, 0, 1, 0]] * 2, dtype=np.int8),
        "prior": np.full(5, 0.2, dtype=np.float32),
        "items": ("a.mp4", "b.mp4", "c é.mp4", "d.mp4"),
        "n_views": np.array([3, 3, 2, 3]),
        "classes": {"verb": ("open", "close"), "noun": ("door", "tap", "pan")},
        "several": frozenset({"noun"}),
        "unread": ("e.mp4",),
        "notes": ("one was lost",),
    }
    return ClassPrediction(**{**given, **changed})


def test_it_survives_the_run_folder(tmp_path: Path) -> None:
    before = prediction()
    save_predictions(
        tmp_path, [before, replace(before, fold="two", unread=(), several=frozenset())]
    )
    assert [entry["file"] for entry in read_json(tmp_path / "index.json")] == [
        "given.npz",
        "two.npz",
    ]
    after, second = load_predictions(tmp_path)
    assert isinstance(after, ClassPrediction)
    for name in ("scores", "targets", "prior", "n_views"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
    for name in ("split", "fold", "subject", "items", "classes", "several", "unread", "notes"):
        assert getattr(after, name) == getattr(before, name)
    assert (second.fold, second.unread, second.several) == ("two", (), frozenset())


def test_columns_of_a_label() -> None:
    assert prediction().columns("noun") == slice(2, 5)
    with pytest.raises(DataError, match="no label 'adverb'. Known: verb, noun"):
        prediction().columns("adverb")


def test_a_network_that_blew_up_is_told() -> None:
    with pytest.raises(DataError, match="fold 'given': the network gave NaN"):
        prediction(scores=np.full((4, 5), np.nan, dtype=np.float32))


def test_other_sizes_name_the_axis() -> None:
    with pytest.raises(ShapeError, match="targets has 4 along axis K"):
        prediction(targets=np.zeros((4, 4), dtype=np.int8))


def test_a_file_without_classes_is_told(tmp_path: Path) -> None:
    save_predictions(tmp_path, [prediction()])
    np.savez(tmp_path / "given.npz", scores=np.zeros((2, 2)))
    with pytest.raises(DataError, match="given.npz: is no file of predictions"):
        load_predictions(tmp_path)
