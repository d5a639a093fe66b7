"""Optimiser and schedule of the step size."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from brainreel.config import Config


class OptimConfig(Config):
    """How weights are moved; used by networks, not by ridge."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """AdamW, Adam, or stochastic gradient descent with momentum."""
    lr: float = Field(1e-3, gt=0)
    """Highest step size."""
    weight_decay: float = Field(0.05, ge=0)
    """Decay of weight matrices (AdamW: decoupled; Adam and SGD: in the gradient); biases, norms and
    tokens are not decayed."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW and Adam: memory of the gradient's mean and square."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD: memory of the step."""
    schedule: Literal["cosine", "steps", "stairs", "constant"] = "cosine"
    """Step size after the warm-up: down to `final` along half a cosine, a tenth after each of
    `drops`, `stair` times as much every `stair_steps` steps, or as it is."""
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Shares of all steps after which the step size falls to a tenth; for the schedule steps."""
    stair: float = Field(0.97, gt=0, le=1)
    """Step size after a stair over that before it, down to `final`; for the schedule stairs."""
    stair_steps: int = Field(500, ge=1)
    """Steps of the optimiser on each stair (TFF: 500 on single volumes, 1000 on sequences)."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps in which the step size rises from 0."""
    final: float = Field(0.0, ge=0, le=1)
    """Share of `lr` that is left at the last step of the cosine, or on the lowest stair."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Step size of a layer over that of the layer above it; below 1, pretrained weights near the
    input move less (0.65 to 0.9 for fine-tuning)."""


def lr_share(step: int, n_steps: int, config: OptimConfig) -> float:
    """Return the share of `lr` at a step: linear warm-up, then half a cosine, drops or stairs.

    (s + 1) / w for the w warm-up steps; then final + (1 - final) (1 + cos(pi u)) / 2 with u going
    from 0 to 1 over the rest (Loshchilov & Hutter 2017, one period), 10^-d after d drops, or
    max(final, stair^k) on stair k = 0, 1, ...
    """
    warmup = round(config.warmup * n_steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "steps":
        return float(0.1 ** sum(step >= round(drop * n_steps) for drop in config.drops))
    if config.schedule == "stairs":
        return max(config.final, config.stair ** ((step - warmup) // config.stair_steps))
    through = min((step - warmup) / max(n_steps - warmup, 1), 1.0)
    return config.final + (1 - config.final) * (1 + math.cos(math.pi * through)) / 2


def decayed_names(model: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that decay: matrices and kernels, not vectors or tokens.

    Taken before a strategy shards the parameters, for a shard has lost its shape.
    """
    return frozenset(
        name for name, p in model.named_parameters() if sum(size > 1 for size in p.shape) >= 2
    )


def layer_depths(model: nn.Module) -> dict[str, int]:
    """Return how many layers lie above each parameter: 0 for the head.

    Layers are the members of lists called `blocks`. What is registered before the first of them
    (patches, positions, tokens) lies below it, what comes after the last (norm, head) at the top,
    what comes between counts with the block before it. Several lists run side by side, level at
    the top, unless a module names in `stages` the parts that follow each other, from the bottom.
    """
    names = [_plain_name(name) for name, _ in model.named_parameters()]
    found = [_BLOCK.match(name) for name in names]
    lengths: dict[str, int] = {}
    for match in filter(None, found):
        lengths[match[1]] = max(lengths.get(match[1], 0), int(match[2]) + 1)
    stages = _stages(model)
    tops: dict[str, int] = {}
    floor = 0
    for stage in range(len(stages) + 1):
        own = {stack: n for stack, n in lengths.items() if _stage_of(stack, stages) == stage}
        floor += max(own.values(), default=0)
        tops |= dict.fromkeys(own, floor)
    levels, level = [], 0
    for block in found:
        if block is not None:
            level = tops[block[1]] - lengths[block[1]] + int(block[2]) + 1
        levels.append(level)
    last = max((i for i, match in enumerate(found) if match), default=-1)
    levels[last + 1 :] = [floor + 1] * (len(names) - last - 1)
    return {name: floor + 1 - level for name, level in zip(names, levels, strict=True)}


def make_optimizer(
    model: nn.Module,
    config: OptimConfig,
    decayed: Collection[str],
    depths: Mapping[str, int] | None = None,
) -> Optimizer:
    """Return the optimiser over the trainable parameters.

    Parameters
    ----------
    model
        Whose parameters.
    config
        Options; a parameter with d layers above it gets lr * layer_decay^d.
    decayed
        Names of the parameters that decay; see `decayed_names`.
    depths
        Layers above each parameter; see `layer_depths`. None: no layer is told from another.
    """
    grouped: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        plain = _plain_name(name)
        depth = 0 if depths is None or config.layer_decay == 1 else depths[plain]
        if parameter.requires_grad:
            grouped.setdefault((depth, plain in decayed), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {
            "params": grouped[depth, decays],
            "weight_decay": config.weight_decay if decays else 0.0,
            "lr": config.lr * config.layer_decay**depth,
        }
        for depth, decays in sorted(grouped, key=lambda key: (key[0], not key[1]))
    ]
    if config.name == "adamw":
        return AdamW(groups, lr=config.lr, betas=config.betas)
    if config.name == "adam":
        return Adam(groups, lr=config.lr, betas=config.betas)
    return SGD(groups, lr=config.lr, momentum=config.momentum)


def make_schedule(optimizer: Optimizer, config: OptimConfig, n_steps: int) -> LambdaLR:
    """Return the schedule that is stepped once per optimiser step."""
    return LambdaLR(optimizer, lambda step: lr_share(step, n_steps, config))


_BLOCK = re.compile(r"(.*?)\bblocks\.(\d+)\.")


def _stages(model: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of the parts that follow each other, from the bottom; () for none."""
    for prefix, module in model.named_modules():
        parts: tuple[str, ...] = getattr(module, "stages", ())
        if parts:
            head = f"{_plain_name(prefix)}." if prefix else ""
            return tuple(f"{head}{part}." for part in parts)
    return ()


def _stage_of(stack: str, stages: tuple[str, ...]) -> int:
    """Return which stage a list of blocks is in; those in none come last."""
    return next((i for i, prefix in enumerate(stages) if stack.startswith(prefix)), len(stages))


def _plain_name(name: str) -> str:
    """Remove what FSDP puts into the names of wrapped modules."""
    return name.replace("_fsdp_wrapped_module.", "")
