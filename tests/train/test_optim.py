from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from brainreel.train.optim import (
    OptimConfig,
    decayed_names,
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
