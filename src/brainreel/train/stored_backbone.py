"""Backbones with weights: their options and tensors, from the run folder of an import or a fit."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from brainreel.checkpoints.store import CONFIG, load_run
from brainreel.config import Config, to_flow
from brainreel.data.catalog import Opened
from brainreel.data.labelled_samples import Labelled
from brainreel.errors import CheckpointError, ConfigError
from brainreel.models.backbones import Backbone
from brainreel.models.catalog import AnyModel
from brainreel.models.encoding import EncodingConfig
from brainreel.models.stimulus import StimulusConfig
from brainreel.train.begin import begin_with, read_start
from brainreel.train.lineage import check_unseen as check_lineage

# Options that change how a network learns, not what it computes.
_OF_LEARNING = frozenset(
    {
        "attention_dropout",
        "drop_path",
        "dropout",
        "frames_at_once",
        "frozen",
        "frozen_layers",
        "head_dropout",
        "head_width",
        "recompute",
        "representation",
    }
)


class _Stored(Config):
    """What config.yaml of a run folder tells of its model."""

    model: AnyModel
    """The model's options."""


class _Chosen(Config):
    """A backbone among all."""

    backbone: Backbone
    """Its options."""


def read_backbone(folder: Path, fold: str) -> tuple[StimulusConfig, dict[str, Tensor]]:
    """Read a network from the folder of `brainreel import`, or of a fit.

    Parameters
    ----------
    folder
        The run folder; of an encoding model the backbone is taken.
    fold
        Name of the fold whose network is taken, where the run has several.

    Returns
    -------
    config
        The network's options.
    state
        Name to tensor.

    Raises
    ------
    CheckpointError
        If it is no run folder, is damaged, or holds no network on film.
    """
    config = backbone_options(folder)
    state, _ = read_start(folder, fold)
    prefix = "backbone."
    if any(name.startswith("readouts.") for name in state):
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return config, state


def backbone_options(folder: Path) -> StimulusConfig:
    """Return the options of the network in a run folder; see `read_backbone`."""
    told = load_run(Path(folder)).config.get("model")
    try:
        model = _Stored.parse({"model": told}, where=str(Path(folder) / CONFIG)).model
    except ConfigError as problem:
        raise CheckpointError(
            f"{folder}: holds no network that this version knows ({problem}). Import or fit again."
        ) from problem
    found = model.backbone if isinstance(model, EncodingConfig) else model
    if not isinstance(found, StimulusConfig):
        raise CheckpointError(
            f"{folder}: holds a model '{model.name}', which is no network on film or sound. Give "
            "a folder that 'brainreel import' or the fit of a network made."
        )
    return found


def check_unseen(folder: Path, data: Opened) -> None:
    """Refuse a network that was ever fitted on BOLD, films or items that are now tested.

    Raises
    ------
    LeakError
        If it, or one that it began with, was fitted on the same files parted in another way, or
        on a trial that is tested.
    """
    sources = data.sources
    if isinstance(data, Labelled):
        # Lists may be shared by honest sets (one test list, two training lists); files may not.
        sources = {name: digest for name, digest in sources.items() if name.endswith(" files")}
    check_lineage(folder, data, sources=sources)


def settled_backbone(given: StimulusConfig | None, folder: Path, *, key: str) -> StimulusConfig:
    """Return a backbone's options as the weights in a folder want them.

    Options that were not given are taken from there; those that change only how a network learns
    may differ.

    Parameters
    ----------
    given
        The backbone of a recipe; None takes all from the folder.
    folder
        Where its weights are.
    key
        Where the backbone stands in the recipe (`"model.backbone"`).

    Raises
    ------
    ConfigError
        If another network lies there, or an option that was given contradicts it.
    """
    stored = backbone_options(folder)
    if given is None:
        return stored
    anew = f"Give '{key}={{name: {stored.name}}}', and its options are taken from there."
    if given.name != stored.name:
        raise ConfigError(
            f"{key}.name is '{given.name}', and {folder} holds the weights of '{stored.name}'. "
            f"{anew}"
        )
    own, theirs = given.to_dict(), stored.to_dict()
    chosen = {name: own[name] for name in given.model_fields_set}
    for name, value in chosen.items():
        if value != theirs[name] and name not in _OF_LEARNING:
            raise ConfigError(
                f"{key}.{name} is {to_flow(value)}, and the weights in {folder} are for "
                f"{to_flow(theirs[name])}. {anew}"
            )
    settled: StimulusConfig = _Chosen.parse({"backbone": theirs | chosen}, where=key).backbone
    return settled


def load_backbone(
    network: nn.Module, config: StimulusConfig, folder: Path, fold: str, *, part: str = ""
) -> dict[str, float]:
    """Put the weights of a folder into a backbone; a head is dropped.

    Learned positions are resized to the backbone's pictures and sound.

    Parameters
    ----------
    network
        The backbone, or with `part` the network that it is a part of.
    config
        The backbone's options, settled.
    folder, fold
        As in `read_backbone`.

    Returns
    -------
    dict
        The sum of each tensor, by which a run knows what it began with.

    Raises
    ------
    CheckpointError
        Naming the tensors that are missing, left over, or of another shape.
    ConfigError
        If the options are not those of the folder.
    """
    _, state = read_backbone(folder, fold)
    if settled_backbone(config, folder, key="model.backbone").to_dict() != config.to_dict():
        raise ConfigError(
            f"model.backbone is not settled for {folder}: options that were not given are to be "
            "taken from there. Give the task's `settled` model."
        )
    begin_with(network, state, part=part, where=str(folder))
    return {name: value.double().sum().item() for name, value in state.items()}
