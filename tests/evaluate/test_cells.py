"""One fit, four tests: each cell has its own scores, and what stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from brainreel.data.cell_splits import CELLS
from brainreel.data.samples import Series
from brainreel.evaluate.run import evaluate
from brainreel.evaluate.scorecard import Scorecard
from brainreel.fmri.normalize import Moments, zscore_voxelwise
from brainreel.train import fit as fitting
from brainreel.train.feature_ridge import FeatureRidgeConfig
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.predictions import AnyPrediction, bold_prediction
from brainreel.train.recipe import RunConfig
from brainreel.train.task import Job, State

T, V, NOISE = 200, 8, 0.8
SIGNAL = np.random.default_rng(0).standard_normal((T, V))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people who share a signal; the regressor is the signal's first voxel."""
    bold = SIGNAL + NOISE * np.random.default_rng(1).standard_normal((6, T, V)) + 3 * np.arange(V)
    file = tmp_path_factory.mktemp("cells") / "x.npz"
    np.savez(file, bold=bold, tr_s=2.0, drive=SIGNAL[:, 0])
    return file


def config(path: Path, **changes: object) -> RunConfig:
    content = {
        "data": {
            "name": "series",
            "path": str(path),
            "regressors": {"drive": "drive"},
            "group_mean": False,
            "splits": [{"name": "cells", "test": 0.4, "gap_s": 10, "n_test_subjects": 2}],
        },
        "model": {"name": "ridge"},
        "task": {"name": "feature_ridge", "last_delay_s": 2},
        "scoring": {"n_permutations": 49, "n_bootstrap": 60, "n_way": [2], "spatial": True},
    }
    return RunConfig.parse({**content, **changes})


class Oracle(FeatureRidgeConfig):
    """A task that knows the signal of everybody, and how noisy they are; with controls."""

    reads_out_people: ClassVar[bool] = False

    def control_names(self) -> tuple[str, ...]:
        return ("film_shuffled", "film_noise")

    def fit(self, job: Job) -> State:
        return {"nothing": np.zeros(1, np.float32)}

    def predict(self, job: Job, state: State) -> Sequence[AnyPrediction]:
        return [item for who in _people(job) for item in _known(job, who, None)]

    def predict_control(self, job: Job, state: State, control: str) -> Sequence[AnyPrediction]:
        return [_known(job, who, control)[0] for who in _people(job)]


def _people(job: Job) -> list[str]:
    assert isinstance(job.data, Series)
    tested = {job.data.recordings[s.recording].subject for s in job.fold.test}
    return [who for who in job.data.subjects if who in tested]


def _known(job: Job, who: str, control: str | None) -> list[AnyPrediction]:
    series = job.data
    assert isinstance(series, Series)
    segments = series.of_subject(who, job.fold.test)
    rng = np.random.default_rng([7, segments[0].recording])
    signal = SIGNAL + 3 * np.arange(V)
    whole = Moments.of(series.bold_of(segment) for segment in segments)
    if control == "film_noise":
        signal = rng.standard_normal((T, V))
    if control == "film_shuffled":
        signal = signal[rng.permutation(T)]
    told = [(signal[s.start_tr : s.stop_tr] - whole.mean) / whole.std for s in segments]
    values = [part.astype(np.float32) for part in told]
    measured = [zscore_voxelwise(series.bold_of(s), whole) for s in segments]
    spread = [np.tile(NOISE / whole.std, (s.n_trs, 1)).astype(np.float32) for s in segments]
    item = bold_prediction(
        series,
        job.fold,
        segments,
        values,
        measured,
        spread=spread,
        moments=[whole] * len(segments),
    )
    mean = np.concatenate(values)[:, :3]
    units = (mean, np.full_like(mean, 0.5), mean * [1, 1, 0], np.ones_like(mean))
    latent = LatentPrediction(
        item.split,
        item.fold,
        who,
        *(unit.astype(np.float32) for unit in units),
        item.segment,
        item.film_time_s,
    )
    return [item, latent]


@pytest.fixture(scope="module")
def card(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Scorecard:
    folder = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureRidgeConfig, "reads_out_people", False)
        for name in ("control_names", "fit", "predict", "predict_control"):
            patch.setattr(FeatureRidgeConfig, name, getattr(Oracle, name))
        fitting.fit(config(path), folder)
        return evaluate(folder)


def test_every_cell_has_its_own_scores(card: Scorecard) -> None:
    exact = 1 / np.sqrt(1 + NOISE**2)
    for cell in CELLS:
        assert card.scores[f"{cell}:r_median"] == pytest.approx(exact, abs=0.05)
        assert card.p_values[f"{cell}:r_median"] == 0.02
        assert card.scores[f"{cell}:coverage_50"] == pytest.approx(0.5, abs=0.03)
        assert card.scores[f"{cell}:coverage_90"] == pytest.approx(0.9, abs=0.02)
        low, high = card.intervals[f"{cell}:coverage_90"]
        assert low < 0.9 < high
        assert card.targets[f"{cell}:coverage_50"] == 0.5
        # Two unseen people are held against all six: everybody saw the film.
        assert card.shares[f"{cell}:r_reliable|inter_subject"] == pytest.approx(1.0, abs=0.15)
        assert card.scores[f"{cell}:spatial_r"] > card.baselines[f"{cell}:spatial_r"] > 0.9
    people = {
        key.rpartition("/")[2] for key in card.scores if key.startswith(f"{CELLS[0]}:r_median/")
    }
    assert sorted(people) == card.protocol["unseen_people"]


