from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from brainreel.models.mbt import MBTConfig
from brainreel.models.vit import ViTConfig
from brainreel.models.vtn import VTNConfig
from brainreel.shapes import DataSpec
from brainreel.train.optim import (
    OptimConfig,
    decayed_names,
    layer_depths,
    lr_share,
    make_optimizer,
    make_schedule,
)


def test_schedule_equals_pytorchs_warmup_and_cosine() -> None:
    config = OptimConfig(lr=0.5, warmup=0.2, final=0.1)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = make_schedule(optimizer, config, 50)
    seen = []
    for _ in range(50):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    witness = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(witness, 40, eta_min=0.05)
    expected = [0.05 * (step + 1) for step in range(10)]
    for _ in range(40):
        expected.append(witness.param_groups[0]["lr"])
        witness.step()
        cosine.step()
    assert seen == pytest.approx(expected)


def test_schedule_without_warmup_or_decline() -> None:
    assert lr_share(0, 100, OptimConfig(warmup=0)) == 1
    assert lr_share(99, 100, OptimConfig(schedule="constant")) == 1
    assert lr_share(200, 100, OptimConfig(final=0.25)) == pytest.approx(0.25)
    middle = lr_share(50, 100, OptimConfig(warmup=0))
    assert middle == pytest.approx((1 + math.cos(math.pi / 2)) / 2)


def test_steps_fall_to_a_tenth_as_pytorchs_do() -> None:
    config = OptimConfig(name="sgd", lr=1e-3, schedule="steps", drops=(0.52, 0.96), warmup=0)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    witness = torch.optim.lr_scheduler.MultiStepLR(optimizer, [13, 24], gamma=0.1)
    for step in range(25):
        assert 1e-3 * lr_share(step, 25, config) == pytest.approx(witness.get_last_lr()[0])
        optimizer.step()
        witness.step()


def test_stairs_are_pytorchs_down_to_the_lowest() -> None:
    config = OptimConfig(schedule="stairs", stair=0.5, stair_steps=4, final=0.1, warmup=0)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    witness = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.5)
    for step in range(20):
        assert lr_share(step, 20, config) == pytest.approx(max(0.1, witness.get_last_lr()[0]))
        optimizer.step()
        witness.step()


def test_adam_decays_in_the_gradient_as_pytorchs() -> None:
    nets = [nn.Linear(3, 2, bias=False) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    config = OptimConfig(name="adam", lr=0.1, weight_decay=0.3)
    ours = make_optimizer(nets[0], config, decayed_names(nets[0]))
    witness = torch.optim.Adam(nets[1].parameters(), lr=0.1, weight_decay=0.3)
    for net, optimizer in zip(nets, (ours, witness), strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
    assert torch.equal(nets[0].weight, nets[1].weight)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.linear = nn.Linear(4, 3)
        self.norm = nn.LayerNorm(3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_only_trainable_matrices_decay(name: str) -> None:
    net = Net()
    config = OptimConfig(name=name, lr=0.1, weight_decay=0.3, betas=(0.5, 0.6), momentum=0.7)
    decayed = decayed_names(net)
    assert decayed == {"linear.weight", "frozen.weight"}
    optimizer = make_optimizer(net, config, decayed)
    told = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    expected = {
        "token": 0,
        "linear.weight": 0.3,
        "linear.bias": 0,
        "norm.weight": 0,
        "norm.bias": 0,
    }
    assert told == {id(p): expected[n] for n, p in net.named_parameters() if n in expected}
    group = optimizer.param_groups[0]
    assert group["betas"] == (0.5, 0.6) if name == "adamw" else group["momentum"] == 0.7


class Stack(nn.Module):
    """Patches, blocks, norm; a token of its own, which is registered first."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(4))
        self.patches = nn.Linear(2, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(n))
        self.norm = nn.LayerNorm(4)


def biases(depths: dict[str, int]) -> dict[str, int]:
    return {name: depth for name, depth in depths.items() if not name.endswith("weight")}


def test_depths_count_the_layers_above() -> None:
    net = nn.Module()
    net.low, net.head = Stack(2), nn.Linear(4, 3)
    assert biases(layer_depths(net)) == {
        "low.token": 3,
        "low.patches.bias": 3,
        "low.blocks.0.bias": 2,
        "low.blocks.1.bias": 1,
        "low.norm.bias": 0,
        "head.bias": 0,
    }
    assert set(layer_depths(Net()).values()) == {0}


def test_stacks_run_side_by_side_unless_told_to_follow() -> None:
    net = nn.Module()
    net.low, net.high, net.head = Stack(3), Stack(1), nn.Linear(4, 3)
    beside = layer_depths(net)
    assert (beside["low.blocks.2.bias"], beside["high.blocks.0.bias"]) == (1, 1)
    net.stages = ("low", "high")
    told = layer_depths(nn.ModuleDict({"model": net}))
    assert told["model.low.patches.bias"] == 5
    assert [told[f"model.low.blocks.{i}.bias"] for i in range(3)] == [4, 3, 2]
    assert (told["model.high.blocks.0.bias"], told["model.head.bias"]) == (1, 0)


def test_depths_of_the_networks_here() -> None:
    spec = DataSpec(
        frame_shape=(3, 16, 16), clip_frames=2, sound_shape=(1, 32, 16), classes={"label": 3}
    )
    vit = layer_depths(ViTConfig(depth=3).build(spec))
    assert (vit["patches.project.weight"], vit["head.weight"], vit["norm.weight"]) == (4, 0, 0)
    assert vit["transformer.blocks.2.attention.qkv.weight"] == 1
    vtn = layer_depths(VTNConfig(depth=2, frame=ViTConfig(depth=3)).build(spec))
    frame = [vtn[f"frame.transformer.blocks.{i}.attention.qkv.weight"] for i in range(3)]
    # The last layer over time, which the class token alone leaves, is level with the head.
    assert frame == [4, 3, 2]
    assert vtn["temporal.transformer.blocks.0.attention.qkv.weight"] == 1
    assert {depth for name, depth in vtn.items() if name.startswith("head")} == {0}
    mbt = MBTConfig(depth=3, fusion_layer=1, patch=8, sound_patch=(8, 8)).build(spec)
    found = layer_depths(mbt)
    assert {found[name] for name in found if name.startswith("head")} == {0}
    last = [found[name] for name in found if "blocks.2." in name]
    assert last
    assert set(last) == {1}


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_each_layer_steps_by_a_share_of_the_one_above(name: str) -> None:
    net = nn.Module()
    net.low, net.head = Stack(2), nn.Linear(4, 3)
    config = OptimConfig(name=name, lr=0.1, layer_decay=0.5, warmup=0.5, weight_decay=0.2)
    optimizer = make_optimizer(net, config, decayed_names(net), layer_depths(net))
    make_schedule(optimizer, config, 10)  # its first step is a fifth of the warm-up
    told = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    lr = {n: told[id(p)] for n, p in net.named_parameters()}
    assert lr["head.weight"] == lr["low.norm.bias"] == pytest.approx(0.02)
    assert lr["low.blocks.1.weight"] == pytest.approx(0.01)
    assert lr["low.blocks.0.bias"] == pytest.approx(0.005)
    assert lr["low.token"] == lr["low.patches.weight"] == pytest.approx(0.0025)
    even = make_optimizer(net, OptimConfig(lr=0.1), decayed_names(net), layer_depths(net))
    assert [group["lr"] for group in even.param_groups] == [0.1, 0.1]
