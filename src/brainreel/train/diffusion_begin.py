"""What a training of latent diffusion starts from: sizes, weights, and an encoder of brains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from brainreel.checkpoints.diffusion_starts import read_diffusion_start
from brainreel.checkpoints.run_network import stored_model
from brainreel.config import to_flow
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.positions import fit_positions
from brainreel.models.base import ModelConfig
from brainreel.models.brain_diffusion import (
    BrainDiffusion,
    BrainDiffusionConfig,
    BrainEncoderConfig,
)
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.models.voxel_encoder import VoxelEncoderOptions
from brainreel.train.begin import read_start, take_over
from brainreel.train.film_network import network_state
from brainreel.train.first_stage_begin import (
    check_same_stage,
    settled_stage,
    stage_weights,
    without_stage,
)
from brainreel.train.stored_backbone import check_unseen
from brainreel.train.task import Job

# Options that change what is learned or how, not what the weights are.
_OF_LEARNING = frozenset({"name", "trained", "recompute", "padding", "first_guess"})
_CONV_IN = "unet.network.conv_in.weight"


def settled_diffusion(
    model: ModelConfig,
    start_from: Path | None,
    encoder_from: Path | None,
    first_stage_from: Path | None = None,
) -> ModelConfig:
    """Return a model with the sizes of the weights that it starts from.

    Raises
    ------
    CheckpointError
        If a folder holds no such model.
    ConfigError
        If an option that was given contradicts the weights.
    """
    if not isinstance(model, BrainDiffusionConfig):
        return model
    own: dict[str, Any] = model.to_dict()
    if start_from is not None:
        theirs = read_diffusion_start(start_from).options
        given = {name: own[name] for name in model.model_fields_set}
        own |= _agreed(given, theirs, start_from, "model")
    if encoder_from is not None:
        own["encoder"] |= _encoder_sizes(model.encoder, encoder_from)
    if first_stage_from is not None:
        # A model that names none takes what is there.
        named = model.first_stage if "first_stage" in model.model_fields_set else None
        own["first_stage"] = settled_stage(named, first_stage_from)
    return BrainDiffusionConfig.parse(own, where="model")


def begin_diffusion(
    network: BrainDiffusion,
    job: Job,
    start_from: Path | None,
    encoder_from: Path | None,
    first_stage_from: Path | None = None,
) -> dict[str, float]:
    """Put in the weights to start from; tell them apart by numbers.

    The whole diffusion first, then the encoder and the first stage, those of stages before last.

    Raises
    ------
    CheckpointError
        If weights do not fit.
    LeakError
        If they were fitted on what is tested here.
    """
    begun: dict[str, float] = {}
    if start_from is not None:
        state = read_diffusion_start(start_from).state
        if not state:
            check_unseen(start_from, job.data)
            state = read_start(start_from, job.fold.name)[0]
        if first_stage_from is not None:
            state = without_stage(state)
        begun |= _put(network, state, str(start_from))
    if encoder_from is not None:
        check_unseen(encoder_from, job.data)
        state, _ = read_start(encoder_from, job.fold.name)
        begun |= _put(network, _encoder(state, str(encoder_from)), str(encoder_from))
    if first_stage_from is not None:
        begun |= _put(network, stage_weights(first_stage_from, job), str(first_stage_from))
    if job.start:
        begun |= _put(network, network_state(job.start), "the stage before")
    return begun


def _put(network: BrainDiffusion, state: Mapping[str, Tensor], where: str) -> dict[str, float]:
    check_same_stage(network.first_stage, state, where)
    fitted = _widened(network, fit_positions(network, state))
    return take_over(network, fitted, where=where)


def _widened(network: BrainDiffusion, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let a first convolution without a first guess take one, of which it knows nothing yet."""
    theirs = state.get(_CONV_IN)
    if network.first_guess and theirs is not None:
        wide = network.state_dict()[_CONV_IN]
        if theirs.shape[1] * 2 == wide.shape[1]:
            new = theirs.new_zeros(wide.shape)
            new[:, : theirs.shape[1]] = theirs
            return state | {_CONV_IN: new}
    return state


def _encoder(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    found = {name: value for name, value in state.items() if name.startswith("encoder.")}
    if not found:
        raise CheckpointError(f"{where}: holds no encoder of voxel vectors. Give a run of SC-MBM.")
    return found


def _encoder_sizes(encoder: BrainEncoderConfig, folder: Path) -> dict[str, Any]:
    found = stored_model(folder)
    stored = found.encoder if isinstance(found, BrainDiffusionConfig) else found
    if not isinstance(stored, VoxelEncoderOptions | SCMBMConfig):
        raise CheckpointError(
            f"{folder}: holds a model '{stored.name}', which has no encoder of voxel vectors. Give "
            "a run of task mask, or what 'brainreel import mind-vis' made."
        )
    told = stored.to_dict()
    theirs = {name: told[name] for name in VoxelEncoderOptions.model_fields if name != "name"}
    own = encoder.to_dict()
    given = {name: own[name] for name in encoder.model_fields_set if name in theirs}
    return _agreed(given, theirs, folder, "model.encoder")


def _agreed(
    given: Mapping[str, Any], theirs: Mapping[str, Any], source: Path, key: str
) -> dict[str, Any]:
    """Return their options, with those of learning that were given."""
    for name in sorted((given.keys() & theirs.keys()) - _OF_LEARNING):
        if given[name] != theirs[name]:
            raise ConfigError(
                f"{key}.{name} is {to_flow(given[name])}, and the weights in {source} are for "
                f"{to_flow(theirs[name])}. Leave it out, and it is taken from there."
            )
    return {**theirs, **{name: given[name] for name in _OF_LEARNING & given.keys()}}