def test_the_cell_that_was_trained_on_is_stamped_and_no_other(card: Scorecard) -> None:
    assert card.protocol["fitted_on_test"] == ["seen_person-seen_film"]
    (told,) = card.protocol["folds"]
    assert "460 TRs train, over all people; tests: 160 TRs unseen_person-unseen_film" in told


def test_baselines_stand_beside(card: Scorecard) -> None:
    flat, others = card.beside["mean_volume"], card.beside["other_people"]
    for cell in CELLS:
        key = f"{cell}:r_median"
        assert (flat.scores[key], flat.p_values[key], flat.baselines[key]) == (0, 1, 0)
        assert flat.intervals[key] == (0, 0)
        assert flat.scores[f"{cell}:r2_median"] == pytest.approx(0, abs=1e-12)
        assert flat.scores[f"{cell}:identification_2way"] == pytest.approx(0.5)
        assert others.scores[key] == pytest.approx(card.ceilings[f"{cell}:inter_subject"], abs=0.1)
        assert others.p_values[key] == 0.02
        assert f"{cell}:coverage_50" not in others.scores


def test_what_is_withheld_takes_the_score_away(card: Scorecard) -> None:
    for control in ("film_shuffled", "film_noise"):
        beside = card.beside[f"control:{control}"]
        for cell in CELLS[:3]:
            key = f"{cell}:r_median"
            assert abs(beside.scores[key]) < 0.08
            assert beside.p_values[key] > 0.02
            _, high = beside.intervals[key]
            assert high < card.intervals[key][0]
            fall = card.scores[key] - beside.scores[key]
            assert beside.falls[key] == pytest.approx(fall)
            low, high = beside.intervals[f"{key}|fall"]
            assert 0 < low < fall < high
        # Training data has no control: nothing can be learned from one.
        assert not any(name.startswith(CELLS[3]) for name in beside.scores)


def test_latent_units_are_told_cell_by_cell(card: Scorecard) -> None:
    for cell in CELLS:
        told = card.data["latents"][cell]
        assert (told["n_units"], told["n_active_in_posterior"], told["n_active_in_prior"]) == (
            3,
            3,
            2,
        )
        assert len(told["kl_per_unit"]) == 3
        assert told["kl_per_volume"] == pytest.approx(sum(told["kl_per_unit"]))
        same = 0.5 * (0.25 - 1) - np.log(0.5)
        assert told["kl_per_unit"][:2] == pytest.approx([same, same], rel=1e-5)
        assert told["kl_per_unit"][2] > same


def test_the_files_of_all_cells_are_there_and_the_card_comes_back(
    card: Scorecard, path: Path, tmp_path: Path
) -> None:
    card.save(tmp_path / "card.json")
    again = Scorecard.load(tmp_path / "card.json")
    assert again.beside["mean_volume"].scores == card.beside["mean_volume"].scores
    assert again.beside["control:film_noise"].p_values == card.beside["control:film_noise"].p_values
    assert again.targets == card.targets
    one, other = (each.beside["control:film_noise"] for each in (again, card))
    assert one.falls == other.falls
    assert one.falls
    assert not any("coverage" in name or "/" in name for name in one.falls)
    assert card.falls == card.beside["mean_volume"].falls == {}


def test_controls_can_be_left_out(path: Path, tmp_path: Path) -> None:
    scoring = {**config(path).to_dict()["scoring"], "controls": False, "beside": []}
    split = {"name": "cells", "test": 0.4, "gap_s": 10, "tested": [CELLS[1]]}
    data = {**config(path).to_dict()["data"], "splits": [split]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureRidgeConfig, "control_names", Oracle.control_names)
        fitting.fit(config(path, data=data, scoring=scoring), tmp_path / "run")
        assert evaluate(tmp_path / "run").beside == {}


def test_ridge_stands_on_the_same_split(path: Path, tmp_path: Path) -> None:
    """Seen people alone; one cell still tells its name, so that it can stand beside others."""
    split = {"name": "cells", "test": 0.4, "gap_s": 10, "n_test_subjects": 2, "tested": [CELLS[1]]}
    data = {**config(path).to_dict()["data"], "splits": [split]}
    fitting.fit(config(path, data=data), tmp_path / "run")
    card = evaluate(tmp_path / "run")
    assert f"{CELLS[1]}:r_median" in card.scores
    assert f"{CELLS[1]}:r_median" in card.beside["other_people"].scores
    assert card.scores[f"{CELLS[1]}:spatial_r"] > 0.9
    assert card.protocol["fitted_on_test"] is False
    assert "unseen_people" not in card.protocol
    told = card.data["tests"][CELLS[1]]
    assert (told["n_people"], told["n_trs"], told["n_voxels"]) == (4, 320, 32)
    names = {file.name for file in (tmp_path / "run" / "predictions").iterdir()}
    assert {f"maps_{CELLS[1]}_sub-01.npz", f"{CELLS[1]}_sub-01.npz"} & names
