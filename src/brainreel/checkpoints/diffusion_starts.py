"""Latent diffusion to start a training from: a run folder, diffusers' folder, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from brainreel.checkpoints.diffusers_folder import is_diffusers_folder, read_diffusers_folder
from brainreel.checkpoints.from_mind_vis_ldm import read_latent_diffusion
from brainreel.checkpoints.run_network import stored_model
from brainreel.errors import CheckpointError
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.models.picture_autoencoder import PictureAutoencoderConfig

# Of a checkpoint without a brain these options are left to the recipe.
_OF_PICTURES = ("unet", "first_stage")


@dataclass(frozen=True, eq=False)
class DiffusionStart:
    """Where a training of latent diffusion starts.

    Attributes
    ----------
    options
        Options of the model that the weights decide.
    state
        Name in our model -> tensor; empty of a run folder, whose folds are read one by one.
    """

    options: dict[str, Any]
    state: dict[str, Tensor]


def read_diffusion_start(path: Path) -> DiffusionStart:
    """Read the options, and of a file the weights, of a latent diffusion.

    Parameters
    ----------
    path
        Run folder of an import or a fit of `latent_diffusion`; a folder of diffusers (the Stable
        Diffusion family); or a file of latent diffusion or its first stage (`model.ckpt` of
        label2img), of MinD-Vis or in safetensors.

    Raises
    ------
    CheckpointError
        If it is none of these.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder of weights.")
    if is_diffusers_folder(path):
        return DiffusionStart(*read_diffusers_folder(path))
    if path.is_dir():
        stored = stored_model(path)
        if not isinstance(stored, BrainDiffusionConfig):
            raise CheckpointError(
                f"{path}: holds a model '{stored.name}', which is no latent diffusion. Give a run "
                "of task denoise, or a file of latent diffusion."
            )
        return DiffusionStart(stored.to_dict(), {})
    found = read_latent_diffusion(path)
    parts = {name.partition(".")[0] for name in found.state}
    told = found.options.to_dict()
    return DiffusionStart({n: told[n] for n in _OF_PICTURES if n in parts}, found.state)


def read_stage_start(path: Path) -> DiffusionStart:
    """Read a first stage alone, of whatever holds one.

    Parameters
    ----------
    path
        Run folder of `first_stage` or `latent_diffusion`, or anything that `read_diffusion_start`
        reads.

    Returns
    -------
    DiffusionStart
        Options of the first stage; its weights, none of a run folder.

    Raises
    ------
    CheckpointError
        If it holds no first stage with weights.
    """
    if path.is_dir() and not is_diffusers_folder(path):
        stored = stored_model(path)
        if isinstance(stored, PictureAutoencoderConfig):
            return DiffusionStart(stored.first_stage.to_dict(), {})
    found = read_diffusion_start(path)
    options = found.options.get("first_stage", {})
    if options.get("name") not in ("vq", "kl"):
        raise CheckpointError(
            f"{path}: holds no first stage with weights. Give a run of task autoencode, or the "
            "file of a first stage."
        )
    state = {name: value for name, value in found.state.items() if name.startswith("first_stage.")}
    return DiffusionStart(options, state)
