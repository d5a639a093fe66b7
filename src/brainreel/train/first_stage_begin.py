"""First stages that a training starts from: their sizes, their weights, and their scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.checkpoints.diffusion_starts import read_stage_start
from brainreel.config import to_flow
from brainreel.data.samples import Trials
from brainreel.errors import CheckpointError, ConfigError
from brainreel.models.first_stage import FirstStage, FirstStageOptions
from brainreel.train.begin import read_start
from brainreel.train.stored_backbone import check_unseen
from brainreel.train.task import Job

STAGE = "first_stage."
SCALE = f"{STAGE}scale"


def settled_stage(given: FirstStageOptions | None, path: Path) -> dict[str, Any]:
    """Return the options of the first stage that weights on disk want, whatever was not given.

    Raises
    ------
    CheckpointError
        If no first stage is there.
    ConfigError
        If an option that was given contradicts it; the scale may.
    """
    theirs = read_stage_start(path).options
    if given is None:
        return theirs
    own = given.to_dict()
    named = {name: own[name] for name in given.model_fields_set}
    for name, value in sorted(named.items()):
        if name != "scale" and value != theirs.get(name):
            raise ConfigError(
                f"model.first_stage.{name} is {to_flow(value)}, and the weights in {path} are for "
                f"{to_flow(theirs.get(name))}. Leave it out, and it is taken from there."
            )
    return {**theirs, **{name: value for name, value in named.items() if name == "scale"}}


def stage_weights(path: Path, job: Job) -> dict[str, Tensor]:
    """Return the weights of a first stage, of the job's fold where there are several.

    Raises
    ------
    LeakError
        If it was fitted on what is tested here.
    """
    state = read_stage_start(path).state
    if not state:
        check_unseen(path, job.data)
        state = read_start(path, job.fold.name)[0]
    return of_stage(state)


def of_stage(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the first stage among all."""
    return {name: value for name, value in state.items() if name.startswith(STAGE)}


def without_stage(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that are not of a first stage."""
    return {name: value for name, value in state.items() if not name.startswith(STAGE)}


def check_same_stage(stage: FirstStage, state: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights of a first stage with other layers, which would be taken over in part.

    Raises
    ------
    CheckpointError
        Saying what to give.
    """
    wanted = {STAGE + name for name in stage.state_dict()} - {SCALE}
    given = set(of_stage(state)) - {SCALE}
    if given and given != wanted:
        raise CheckpointError(
            f"{where}: its first stage has other layers than model.first_stage. Give both the "
            "same options."
        )


def measure_scale(stage: FirstStage, trials: Trials, rows: tuple[int, ...], batch: int) -> None:
    """Set a scale that is measured, from the pictures of some trials."""
    pictures = trials.pictures
    assert pictures is not None

    def batches() -> Iterator[Tensor]:
        for values in in_batches(lambda chosen: pictures[chosen], rows, batch):
            yield 2 * values - 1

    stage.measure(batches())


def in_batches(
    of: Callable[[NDArray[np.int64]], NDArray[np.float32]], rows: tuple[int, ...], batch: int
) -> Iterator[Tensor]:
    """Yield the pictures of some trials as tensors, a batch at a time."""
    for first in range(0, len(rows), batch):
        yield torch.from_numpy(of(np.array(rows[first : first + batch], dtype=np.int64)))
