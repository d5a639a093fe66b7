from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.store import save_run
from brainreel.data.people import People
from brainreel.data.samples import Fold, Recording, Segment
from brainreel.errors import CheckpointError, ConfigError, DataError
from brainreel.models.tff import TFFConfig, TFFLabelConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec
from brainreel.train.label import LabelConfig
from brainreel.train.label_learning import LabelObjective, window_outputs
from brainreel.train.label_predictions import LabelPrediction
from brainreel.train.optim import OptimConfig
from brainreel.train.reconstruct import VolumesConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig
from brainreel.train.volume_runs import restored, settled_volumes

from ..contracts.cases_volumes import OVER_TIME, TINY
from ..data.volume_data import people
from .breaking import power_cut

SIZES = TINY | OVER_TIME | {"max_trs": 7, "embedding": 16, "hidden": 32}
MODEL = TFFLabelConfig.parse(SIZES)
TASK = LabelConfig.parse({"windows": {"window_trs": 6, "batch_windows": 4}})
N_TRAIN, N_TEST = 12, 6


def marked(values: list[float], n_trs: int = 12) -> list[Recording]:
    """People in whom the lowest slice of the brain is the brighter, the higher their value."""
    found = []
    for recording, value in zip(people(len(values), n_trs=n_trs), values, strict=True):
        assert recording.bold.mask is not None
        below = np.argwhere(recording.bold.mask.inside)[:, 2] == 0
        noise = recording.bold.data - recording.bold.data.mean(axis=0)
        data = (noise + np.linspace(40, 100, len(below)) + 40 * value * below).astype(np.float32)
        found.append(replace(recording, bold=replace(recording.bold, data=data)))
    return found


def labelled(
    n_classes: int = 2, *, numbers: list[float] | None = None, validation: int = 0
) -> People:
    """The first people train, then some validate, the last are tested; classes take turns."""
    n = N_TRAIN + validation + N_TEST
    values = numbers or [float(i % n_classes) for i in range(n)]
    recordings = marked(values)
    sides = [N_TRAIN, N_TRAIN + validation, n]
    parts = [
        tuple(Segment(i, 0, recordings[i].bold.n_trs) for i in range(first, last))
        for first, last in zip([0, *sides], sides, strict=False)
    ]
    return People(
        tuple(recordings),
        (Fold("held_out", "held_out", *parts),),
        label="group" if numbers is None else "age",
        labels={item.subject: value for item, value in zip(recordings, values, strict=True)},
        classes=("a", "b", "c")[:n_classes] if numbers is None else (),
    )


def job(folder: Path, data: People | None = None, **changes: Any) -> Job:
    plain = {"max_epochs": 4, "progress": False, "accelerator": "cpu", "log_every_steps": 1}
    trainer = TrainerConfig.parse({**plain, **changes.pop("trainer", {})})
    optim = OptimConfig(name="adam", lr=changes.pop("lr", 0.003), weight_decay=0, warmup=0)
    data = data or labelled()
    return replace(Job(data, data.folds[0], MODEL, optim, trainer, 0, folder), **changes)


def told(task: LabelConfig, own: Job) -> LabelPrediction:
    (found,) = task.predict(own, task.fit(own))
    return found


def test_a_class_that_is_seen_is_told_of_new_people(tmp_path: Path) -> None:
    found = told(TASK, job(tmp_path, labelled(validation=2), trainer={"max_epochs": 12}))
    assert found.people == tuple(f"sub-{i:02}" for i in range(15, 21))
    assert found.targets.tolist() == [0, 1, 0, 1, 0, 1]
    second = found.scores[:, 1]
    assert second[found.targets == 1].min() > 0.8 > 0.2 > second[found.targets == 0].max()
    np.testing.assert_allclose(found.scores.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(found.prior, np.full((6, 2), 0.5))
    assert found.n_windows.tolist() == [2] * 6
    head, *rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().split()]
    assert head[3:] == ["train_loss", "validation_loss", "validation_accuracy"]
    assert float(rows[-1][-1]) == 1


def test_several_classes_are_told_apart(tmp_path: Path) -> None:
    found = told(TASK, job(tmp_path, labelled(3), trainer={"max_epochs": 12}))
    assert found.scores.shape == (6, 3)
    np.testing.assert_array_equal(found.scores.argmax(axis=1), found.targets)


