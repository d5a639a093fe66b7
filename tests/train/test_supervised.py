from __future__ import annotations

import csv
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy

from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from brainreel.fmri.bold import Bold
from brainreel.metrics.correlation import pearson_r
from brainreel.models.encoding import EncodingConfig
from brainreel.models.ridge import RidgeConfig
from brainreel.train.film_network import SupervisedConfig
from brainreel.train.optim import OptimConfig
from brainreel.train.supervised import build_network, predict_supervised
from brainreel.train.task import Job
from brainreel.train.trainer import TrainerConfig, clip_gradients, is_first_process


def known_series(tiny: ModuleType, films: Path) -> Series:
    """Two people whose voxels follow the film's brightness two TRs before, with known noise."""
    given = tiny.make_series(films)
    data = tiny.make_data(films)
    data.setup()
    rng = np.random.default_rng(4)
    recordings = []
    for number, old in enumerate(given.recordings):
        strip = data.strips[data.strip_of[number]]
        level = strip.part(slice(0, old.bold.n_trs))["frames"].mean(axis=(1, 2, 3, 4))
        signal = (level - 128) / 40
        delayed = np.concatenate([np.zeros(2), signal[:-2]])
        bold = 50 + 3 * delayed[:, None] * np.ones(old.bold.n_voxels)
        noisy = (bold + 0.3 * rng.normal(size=bold.shape)).astype(np.float32)
        recordings.append(
            Recording(old.subject, old.run, old.stimulus, Bold(noisy, old.bold.grid), old.film)
        )
    whole = tuple(Segment(i, 0, tiny.N_TRS) for i in range(4))
    fold = Fold("films", "two", train=whole[:2], test=whole[2:])
    return Series(tuple(recordings), (fold,))


PIXELS = EncodingConfig.parse(
    {
        "backbone": {"name": "pixels", "cells": 1},
        "features": 3,
        "hrf_window_s": 3,
        "dropout": 0.0,
    }
)


def job(tiny: ModuleType, films: Path, folder: Path, series: Series, **given: Any) -> Job:
    settings: dict[str, Any] = {
        "model": PIXELS,
        "optim": OptimConfig(lr=0.03, weight_decay=0.0),
        "trainer": TrainerConfig.parse({**tiny.TRAINER, "max_epochs": 60}),
    }
    return Job(series, series.folds[0], seed=1, folder=folder, **{**settings, **given})


@pytest.fixture(scope="module")
def fitted(
    tiny: ModuleType, films: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SupervisedConfig, Job, dict[str, Any]]:
    series = known_series(tiny, films)
    task = SupervisedConfig(windows=tiny.WINDOWS, cache=films / "cache")
    made = job(tiny, films, tmp_path_factory.mktemp("run"), series)
    return task, made, task.fit(made)


def test_a_known_delayed_response_is_predicted_on_a_film_never_seen(fitted: Any) -> None:
    task, made, state = fitted
    predictions = task.predict(made, state)
    assert [item.subject for item in predictions] == ["sub-01", "sub-02"]
    for item, n_voxels in zip(predictions, (5, 3), strict=True):
        assert item.predicted.shape == item.measured.shape == (28, n_voxels)
        assert np.median(pearson_r(item.predicted, item.measured)) > 0.9


