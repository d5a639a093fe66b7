"""One fit with several tests: predictions by cell, weights that fit, people that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainreel.data.samples import Cell, Fold, Segment, Series
from brainreel.errors import DataError, LeakError
from brainreel.files import digest_json
from brainreel.train.cells import in_cells, unfitted
from brainreel.train.fit import fit, load_fitted
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import RunConfig
from brainreel.train.task import folds_digest

SEEN = ["seen_person-unseen_film", "seen_person-seen_film"]


def run_config(path: Path, **split: object) -> RunConfig:
    content = {
        "data": {
            "name": "series",
            "path": str(path),
            "regressors": {"drive": "drive"},
            "group_mean": False,
            "splits": [{"name": "cells", "test": 0.4, "gap_s": 6, **split}],
        },
        "model": {"name": "ridge"},
        "task": {"name": "feature_ridge", "last_delay_s": 2},
        "scoring": {"n_permutations": 20, "n_bootstrap": 20},
    }
    return RunConfig.parse(content)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people, 100 TRs, one regressor."""
    file = tmp_path_factory.mktemp("cells") / "x.npz"
    rng = np.random.default_rng(0)
    drive = rng.standard_normal(100)
    bold = rng.standard_normal((4, 100, 3)) + drive[:, None]
    np.savez(file, bold=bold, tr_s=2.0, drive=drive)
    return file


def test_predictions_stand_under_the_names_of_their_cells(path: Path, tmp_path: Path) -> None:
    config = run_config(path, tested=SEEN, test_subjects=["sub-02"])
    run = fit(config, tmp_path / "run")
    (fold,) = run.data.folds
    found = run.predict()
    assert [(p.split, p.subject) for p in found] == [
        (cell, who) for cell in SEEN for who in ("sub-01", "sub-03", "sub-04")
    ]
    assert isinstance(run.data, Series)
    for item in found:
        assert isinstance(item, Prediction)
        (cell,) = (cell for cell in fold.cells if cell.name == item.split)
        (segment,) = run.data.of_subject(item.subject, cell.test)
        trs = range(segment.start_tr, segment.stop_tr)
        assert item.film_time_s.tolist() == [2.0 * tr for tr in trs]
        raw = run.data.bold_of(segment)
        for v in range(3):
            assert np.corrcoef(raw[:, v], item.measured[:, v])[0, 1] == pytest.approx(1)
    again = load_fitted(tmp_path / "run").predict()
    for one, two in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.predicted, two.predicted)  # type: ignore[union-attr]


def test_a_readout_for_each_person_cannot_predict_unseen_people(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=(
        r"fold 'cells': sub-02 are tested and not in training, and task 'feature_ridge' learns a "
        r"readout for each person\. Test seen people alone: tested=\[seen_person-unseen_film\]"
    )):  # fmt: skip
        fit(run_config(path, test_subjects=["sub-02"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_earlier_stage_may_not_see_what_a_cell_keeps_unseen(path: Path, tmp_path: Path) -> None:
    content = run_config(path, tested=SEEN, test_subjects=["sub-02"]).to_dict()
    early = {**content["data"], "splits": [{"name": "time", "test": 0.1, "gap_s": 6}]}
    staged = RunConfig.parse({**content, "stages": [{"data": early}, {}]})
    with pytest.raises(LeakError, match="stage 1.*test 'seen_person-unseen_film'"):
        fit(staged, tmp_path / "run")


def test_a_control_that_a_task_does_not_have_is_named(path: Path, tmp_path: Path) -> None:
    run = fit(run_config(path, tested=SEEN), tmp_path / "run")
    with pytest.raises(DataError, match="task 'feature_ridge' has no control 'film_noise'"):
        run.predict_control("film_noise")
    run = fit(run_config(path, tested=SEEN[1:]), tmp_path / "other")
    assert run.predict_control("film_noise") == []


def test_controls_leave_out_the_training_data() -> None:
    train, late = Segment(0, 0, 50), Segment(0, 60, 90)
    cells = (Cell("a", (late,), False, True), Cell("b", (train,), False, False))
    fold = Fold("cells", "cells", (train,), test=(late, train), cells=cells)
    assert unfitted(fold).cells == cells[:1]
    assert unfitted(fold).test == (late,)
    plain = Fold("time", "time", (train,), test=(late,))
    assert unfitted(plain) == plain


def test_folds_without_cells_keep_their_digest() -> None:
    """As it was before there were cells: fitted runs must load."""
    fold = Fold("time", "time", (Segment(0, 0, 50),), test=(Segment(0, 60, 90),))
    known = {
        "split": "time",
        "name": "time",
        "train": [{"recording": 0, "start_tr": 0, "stop_tr": 50}],
        "validation": [],
        "test": [{"recording": 0, "start_tr": 60, "stop_tr": 90}],
        "train_trials": [],
        "test_trials": [],
        "validation_trials": [],
    }
    assert folds_digest([fold]) == digest_json([known])
    cell = Cell("a", fold.test, False, True)
    one, two = (
        Fold("time", "time", fold.train, test=fold.test, cells=(Cell("a", fold.test, seen, True),))
        for seen in (False, True)
    )
    assert one.cells == (cell,)
    assert len({folds_digest([item]) for item in (fold, one, two)}) == 3


def test_a_task_that_leaves_a_segment_out_is_caught(path: Path, tmp_path: Path) -> None:
    run = fit(run_config(path, tested=SEEN, test_subjects=["sub-02"]), tmp_path / "run")
    (fold,) = run.data.folds
    item = run.predict()[0]
    assert isinstance(item, Prediction)
    with pytest.raises(DataError, match="sub-01 has 2 test segments, and 1 were predicted"):
        in_cells(run.data, fold, [item])