@pytest.mark.parametrize("options", [{}, {"number_loss": "mse"}, {"number_scale": "raw"}])
def test_a_number_is_told_in_its_own_units(options: dict[str, str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = [float(x) for x in rng.uniform(0.2, 1.8, N_TRAIN + N_TEST)]
    task = LabelConfig.parse(TASK.to_dict() | options)
    found = told(task, job(tmp_path, labelled(numbers=numbers), trainer={"max_epochs": 12}))
    assert found.classes == ()
    np.testing.assert_array_equal(found.targets, numbers[N_TRAIN:])
    np.testing.assert_allclose(found.prior, np.mean(numbers[:N_TRAIN]))
    error = np.abs(found.scores[:, 0] - found.targets).mean()
    assert error < 0.8 * np.abs(found.targets - found.prior[:, 0]).mean()
    assert np.corrcoef(found.scores[:, 0], found.targets)[0, 1] > 0.8


def test_objectives_against_their_formulas() -> None:
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(7, 3)), rng.integers(0, 3, 7)
    logits = torch.tensor(z)
    several = LabelObjective(3)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(several.answers(logits), p)
    loss = several.each(logits, torch.tensor(y).float())
    np.testing.assert_allclose(loss, -np.log(p[np.arange(7), y]), rtol=1e-6)
    two, target = LabelObjective(2), torch.tensor(y > 0).float()
    p = 1 / (1 + np.exp(-z[:, 0]))
    np.testing.assert_allclose(two.answers(logits[:, :1]), np.stack([1 - p, p], 1))
    expected = -np.log(np.where(y > 0, p, 1 - p))
    np.testing.assert_allclose(two.each(logits[:, :1], target), expected, rtol=1e-5)
    number = LabelObjective(0, "l1", "standard", 30.0, 5.0)
    np.testing.assert_allclose(number.answers(logits[:, :1]), 30 + 5 * z[:, :1])
    ages = torch.full((7,), 40.0)
    np.testing.assert_allclose(number.each(logits[:, :1], ages), np.abs(z[:, 0] - 2), rtol=1e-5)
    raw = LabelObjective(0, "mse", "raw")
    leaky = np.where(z[:, 0] > 0, z[:, 0], 0.01 * z[:, 0])
    np.testing.assert_allclose(raw.answers(logits[:, :1])[:, 0], leaky)
    np.testing.assert_allclose(raw.each(logits[:, :1], ages), (leaky - 40) ** 2, rtol=1e-5)


def test_a_person_is_the_mean_over_all_windows_of_all_scans(tmp_path: Path) -> None:
    """Against a loop over windows; a scan shorter than a window is seen as long as it is."""
    data = labelled()
    short = marked([0.0] * 18, n_trs=5)[-1]
    again = replace(short, run="task-rest_run-2")
    long = marked([0.0] * 18, n_trs=20)[0]
    recordings = (*data.recordings[:-1], short, again, replace(long, subject="sub-01", run="two"))
    fold = data.folds[0]
    test = (*fold.test[:-1], Segment(17, 0, 5), Segment(18, 0, 5))
    fold = replace(fold, train=(*fold.train, Segment(19, 0, 20)), test=test)
    data = replace(data, recordings=recordings, folds=(fold,))
    own = job(tmp_path, data, trainer={"max_epochs": 1})
    state = TASK.fit(own)
    (found,) = TASK.predict(own, state)
    assert found.people[-1] == "sub-18"
    assert found.n_windows.tolist() == [2] * 6
    assert found.notes == (
        "held_out: scans shorter than a window of 6 volumes are seen as long as they are: sub-18 "
        "task-film (5), sub-18 task-rest_run-2 (5).",
    )
    module = TASK.data(own)
    network = restored(own, module, state)
    assert module.moments == {}
    for who, (first, last) in {"sub-17": (0, 12), "sub-18": (0, 5)}.items():
        number = [item.subject for item in recordings].index(who)
        views = module.volumes.views(number)(recordings[number].bold.data[first:last])
        starts = range(0, max(last - 5, 1), 6)
        with torch.no_grad():
            logits = [network(torch.from_numpy(views[None, t : t + 6])) for t in starts]
        expected = np.mean([torch.sigmoid(z.double()).item() for z in logits])
        np.testing.assert_allclose(found.scores[found.people.index(who), 1], expected, rtol=1e-5)


def test_windows_of_several_lengths_share_a_batch(tmp_path: Path) -> None:
    module = TASK.data(job(tmp_path))
    module.setup()
    (batch, *_) = module.loader(module.fold.test, training=False)
    network = MODEL.build(module.spec).eval()
    whole = window_outputs(network, batch)
    batch.counted[1, 3:] = False
    batch.counted[2] = False
    mixed = window_outputs(network, batch)
    expected = network(batch.views[1:2, :3])
    torch.testing.assert_close(mixed[1:2], expected)
    torch.testing.assert_close(mixed[[0, 2, 3]], whole[[0, 2, 3]])


def test_balanced_classes_count_alike(tmp_path: Path) -> None:
    data = labelled()
    rare = {who: float(i in (3, 7, 13)) for i, who in enumerate(data.labels)}
    own = job(tmp_path, replace(data, labels=rare))
    task = LabelConfig.parse(TASK.to_dict() | {"balance": True})
    weights = task._weights(own.data, own, data.subjects)  # type: ignore[arg-type]
    expected = [12 / (2 * 2) if rare[who] else 12 / (2 * 10) for who in data.subjects]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert told(task, own).scores[:, 1].mean() > told(TASK, own).scores[:, 1].mean()


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


def test_a_broken_run_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = MODEL.model_copy(update={"encoder_dropout": 0.3})
    every = {"model": dropping, "trainer": {"checkpoint_every_steps": 1, "max_epochs": 3}}
    whole = TASK.fit(job(tmp_path / "whole", **every))
    with power_cut(monkeypatch, step=8):
        TASK.fit(job(tmp_path / "broken", **every))
    assert same(TASK.fit(job(tmp_path / "broken", **every)), whole)


STILL = {"lr": 1e-12, "trainer": {"max_epochs": 1}}


def test_sequences_hand_their_weights_on_by_name(tmp_path: Path) -> None:
    volumes = VolumesConfig.parse({"windows": TASK.windows.to_dict(), "loss": {"perceptual": 0}})
    model = TFFConfig.parse(SIZES)
    first = volumes.fit(job(tmp_path / "one", model=model, trainer={"max_epochs": 1}))
    second = TASK.fit(job(tmp_path / "two", start=first, **STILL))
    shared = [name for name in second if name in first]
    assert any(name.startswith("network/transformer.") for name in shared)
    assert not any(name.startswith("network/decoder.") for name in second)
    for name in shared:
        np.testing.assert_allclose(second[name], first[name], atol=1e-6)


def imported(folder: Path, config: TFFLabelConfig = MODEL) -> Path:
    """Weights of three classes, as an import leaves them."""
    network = config.build(DataSpec(grid=(3, 4, 3), classes={"label": 3}))
    spec = DataSpec(grid=(3, 4, 3), classes={"label": 3})
    save_run(folder, {"model": config.to_dict()}, spec, network.state_dict())
    return folder


def test_an_import_hands_on_all_but_its_head_and_the_sizes(tmp_path: Path) -> None:
    folder = imported(tmp_path / "import")
    task = LabelConfig.parse(TASK.to_dict() | {"start_from": folder})
    fresh = TFFLabelConfig(encoder_dropout=0.1)
    settled = task.settled(fresh)
    assert settled == MODEL.model_copy(
        update={"encoder_dropout": 0.1, "decoder_dropout": 0.2, "transformer_dropout": 0.1}
    )
    volumes = VolumesConfig.parse({"start_from": folder, "windows": {"window_trs": 6}})
    assert volumes.settled(TFFConfig()).max_trs == 7  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="window_trs is 20, and model.max_trs=7 has positions"):
        VolumesConfig(start_from=folder).settled(TFFConfig())
    state = task.fit(job(tmp_path / "run", model=settled, **STILL))
    theirs = MODEL.build(DataSpec(grid=(3, 4, 3), classes={"label": 3})).state_dict().keys()
    assert {f"network/{name}" for name in theirs} == set(state)
    assert state["network/head.weight"].shape == (1, 16)
    assert task.protocol()["start_from"] == str(folder)