def test_measured_is_in_units_of_the_training_part(fitted: Any) -> None:
    task, made, state = fitted
    seen = made.data.recordings[0].bold.data.astype(np.float64)
    tested = made.data.recordings[2].bold.data
    expected = (tested - seen.mean(axis=0)) / seen.std(axis=0)
    got = task.predict(made, state)[0].measured
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_every_tr_is_predicted_as_if_its_window_were_alone(
    fitted: Any, tiny: ModuleType, films: Path
) -> None:
    task, made, state = fitted
    whole = task.predict(made, state)[0].predicted
    longer = SupervisedConfig(
        windows=tiny.WINDOWS.model_copy(update={"window_trs": 28}), cache=task.cache
    )
    at_once = longer.predict(made, state)[0].predicted
    np.testing.assert_allclose(at_once, whole, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    fitted: Any, tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    task, made, _ = fitted
    short = TrainerConfig.parse({**tiny.TRAINER, "max_steps": 2})
    states = [
        task.fit(job(tiny, films, tmp_path / name, made.data, trainer=short)) for name in "ab"
    ]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    other = Job(made.data, made.fold, made.model, made.optim, short, seed=2, folder=tmp_path / "c")
    assert not np.array_equal(
        task.fit(other)["network/project.weight"], states[0]["network/project.weight"]
    )


def test_weights_handed_on_are_where_training_begins(
    fitted: Any, tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    task, made, state = fitted
    frozen = OptimConfig(lr=1e-12, weight_decay=0)
    short = TrainerConfig.parse({**tiny.TRAINER, "max_steps": 1})
    made = job(tiny, films, tmp_path, made.data, optim=frozen, trainer=short, start=state)
    again = task.fit(made)
    for name, value in state.items():
        np.testing.assert_allclose(again[name], value, atol=1e-8)


def test_learning_curves_say_what_happened(tiny: ModuleType, films: Path, tmp_path: Path) -> None:
    tiny.fit(tmp_path, films, max_epochs=2, log_every_steps=2)
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    trained = [row for row in rows if row["train_loss"]]
    validated = [row for row in rows if row["validation_loss"]]
    assert [row["step"] for row in trained] == ["2", "4", "6", "8"]
    assert [(row["epoch"], row["step"]) for row in validated] == [("0", "4"), ("1", "8")]
    assert all(-1 <= float(row["validation_r"]) <= 1 for row in validated)


def test_validation_loss_is_that_of_the_predictions(
    tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    weights = tiny.fit(tmp_path, films, max_epochs=1)
    data = tiny.make_data(films)
    data.setup()
    network = build_network(tiny.MODEL, data, 0)
    network.load_state_dict(weights)
    predicted = predict_supervised(network, data, data.fold.validation)
    errors = [
        (values - data.bold(s.recording)[s.start_tr : s.stop_tr]).ravel()
        for s, values in predicted.items()
    ]
    told = (tmp_path / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert float(told[4]) == pytest.approx(np.mean(np.concatenate(errors) ** 2), rel=1e-4)


def test_training_stops_when_validation_does_not_improve_and_keeps_the_best(
    tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    # BOLD is noise here: after some epochs the validation loss rises.
    stopped = tiny.fit(tmp_path / "stop", films, max_epochs=40, patience=2)
    lines = (tmp_path / "stop" / "metrics.csv").read_text().splitlines()[1:]
    losses = [float(line.split(",")[4]) for line in lines if line.split(",")[4]]
    assert len(losses) < 40
    assert losses.index(min(losses)) == len(losses) - 3
    n_best = losses.index(min(losses)) + 1
    best = tiny.fit(tmp_path / "best", films, max_epochs=40, max_steps=4 * n_best)
    assert stopped.keys() == best.keys()


def test_clipping_shortens_the_step(tiny: ModuleType, films: Path, tmp_path: Path) -> None:
    sgd = OptimConfig(name="sgd", lr=1.0, weight_decay=0, warmup=0, schedule="constant", momentum=0)
    data = tiny.make_data(films)
    first = build_network(tiny.STILL, data, 5).state_dict()
    given = {"model": tiny.STILL, "optim": sgd, "max_steps": 1, "keep": "last"}
    after = tiny.fit(tmp_path, films, clip_norm=0.01, **given)
    moved = torch.cat([(after[name] - first[name]).flatten() for name in first])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


def test_accumulated_batches_make_one_step(tiny: ModuleType, films: Path, tmp_path: Path) -> None:
    tiny.fit(tmp_path, films, max_epochs=1, accumulate=2)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[-1].split(",")[1] == "2"


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"deterministic": True}])
def test_precision_and_determinism_are_options(
    tiny: ModuleType, films: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    plain = tiny.fit(tmp_path / "plain", films, max_epochs=1)
    other = tiny.fit(tmp_path / "other", films, max_epochs=1, **options)
    same = all(torch.equal(plain[name], other[name]) for name in plain)
    assert same == ("deterministic" in options)
    assert all(value.dtype == torch.float32 for value in other.values())
    for name in plain:
        torch.testing.assert_close(other[name], plain[name], atol=0.1, rtol=0.1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_correlation_is_another_loss(
    fitted: Any, tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    task, made, _ = fitted
    config = SupervisedConfig(windows=task.windows, cache=task.cache, loss="correlation")
    made = job(tiny, films, tmp_path, made.data)
    predictions = config.predict(made, config.fit(made))
    assert np.median(pearson_r(predictions[0].predicted, predictions[0].measured)) > 0.9


def test_wrong_models_weights_and_options_are_refused(
    fitted: Any, tiny: ModuleType, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, made, state = fitted
    with pytest.raises(DataError, match="supervised cannot fit a model 'ridge'"):
        task.fit(job(tiny, films, tmp_path, made.data, model=RidgeConfig()))
    partial = {name: value for name, value in state.items() if name != "network/project.bias"}
    with pytest.raises(CheckpointError, match=r"fold 'two'.*1 missing: project\.bias"):
        task.predict(made, partial)
    with pytest.raises(ConfigError, match="several devices need strategy=ddp"):
        TrainerConfig.parse({"devices": 2})
    with pytest.raises(ConfigError, match="give max_epochs or max_steps"):
        TrainerConfig.parse({"max_epochs": None})
    with pytest.raises(ValueError, match="cannot use data 'trials'; it uses films"):
        task.check_fits("trials", "encoding")
    monkeypatch.setattr("importlib.import_module", _nothing_installed)
    for logger in ("tensorboard", "wandb"):
        with pytest.raises(MissingExtraError, match=rf"pip install 'brainreel\[{logger}\]'"):
            tiny.fit(tmp_path, films, logger=logger)


def _nothing_installed(name: str) -> None:
    raise ModuleNotFoundError(name)


def test_only_the_first_process_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert is_first_process()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_process()


def test_training_warns_of_nothing(tiny: ModuleType, films: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tiny.fit(tmp_path, films, max_epochs=1)
    assert [str(item.message) for item in caught] == []


def test_under_fsdp_the_shards_clip_together() -> None:
    # FSDP needs GPUs; what can be held here is that its own clipping is what is called.
    calls: list[Any] = []

    class Fake:
        trainer = None
        strategy = FSDPStrategy.__new__(FSDPStrategy)
        model = None

        def clip_grad_norm_(self, longest: float) -> None:
            calls.append(longest)

        def clip_gradients(self, *_: Any, **__: Any) -> None:
            calls.append("each shard alone")

    fake = Fake()
    fake.trainer = fake.model = fake
    clip_gradients(fake, None, 0.5)
    clip_gradients(fake, None, None)
    assert calls == [0.5]
