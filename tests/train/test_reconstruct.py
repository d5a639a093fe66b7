from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.data.samples import Series
from brainreel.errors import CheckpointError
from brainreel.fmri.normalize import zscore_voxelwise
from brainreel.models.tff import TFFAutoencoderConfig, TFFConfig
from brainreel.train.begin import take_over
from brainreel.train.optim import OptimConfig
from brainreel.train.reconstruct import VolumesConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig

from ..contracts.cases_volumes import OVER_TIME, TINY
from ..data.volume_data import in_time, people
from .breaking import power_cut

DROPPING = {"encoder_dropout": 0.2, "decoder_dropout": 0.1}
SINGLE = TFFAutoencoderConfig.parse(TINY | DROPPING)
SEQUENCES = TFFConfig.parse(TINY | OVER_TIME | DROPPING | {"max_trs": 6})
TASK = VolumesConfig.parse({"windows": {"window_trs": 5, "batch_windows": 3}})


def job(folder: Path, *, series: Series | None = None, **changes: Any) -> Job:
    data = series or in_time(people(2))
    plain = {"max_epochs": 3, "progress": False, "accelerator": "cpu", "log_every_steps": 1}
    trainer = TrainerConfig.parse({**plain, **changes.pop("trainer", {})})
    optim = OptimConfig(name="adam", lr=changes.pop("lr", 0.003))
    job = Job(data, data.folds[0], SEQUENCES, optim, trainer, 0, folder)
    return replace(job, **changes)


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


def test_it_learns_and_keeps_its_curve(tmp_path: Path) -> None:
    TASK.fit(job(tmp_path, trainer={"max_epochs": 12}))
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    head = "epoch,step,lr,train_loss,validation_loss,validation_reconstruction"
    assert lines[0] == f"{head},validation_intensity"
    rows = [line.split(",") for line in lines[1:]]
    losses = [float(row[4]) for row in rows if row[4]]
    assert losses[-1] < 0.8 * losses[0]
    for row in rows:
        if row[4]:
            assert float(row[4]) == pytest.approx(float(row[5]) + float(row[6]), rel=1e-4)


@pytest.mark.parametrize("target", ["global", "voxel"])
def test_predictions_are_the_network_on_the_scale_of_the_data(target: str, tmp_path: Path) -> None:
    """Where the decoder gives its input back, prediction and measurement are one."""
    task = VolumesConfig.parse({**TASK.to_dict(), "loss": {"target": target, "perceptual": 0}})
    series = in_time(people(3), unseen=1)
    own = job(tmp_path, series=series, trainer={"max_epochs": 1})
    state = task.fit(own)
    view = ["global", "voxel"].index(target)
    echo = type("Echo", (torch.nn.Module,), {"forward": lambda self, views: views[:, :, view]})
    from_config = TFFConfig.build
    try:
        TFFConfig.build = lambda self, spec: echo()  # type: ignore[method-assign]
        found = task.predict(own, {k: v for k, v in state.items() if "network/" not in k})
    finally:
        TFFConfig.build = from_config  # type: ignore[method-assign]
    assert [p.subject for p in found] == ["sub-01", "sub-02", "sub-03"]
    for prediction in found:
        np.testing.assert_allclose(prediction.predicted, prediction.measured, atol=2e-4)
        assert prediction.predicted.shape[0] == 8
    segment = series.folds[0].test[0]
    expected = zscore_voxelwise(series.bold_of(segment), found[0].moments[0])
    np.testing.assert_allclose(found[0].measured, expected, atol=1e-6)
    assert abs(found[2].measured.mean()) < 0.5  # by the moments of the person's own run


def test_each_scan_of_a_new_person_has_its_own_scale(tmp_path: Path) -> None:
    known = people(3)
    other = replace(known[2].bold, data=2 * known[2].bold.data + 10)
    series = in_time([*known, replace(known[2], bold=other)], unseen=2)
    own = job(tmp_path, series=series, trainer={"max_epochs": 1})
    found = TASK.predict(own, TASK.fit(own))[2]
    assert (found.subject, found.n_segments) == ("sub-03", 2)
    for number, segment in enumerate(series.of_subject("sub-03", series.folds[0].test)):
        scale, rows = found.moments[number], found.segment == number
        undone = scale.mean + scale.std * found.measured[rows]
        np.testing.assert_allclose(undone, series.bold_of(segment), rtol=1e-5)


def test_a_restored_run_predicts_what_the_network_gives(tmp_path: Path) -> None:
    own = job(tmp_path)
    state = TASK.fit(own)
    found, again = (TASK.predict(own, state) for _ in range(2))
    for one, two in zip(found, again, strict=True):
        assert np.array_equal(one.predicted, two.predicted)
        assert np.isfinite(one.predicted).all()
    assert "reconstruction: the measured volumes went" in TASK.protocol()["predicted"]


def test_single_volumes_hand_their_weights_to_sequences_by_name(tmp_path: Path) -> None:
    single = VolumesConfig.parse({"windows": {"window_trs": 1, "batch_windows": 8}})
    first = single.fit(job(tmp_path / "one", model=SINGLE))
    still = job(tmp_path / "two", start=first, lr=1e-12, trainer={"max_epochs": 1})
    second = TASK.fit(still)
    shared = [name for name in first if name.startswith("network/")]
    assert shared
    for name in shared:
        np.testing.assert_allclose(second[name], first[name], atol=1e-6)
    assert any(name.startswith("network/transformer.") for name in second)


def test_weights_that_do_not_fit_are_named() -> None:
    spec = VolumesConfig().spec(job(Path()))
    network = SEQUENCES.build(spec)
    with pytest.raises(CheckpointError, match="there: has no weights that this network knows"):
        take_over(network, {"head.weight": torch.zeros(2)}, where="there")
    with pytest.raises(CheckpointError, match=r"decoder\.leave\.bias \(2,\) for \(1,\)"):
        take_over(network, {"decoder.leave.bias": torch.zeros(2)}, where="there")
    assert take_over(network, {}, where="there") == {}


def test_a_broken_run_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {"checkpoint_every_steps": 1}
    whole = TASK.fit(job(tmp_path / "whole", trainer=every))
    with power_cut(monkeypatch, step=4):
        TASK.fit(job(tmp_path / "broken", trainer=every))
    assert same(TASK.fit(job(tmp_path / "broken", trainer=every)), whole)
    with pytest.raises(CheckpointError, match="other settings or data"):
        TASK.fit(job(tmp_path / "broken", trainer=every, lr=0.1))
