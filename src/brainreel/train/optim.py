"""Optimiser and schedule of the step size."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from brainreel.config import Config


class OptimConfig(Config):
    """How weights are moved; used by networks, not by ridge."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or stochastic gradient descent with momentum."""
    lr: float = Field(1e-3, gt=0)
    """Highest step size."""
    weight_decay: float = Field(0.05, ge=0)
    """Decay of weight matrices (AdamW: decoupled; SGD: in the gradient); biases, norms and tokens
    are not decayed."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW: memory of the gradient's mean and square."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD: memory of the step."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Step size after the warm-up: down to `final` along half a cosine, or as it is."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps in which the step size rises from 0."""
    final: float = Field(0.0, ge=0, le=1)
    """Share of `lr` that is left at the last step of the cosine."""


def lr_share(step: int, n_steps: int, config: OptimConfig) -> float:
    """Return the share of `lr` at a step: linear warm-up, then half a cosine.

    (s + 1) / w for the w warm-up steps; then final + (1 - final) (1 + cos(pi u)) / 2 with u going
    from 0 to 1 over the rest (Loshchilov & Hutter 2017, one period).
    """
    warmup = round(config.warmup * n_steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    through = min((step - warmup) / max(n_steps - warmup, 1), 1.0)
    return config.final + (1 - config.final) * (1 + math.cos(math.pi * through)) / 2


def decayed_names(model: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that decay: matrices and kernels, not vectors or tokens.

    Taken before a strategy shards the parameters, for a shard has lost its shape.
    """
    return frozenset(
        name for name, p in model.named_parameters() if sum(size > 1 for size in p.shape) >= 2
    )


def make_optimizer(model: nn.Module, config: OptimConfig, decayed: Collection[str]) -> Optimizer:
    """Return the optimiser over the trainable parameters; only those named in `decayed` decay."""
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [p for name, p in trainable if (_plain_name(name) in decayed) is decays],
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    if config.name == "adamw":
        return AdamW(groups, lr=config.lr, betas=config.betas)
    return SGD(groups, lr=config.lr, momentum=config.momentum)


def make_schedule(optimizer: Optimizer, config: OptimConfig, n_steps: int) -> LambdaLR:
    """Return the schedule that is stepped once per optimiser step."""
    return LambdaLR(optimizer, lambda step: lr_share(step, n_steps, config))


def _plain_name(name: str) -> str:
    """Remove what FSDP puts into the names of wrapped modules."""
    return name.replace("_fsdp_wrapped_module.", "")
