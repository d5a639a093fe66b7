from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from brainreel.checkpoints.store import save_run
from brainreel.errors import CheckpointError, ConfigError
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec
from brainreel.train.begin import begin_with, freeze, read_start

VIT = ViTConfig(width=8, depth=1, heads=2, patch=4)
SPEC = DataSpec(frame_shape=(3, 8, 8), classes={"label": 3})


def network(seed: int, n: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return VIT.build(DataSpec(frame_shape=(3, 8, 8), classes={"label": n} if n else {}))


def state(seed: int, n: int = 3) -> dict[str, Tensor]:
    return dict(network(seed, n).state_dict())


def same(a: dict[str, Tensor], b: dict[str, Tensor], *, heads: bool) -> bool:
    names = {name for name in b if heads or not name.startswith("head")}
    return all(torch.equal(a[name], b[name]) for name in names)


def test_all_weights_are_taken_where_classes_are_the_same() -> None:
    net, given = network(0), state(1)
    assert begin_with(net, given, same_classes=True, where="x") is False
    assert same(net.state_dict(), given, heads=True)


@pytest.mark.parametrize(("n", "same_classes"), [(5, None), (3, False), (0, None)])
def test_another_head_is_left_out_and_told(n: int, same_classes: bool | None) -> None:
    net, given = network(0), state(1, n)
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    assert begin_with(net, given, same_classes=same_classes, where="x") is True
    assert same(net.state_dict(), given | {"head.weight": fresh["head.weight"]}, heads=False)
    assert torch.equal(net.state_dict()["head.weight"], fresh["head.weight"])


def test_weights_for_one_part_leave_the_rest() -> None:
    whole = nn.ModuleDict({"backbone": network(0, 0), "above": nn.Linear(8, 3)})
    before = whole["above"].weight.clone()
    given = state(1, 4)
    assert begin_with(whole, given, part="backbone", where="x") is True
    assert same(whole["backbone"].state_dict(), given, heads=False)
    assert torch.equal(whole["above"].weight, before)
    with pytest.raises(ConfigError, match="no part 'bakcbone'. Did you mean 'backbone'"):
        begin_with(whole, given, part="bakcbone", where="x")


def test_anything_but_a_head_must_fit() -> None:
    given = state(1)
    given["patches.extra"] = given.pop("norm.weight")
    with pytest.raises(CheckpointError, match=r"run: .*1 missing: norm.weight; 1 not known"):
        begin_with(network(0), given, where="run")


def test_a_run_of_several_folds_is_read_by_the_name_of_the_fold(tmp_path: Path) -> None:
    one, two = state(1), state(2)
    both = {
        f"{fold}:network/{k}": v for fold, own in (("a", one), ("b", two)) for k, v in own.items()
    }
    save_run(tmp_path / "two", {}, SPEC, both)
    read, spec = read_start(tmp_path / "two", "b")
    assert same(read, two, heads=True)
    assert spec == SPEC
    with pytest.raises(CheckpointError, match=r"several folds \(a, b\), none called 'c'"):
        read_start(tmp_path / "two", "c")
    save_run(tmp_path / "one", {}, SPEC, {k: v for k, v in both.items() if k.startswith("a:")})
    assert same(read_start(tmp_path / "one", "whatever")[0], one, heads=True)


def test_imported_weights_and_runs_without_a_network(tmp_path: Path) -> None:
    save_run(tmp_path / "imported", {}, SPEC, state(1))
    assert same(read_start(tmp_path / "imported", "a")[0], state(1), heads=True)
    save_run(tmp_path / "ridge", {}, SPEC, {"a:sub-01/weights": torch.ones(3)})
    with pytest.raises(CheckpointError, match="ridge: holds no network"):
        read_start(tmp_path / "ridge", "a")
    with pytest.raises(CheckpointError, match="nowhere: no weights.safetensors in it"):
        read_start(tmp_path / "nowhere", "a")


def test_frozen_parts_do_not_learn() -> None:
    net = network(0)
    freeze(net, ("patches", "transformer.blocks.0"))
    learned = {name for name, p in net.named_parameters() if p.requires_grad}
    assert learned == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    with pytest.raises(ConfigError, match="no weights called 'patch'. Did you mean 'patches'"):
        freeze(net, ("patch",))
    with pytest.raises(ConfigError, match="nothing is left to learn"):
        freeze(net, ("norm", "head"))
