from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.readers import read_sizes, read_tensors, without_prefix
from brainreel.checkpoints.store import save_weights
from brainreel.checkpoints.torch_files import read_torch
from brainreel.errors import CheckpointError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor] = STATE) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_every_kind_of_file_gives_the_same_tensors(tmp_path: Path) -> None:
    same(read_tensors(save_weights(tmp_path / "w.safetensors", STATE)))
    np.savez(tmp_path / "w.npz", **{name: value.numpy() for name, value in STATE.items()})
    same(read_tensors(tmp_path / "w.npz"))
    for name, wrapped in (
        ("w.pt", STATE),
        ("w.pth", {"epoch": 3, "model": STATE, "args": argparse.Namespace(lr=0.1)}),
        ("w.pyth", {"model_state": STATE, "optimizer_state": {"state": {}}}),
        ("w.ckpt", {"state_dict": STATE, "note": "text"}),
        ("w.ckpt", {"model_state_dict": STATE, "state": torch.zeros(2), "config": None}),
        ("pytorch_model.bin", STATE),
    ):
        torch.save(wrapped, tmp_path / name)
        same(read_tensors(tmp_path / name))
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    same(read_tensors(tmp_path / "old.pt"))
    same(read_tensors(tmp_path))  # a folder with pytorch_model.bin


def test_a_folder_in_shards_is_read_whole(tmp_path: Path) -> None:
    save_weights(tmp_path / "one.safetensors", {"a.weight": STATE["a.weight"]})
    save_weights(tmp_path / "two.safetensors", {"b": STATE["b"]})
    index = tmp_path / "model.safetensors.index.json"
    places = {"a.weight": "one.safetensors", "b": "two.safetensors"}
    index.write_text(json.dumps({"weight_map": places}))
    same(read_tensors(tmp_path))
    index.write_text(json.dumps({"weight_map": {**places, "c": "two.safetensors"}}))
    with pytest.raises(CheckpointError, match="the files lack 1 tensors of the index"):
        read_tensors(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../one.safetensors"}}))
    with pytest.raises(CheckpointError, match="lies outside the folder"):
        read_tensors(tmp_path)
    index.write_text("[]")
    with pytest.raises(CheckpointError, match="does not say which file holds which tensor"):
        read_tensors(tmp_path)


def test_every_float_becomes_float32(tmp_path: Path) -> None:
    kinds = (torch.float16, torch.bfloat16, torch.float64)
    state = {str(kind): torch.tensor([1.5, -2.0], dtype=kind) for kind in kinds}
    found = read_tensors(save_weights(tmp_path / "w.safetensors", state))
    assert all(value.dtype == torch.float32 for value in found.values())
    assert all(value.tolist() == [1.5, -2.0] for value in found.values())


class Malicious:
    """Unpickling it makes a file: the sign that code ran."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sign,))


@pytest.mark.parametrize("how", ["torch", "torch-old", "pickle", "npz"])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, how: str) -> None:
    sign = tmp_path / "code-ran"
    content = {"model": {"a": torch.zeros(1), "trap": Malicious(sign)}}
    path = tmp_path / ("w.npz" if how == "npz" else "w.pt")
    if how.startswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    elif how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        np.savez(path, a=np.array([Malicious(sign)], dtype=object))
    with pytest.raises(CheckpointError, match="such a file can run code"):
        read_tensors(path)
    assert not sign.exists()


def test_scores_of_numpy_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    scores = {"loss": np.float64(0.25), "step": np.int32(7), "best": np.bool_(True)}
    torch.save({"state_dict": STATE, **scores}, path)
    assert {key: value for key, value in read_torch(path).items() if key in scores} == scores
    same(read_tensors(path))
    torch.save({"state_dict": STATE, "text": np.str_("no number")}, path)
    with pytest.raises(CheckpointError, match="such a file can run code"):
        read_tensors(path)


def test_what_is_no_file_of_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file or folder of weights"):
        read_tensors(tmp_path / "gone.pt")
    with pytest.raises(CheckpointError, match=r"holds none of model\.safetensors"):
        read_tensors(tmp_path)
    with (tmp_path / "one.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(CheckpointError, match="is one array; weights are several, by name"):
        read_tensors(tmp_path / "one.npz")
    (tmp_path / "w.h5").touch()
    with pytest.raises(CheckpointError, match=r"from \.safetensors, .*; not '\.h5'"):
        read_tensors(tmp_path / "w.h5")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(CheckpointError, match="holds no tensors by name at its top or under state"):
        read_tensors(tmp_path / "empty.pt")
    save_weights(tmp_path / "none.safetensors", {})
    with pytest.raises(CheckpointError, match="holds no tensors"):
        read_tensors(tmp_path / "none.safetensors")


@pytest.mark.parametrize("name", ["w.pt", "w.npz", "w.safetensors"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    many = {"a": torch.arange(3000.0)}
    if name.endswith("pt"):
        torch.save(many, path)
    elif name.endswith("npz"):
        np.savez(path, a=many["a"].numpy())
    else:
        save_weights(path, many)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_tensors(path)


def test_sizes_are_those_of_the_folder_alone(tmp_path: Path) -> None:
    assert read_sizes(tmp_path) == {}
    (tmp_path / "config.json").write_text('{"width": 3}')
    (tmp_path / "preprocessor_config.json").write_text('{"mean": 1}')
    assert read_sizes(tmp_path) == {"width": 3, "preprocessor": {"mean": 1}}
    assert read_sizes(tmp_path / "w.safetensors") == {}


def test_the_first_prefix_that_is_there_goes() -> None:
    state = {"vit.a": torch.zeros(1), "head": torch.zeros(1)}
    assert list(without_prefix(state, "deit.", "vit.")) == ["a", "head"]
    assert list(without_prefix(state, "x.")) == ["vit.a", "head"]
