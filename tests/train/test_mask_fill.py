from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.data.loading import mixed_seed
from brainreel.data.samples import Fold, Series, Trials
from brainreel.data.voxel_rows import VoxelBatch
from brainreel.errors import CheckpointError, ConfigError, DataError
from brainreel.fmri.bold import Bold
from brainreel.layers.masking import keep_lowest
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.models.tff import TFFConfig
from brainreel.shapes import DataSpec
from brainreel.train.filling import fill, rounds
from brainreel.train.mask_fill import MaskConfig
from brainreel.train.mask_learning import MaskTask
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig

from ..data.volume_data import in_time, people
from .breaking import power_cut

SIZES = {
    "patch": 4,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "decoder_width": 16,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "mask_ratio": 0.5,
}
MODEL = SCMBMConfig.parse(SIZES)
TASK = MaskConfig(batch=6)


def shared(n: int) -> list[Any]:
    """Recordings in which all voxels of a person follow one course, up to a little noise."""
    found = []
    for number, record in enumerate(people(n)):
        rng = np.random.default_rng(number)
        shape = record.bold.data.shape
        data = rng.normal(size=(shape[0], 1)) + 0.2 * rng.normal(size=shape)
        bold = Bold((50 + data).astype(np.float32), record.bold.grid, record.bold.mask)
        found.append(replace(record, bold=bold))
    return found


def job(folder: Path, *, data: Series | Trials | None = None, **changes: Any) -> Job:
    data = data or in_time(people(2))
    plain = {"max_epochs": 3, "progress": False, "accelerator": "cpu", "log_every_steps": 1}
    trainer = TrainerConfig.parse({**plain, **changes.pop("trainer", {})})
    optim = OptimConfig(lr=changes.pop("lr", 0.003))
    made = Job(data, data.folds[0], MODEL, optim, trainer, 0, folder)
    return replace(made, **changes)


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


def test_what_is_shared_is_filled_in_for_people_who_took_no_part(tmp_path: Path) -> None:
    data = in_time(shared(4), unseen=1)
    own = job(tmp_path, data=data, lr=0.01, trainer={"max_epochs": 15, "clip_norm": None})
    found = TASK.predict(own, TASK.fit(own))
    assert [p.subject for p in found] == ["sub-01", "sub-02", "sub-03", "sub-04"]
    for prediction in found:
        r = [
            np.corrcoef(a, b)[0, 1]
            for a, b in zip(prediction.predicted.T, prediction.measured.T, strict=True)
        ]
        assert np.median(r) > 0.8
    head = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert head == "epoch,step,lr,train_loss,validation_loss,validation_filled"


