"""The one network of a run folder, whether it was imported or fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from brainreel.checkpoints.store import StoredRun, load_run
from brainreel.config import Config
from brainreel.errors import CheckpointError, ConfigError
from brainreel.models.catalog import AnyModel
from brainreel.shapes import DataSpec

_FIT = "network/"  # before the names of a network's weights in the run folder of a fit


@dataclass(frozen=True, eq=False)
class RunNetwork:
    """A network of a run folder.

    Attributes
    ----------
    config
        The model's options.
    spec
        The facts of the data that it was made for.
    state
        Its weights by name.
    """

    config: AnyModel
    spec: DataSpec
    state: dict[str, Tensor]


class _Stored(Config):
    """What config.yaml of a run folder holds of its model."""

    model: AnyModel
    """The model's options."""


def read_network(folder: Path) -> RunNetwork:
    """Read the one network of a run folder, imported or fitted.

    Raises
    ------
    CheckpointError
        If it is no run folder, is damaged, or holds the networks of several folds.
    """
    run = load_run(folder)
    config = _model_of(run, folder)
    fits = {name.partition(":")[0] for name in run.state if ":" in name}
    if len(fits) > 1:
        raise CheckpointError(
            f"{folder}: holds the networks of several folds ({', '.join(sorted(fits))}). "
            "Give a run of one fold."
        )
    inside = {name.partition(":")[2] or name: value for name, value in run.state.items()}
    if fits:
        inside = {name.removeprefix(_FIT): value for name, value in inside.items()
                  if name.startswith(_FIT)}  # fmt: skip
    return RunNetwork(config, run.spec, inside)


def stored_model(folder: Path) -> AnyModel:
    """Return the options of the model in a run folder, of the last stage where it has several.

    Raises
    ------
    CheckpointError
        If it is no run folder, or tells no model that this version knows.
    """
    try:
        return _model_of(load_run(folder), folder)
    except ConfigError as problem:
        raise CheckpointError(
            f"{folder}: holds no network that this version knows ({problem}). Import or fit again."
        ) from problem


def _model_of(run: StoredRun, folder: Path) -> AnyModel:
    told = run.config.get("model")
    stages = run.config.get("stages") or ()
    if stages and stages[-1].get("model"):
        told = stages[-1]["model"]
    return _Stored.parse({"model": told}, where=str(folder)).model