def test_what_cannot_be_learned_is_one_sentence(tmp_path: Path) -> None:
    data = labelled()
    with pytest.raises(DataError, match=r"none is named. Give data\.participants"):
        TASK.fit(job(tmp_path, replace(data, label="")))
    number = labelled(numbers=[31.0] * N_TRAIN + [float(i) for i in range(N_TEST)])
    with pytest.raises(DataError, match="everybody in training has 31 for 'age'"):
        TASK.fit(job(tmp_path, number))
    balanced = LabelConfig.parse(TASK.to_dict() | {"balance": True})
    with pytest.raises(ConfigError, match="'age' is a number. Set task.balance=false"):
        balanced.fit(job(tmp_path, labelled(numbers=[float(i) for i in range(18)])))
    with pytest.raises(DataError, match=r"6 volumes is longer than the 3 .* larger max_trs"):
        TASK.fit(job(tmp_path, model=MODEL.model_copy(update={"max_trs": 4})))
    folder = imported(tmp_path / "import")
    with pytest.raises(ConfigError, match=r"model\.layers is 3, and the weights in .* for 1"):
        settled_volumes(TFFLabelConfig(layers=3), folder, 20)
    save_run(tmp_path / "vit", {"model": ViTConfig().to_dict()}, DataSpec(), {"a": torch.ones(1)})
    with pytest.raises(CheckpointError, match="holds a model 'vit', which is no network of brain"):
        settled_volumes(TFFLabelConfig(), tmp_path / "vit", 20)