@pytest.mark.parametrize("ratio", [0.1, 0.4, 0.5, 0.75, 0.9])
def test_every_patch_is_hidden_about_as_often_as_any_other(ratio: float) -> None:
    noise = rounds(11, ratio, torch.Generator().manual_seed(0))
    times = keep_lowest(noise, ratio).removed.sum(dim=0)
    assert times.min() >= 1
    assert times.max() - times.min() <= max(1, times.max() // 2)


def test_no_voxel_is_told_from_its_own_patch() -> None:
    """By gradients, in a person whose vector is wrapped round more than once."""
    torch.manual_seed(0)
    network = MODEL.build(DataSpec(("a", "b"), (21, 9))).eval()
    noise = rounds(network.encoder.n_patches, 0.5, torch.Generator().manual_seed(1))
    voxels = torch.randn(1, 9)

    def filled(rows: torch.Tensor) -> torch.Tensor:
        return fill.__wrapped__(network, rows, noise)  # with gradients

    sees = torch.autograd.functional.jacobian(filled, voxels)[0, :, 0].abs()
    patch = torch.arange(9) // 4
    own = patch[:, None] == patch
    assert (sees[own] == 0).all()
    assert (sees[~own] > 0).any()


def test_a_restored_run_fills_in_alike(tmp_path: Path) -> None:
    own = job(tmp_path)
    state = TASK.fit(own)
    one, two = (TASK.predict(own, state)[0] for _ in range(2))
    assert np.array_equal(one.predicted, two.predicted)
    assert "none" not in TASK.protocol()
    assert "hidden voxels" in TASK.protocol()["predicted"]


def test_trials_are_pretrained_on_but_not_scored(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    fold = Fold("a", "a", train_trials=tuple(range(16)), test_trials=(16, 17, 18, 19))
    own = job(tmp_path, data=Trials(voxels, None, None, (fold,)))
    state = TASK.fit(own)
    assert state["network/encoder.embed.weight"].shape == (16, 4)
    with pytest.raises(DataError, match="another task be the last of the stages"):
        TASK.predict(own, state)


def test_what_is_dropped_is_still_to_be_filled_in() -> None:
    """The error is of the vector as it was, though the network saw none of its voxels."""
    torch.manual_seed(0)
    network = MODEL.build(DataSpec(("a",), (20,))).eval()
    task = MaskTask(network, OptimConfig(), seed=0)
    whole, nothing = torch.randn(6, 20), torch.zeros(6, 20)
    batch = VoxelBatch(nothing, torch.ones(6, dtype=torch.bool), whole)
    generator = torch.Generator().manual_seed(mixed_seed(0, 0, 0))
    out = network(nothing, network.noise(6, generator))
    total, count = task._errors(batch, 0)[0]
    errors = (out.predicted - whole.reshape(6, 5, 4)) ** 2
    expected = errors[out.removed].mean()
    torch.testing.assert_close(total / count, expected)


def test_a_broken_run_with_changes_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {"checkpoint_every_steps": 1}
    task = MaskConfig(batch=6, voxel_dropout=0.2, interpolation=0.5)
    whole = task.fit(job(tmp_path / "whole", trainer=every))
    with power_cut(monkeypatch, step=8):
        task.fit(job(tmp_path / "broken", trainer=every))
    assert same(task.fit(job(tmp_path / "broken", trainer=every)), whole)
    assert not same(TASK.fit(job(tmp_path / "plain", trainer=every)), whole)


def stored(folder: Path, n_voxels: int = 20) -> Path:
    torch.manual_seed(5)
    spec = DataSpec(("all",), (n_voxels,))
    state = dict(MODEL.build(spec).state_dict())
    return save_imported(folder, Imported(MODEL, spec, state), origin="mind-vis")


def test_training_goes_on_from_weights_for_another_number_of_voxels(tmp_path: Path) -> None:
    task = MaskConfig(batch=6, start_from=stored(tmp_path / "start"))
    model = task.settled(SCMBMConfig.parse({"mask_ratio": 0.6}))
    assert model == MODEL.model_copy(update={"mask_ratio": 0.6})
    still = job(tmp_path / "run", model=model, lr=1e-12, trainer={"max_epochs": 1})
    state = task.fit(still)
    torch.manual_seed(5)
    first = MODEL.build(DataSpec(("all",), (20,))).state_dict()
    for name, value in first.items():
        if not name.endswith("positions.table"):
            np.testing.assert_allclose(state[f"network/{name}"], value, atol=1e-6)
    places = state["network/encoder.positions.table"]
    known = first["encoder.positions.table"].numpy()
    assert len(places) > len(known)
    assert all((row == known).all(axis=1).any() for row in places)
    second = MaskConfig(batch=6).fit(replace(still, start=state, folder=tmp_path / "two"))
    for name in ("network/encoder.embed.weight", "network/encoder.positions.table"):
        np.testing.assert_allclose(second[name], state[name], atol=1e-6)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    start = MaskConfig(start_from=stored(tmp_path / "start"))
    with pytest.raises(ConfigError, match=r"model\.width is 8, and the weights in .* are for 16"):
        start.settled(SCMBMConfig.parse({"width": 8}))
    with pytest.raises(CheckpointError, match="which is no SC-MBM"):
        start.settled(TFFConfig())
    pictures = MODEL.model_copy(update={"picture_features": (2, 3, 4)})
    with pytest.raises(ConfigError, match=r"model\.picture_features asks for .* nothing says of"):
        TASK.fit(job(tmp_path / "a", model=pictures))
    with pytest.raises(ConfigError, match="nothing is left to fill in"):
        TASK.fit(job(tmp_path / "a", model=MODEL.model_copy(update={"mask_ratio": 0.0})))
    with pytest.raises(DataError, match="mask cannot fit a model 'tff'"):
        TASK.fit(job(tmp_path / "a", model=TFFConfig()))


def test_a_broken_run_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {"checkpoint_every_steps": 1}
    whole = TASK.fit(job(tmp_path / "whole", trainer=every))
    with power_cut(monkeypatch, step=8):
        TASK.fit(job(tmp_path / "broken", trainer=every))
    assert same(TASK.fit(job(tmp_path / "broken", trainer=every)), whole)
    with pytest.raises(CheckpointError, match="other settings or data"):
        TASK.fit(job(tmp_path / "broken", trainer=every, lr=0.1))
