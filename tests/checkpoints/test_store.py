from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from brainreel.checkpoints.store import (
    load_run,
    load_state,
    load_weights,
    save_run,
    save_weights,
)
from brainreel.errors import CheckpointError, OutputError
from brainreel.shapes import DataSpec

SPEC = DataSpec(subjects=("sub-01",), n_voxels=(4,), tr_s=1.5, frame_shape=(3, 8, 8))


def save(folder: Path) -> dict[str, Any]:
    state = {
        "a.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "view": torch.arange(12.0).reshape(3, 4).T[1:],
        "half": torch.tensor([1.5, 2.25], dtype=torch.bfloat16),
        "ridge/weights": np.random.default_rng(0).normal(size=(2, 3)),
        "ridge/alpha": np.array(10.0),
    }
    save_run(
        folder,
        {"seed": 1, "model": {"name": "encoding"}},
        SPEC,
        state,
        versions={"torch": "2"},
        digests={"data": "abc"},
    )
    return state


def test_a_run_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = save(tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.config == {"seed": 1, "model": {"name": "encoding"}}
    assert run.spec == SPEC
    assert run.versions == {"torch": "2"}
    assert run.digests["data"] == "abc"
    assert run.state.keys() == state.keys()
    for name, value in state.items():
        expected = value if isinstance(value, torch.Tensor) else torch.from_numpy(value)
        assert run.state[name].dtype == expected.dtype
        assert torch.equal(run.state[name], expected)
    arrays = run.arrays()
    assert np.array_equal(arrays["ridge/weights"], state["ridge/weights"])
    assert arrays["half"].tolist() == [1.5, 2.25]


def test_changed_weights_are_not_those_of_the_run(tmp_path: Path) -> None:
    save(tmp_path / "run")
    save_weights(tmp_path / "run" / "weights.safetensors", {"a.weight": torch.zeros(3, 4)})
    with pytest.raises(CheckpointError, match="is not the file that the fit wrote"):
        load_run(tmp_path / "run")


def test_a_folder_without_weights_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights\.safetensors in it, so it is no fitted"):
        load_run(tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brainreel.checkpoints.store.save_file", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


class Malicious:
    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sign,))


@pytest.mark.parametrize("how", ["pickle-2", "pickle-5", "torch", "torch-old"])
def test_a_pickle_is_refused_without_being_executed(tmp_path: Path, how: str) -> None:
    sign, path = tmp_path / "code-ran", tmp_path / "weights.pt"
    content = {"weights": Malicious(sign)}
    if how.startswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(how[-1])))
    with pytest.raises(CheckpointError, match="is a pickle, which can run code when it is read"):
        load_weights(path)
    assert not sign.exists()
    torch.load(path, weights_only=False) if how.startswith("torch") else pickle.loads(
        path.read_bytes()
    )
    assert sign.exists(), "the trap works"


@pytest.mark.parametrize("length", range(1, 90))
def test_no_safetensors_file_is_taken_for_a_pickle(tmp_path: Path, length: int) -> None:
    # A header of 128 bytes begins with 0x80, as pickles do.
    path = save_weights(tmp_path / "w.safetensors", {"x" * length: torch.ones(1)})
    assert torch.equal(load_weights(path)["x" * length], torch.ones(1))


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    path = save_weights(tmp_path / "w.safetensors", {"x": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=r"w\.safetensors: truncated or damaged"):
        load_weights(path)
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such file of weights"):
        load_weights(tmp_path / "gone.safetensors")


def test_every_tensor_that_does_not_fit_is_named() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = {**before, "0.weight": torch.zeros(4, 3), "new": torch.zeros(1)}
    del state["1.bias"]
    with pytest.raises(CheckpointError) as caught:
        load_state(net, state, where="run.safetensors")
    told = str(caught.value)
    assert told.startswith("run.safetensors: the weights do not fit the model. ")
    assert "1 missing: 1.bias" in told
    assert "1 not known to the model: new" in told
    assert "1 of another shape: 0.weight (4, 3) for (2, 3)" in told
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in before)


def test_many_faults_are_all_named() -> None:
    net = nn.ModuleList(nn.Linear(1, 1) for _ in range(10))
    with pytest.raises(CheckpointError, match=r"20 missing: 0\.weight.*9\.bias"):
        load_state(net, {}, where="w")
