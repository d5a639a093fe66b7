"""Where training begins: weights of an earlier run or an import, but for a head that differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from brainreel.checkpoints.store import load_run, load_state
from brainreel.errors import CheckpointError, ConfigError, did_you_mean
from brainreel.layers.positions import fit_positions
from brainreel.shapes import DataSpec

NETWORK = "network/"


def read_start(folder: Path, fold: str) -> tuple[dict[str, Tensor], DataSpec]:
    """Read the network of a run folder, of `brainreel import` or of a fit.

    Parameters
    ----------
    folder
        The run folder.
    fold
        Name of the fold whose network is taken, where the run has several.

    Raises
    ------
    CheckpointError
        If it is no run folder, has no network, or has several folds and none of that name.
    """
    run = load_run(folder)
    imported = {name: value for name, value in run.state.items() if ":" not in name}
    if imported:
        return imported, run.spec
    folds: dict[str, dict[str, Tensor]] = {}
    for key, value in run.state.items():
        owner, _, name = key.partition(":")
        if name.startswith(NETWORK):
            folds.setdefault(owner, {})[name.removeprefix(NETWORK)] = value
    if not folds:
        raise CheckpointError(
            f"{folder}: holds no network. Give a run of a network, or imported weights."
        )
    if len(folds) > 1 and fold not in folds:
        raise CheckpointError(
            f"{folder}: holds the networks of several folds ({', '.join(folds)}), none called "
            f"'{fold}'. Give a run of one fold, or the same splits."
        )
    return folds.get(fold, next(iter(folds.values()))), run.spec


def begin_with(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    part: str = "",
    same_classes: bool | None = None,
    where: str,
) -> bool:
    """Put weights into a network, or into one part of it; return whether its head was left out.

    Parameters
    ----------
    network
        With fresh weights, which stay where none are given.
    state
        Name to tensor; everything but a head must fit. Learned positions are resized to the
        network's pictures and sound.
    part
        Part of the network that the weights are for (`"frame"` of `vtn`); empty: all of it.
    same_classes
        Whether the weights' classes are the network's; None goes by the shape of the head.
    where
        What the weights are called in errors.

    Raises
    ------
    CheckpointError
        Naming the tensors that are missing, left over, or of another shape.
    ConfigError
        If the network has no such part.
    """
    inside = network if not part else dict(network.named_modules()).get(part)
    if inside is None:
        near = did_you_mean(part, [name for name, _ in network.named_children()])
        raise ConfigError(f"the network has no part '{part}'.{near}")
    own = inside.state_dict()
    heads = {name for name in {**own, **state} if name.split(".")[0].endswith("head")}
    fits = all(name in own and name in state for name in heads) and all(
        own[name].shape == state[name].shape for name in heads
    )
    kept = bool(heads) and fits and same_classes is not False
    given = fit_positions(inside, state)
    if not kept:
        given = {name: value for name, value in given.items() if name not in heads}
        given |= {name: own[name] for name in heads if name in own}
    load_state(inside, given, where=where)
    return bool(heads) and not kept


def take_over(network: nn.Module, state: Mapping[str, Tensor], *, where: str) -> dict[str, float]:
    """Put in the weights that the network knows by name; its others stay as they are.

    So the phases of TFF hand on what they have in common.

    Parameters
    ----------
    network
        With fresh weights.
    state
        Name to tensor; empty for none.
    where
        What the weights are called in errors.

    Returns
    -------
    dict
        The sum of each tensor taken, by which a run knows what it began with.

    Raises
    ------
    CheckpointError
        If nothing is known by name, or a tensor is of another shape.
    """
    own = network.state_dict()
    known = {name: value for name, value in state.items() if name in own}
    if state and not known:
        raise CheckpointError(
            f"{where}: has no weights that this network knows by name. Give those of TFF."
        )
    load_state(network, own | known, where=where)
    return {name: value.double().sum().item() for name, value in known.items()}


def freeze(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Keep the weights of some parts as they are.

    Parameters
    ----------
    network
        Any.
    parts
        Beginnings of parameter names, up to a dot: `"backbone"`, `"transformer.blocks.0"`.

    Raises
    ------
    ConfigError
        If nothing is called so, or nothing is left to learn.
    """
    for part in parts:
        chosen = [
            parameter
            for name, parameter in network.named_parameters()
            if f"{name}.".startswith(f"{part}.")
        ]
        if not chosen:
            near = did_you_mean(part, [name for name, _ in network.named_modules() if name])
            raise ConfigError(f"freeze: the network has no weights called '{part}'.{near}")
        for parameter in chosen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError("nothing is left to learn: the network has no weights that are not kept.")
