from __future__ import annotations

import pytest
import torch

from brainreel.checkpoints.remap import Drop, Rename, joined, listed, remap, transposed
from brainreel.errors import CheckpointError

PARTS = tuple(rf"layer\.(\d+)\.{part}\.(weight|bias)" for part in ("q", "k", "v"))


def test_every_tensor_is_renamed_converted_or_dropped() -> None:
    state = {
        "layer.10.v.bias": torch.full((1,), 3.0),
        "layer.10.k.bias": torch.full((1,), 2.0),
        "layer.10.q.bias": torch.full((1,), 1.0),
        "layer.1.q.bias": torch.full((1,), 4.0),
        "layer.1.k.bias": torch.full((1,), 5.0),
        "layer.1.v.bias": torch.full((1,), 6.0),
        "kernel": torch.arange(6.0).reshape(2, 3),
        "as_it_is": torch.ones(2),
        "counter": torch.tensor(3),
    }
    rules = [
        Rename(PARTS, r"blocks.\1.qkv.\2", joined),
        Rename("kernel", "linear.weight", transposed),
        Drop("counter|unused", "counts steps of the training"),
        Rename("as_(it)_is", r"\1"),
    ]
    made = remap(state, rules, where="w")
    assert {name: value.tolist() for name, value in made.state.items()} == {
        "blocks.10.qkv.bias": [1, 2, 3],
        "blocks.1.qkv.bias": [4, 5, 6],
        "linear.weight": [[0, 3], [1, 4], [2, 5]],
        "it": [1, 1],
    }
    assert made.dropped == {"counter": "counts steps of the training"}


def test_the_first_rule_that_fits_counts_and_names_fit_as_a_whole() -> None:
    state = {"a": torch.zeros(1), "aa": torch.ones(1)}
    made = remap(state, [Rename("a", "x"), Rename("a+", r"y")], where="w")
    assert made.state == {"x": state["a"], "y": state["aa"]}


def test_unknown_names_are_listed() -> None:
    state = {f"t{i}": torch.zeros(1) for i in range(14)}
    with pytest.raises(CheckpointError) as caught:
        remap(state, [Rename("t0", "x"), Drop("t1", "why")], where="net.pt")
    assert str(caught.value) == (
        "net.pt: 12 of 14 tensors are not known: t2, t3, t4, t5, t6, t7, t8, t9, t10, t11 "
        "and 2 more. Check that the file is of the origin that was named."
    )
    assert listed(["a", "b"]) == "a, b"


def test_a_tensor_without_its_companions_is_named() -> None:
    state = {"layer.0.q.bias": torch.zeros(1), "layer.0.v.bias": torch.zeros(1)}
    with pytest.raises(
        CheckpointError,
        match=r"layer\.0\.q\.bias, layer\.0\.v\.bias lacks its companions: b\.0 is made of 3",
    ):
        remap(state, [Rename(PARTS, r"b.\1", joined)], where="w")


def test_two_tensors_of_one_name_are_refused() -> None:
    state = {"old.a": torch.zeros(1), "new.a": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"both old\.a and new\.a would become a\. The file"):
        remap(state, [Rename(r"(?:old|new)\.(.*)", r"\1")], where="w")
    with pytest.raises(CheckpointError, match="two tensors would become a"):
        remap(state, [Rename(r"old\.a", "a"), Rename(r"new\.a", "a")], where="w")


def test_a_shape_that_cannot_be_converted_is_named() -> None:
    state = {"kernel": torch.zeros(2, 3, 4)}
    with pytest.raises(CheckpointError, match=r"of another shape than can be used: kernel \(2, 3"):
        remap(state, [Rename("kernel", "weight", transposed)], where="w")
