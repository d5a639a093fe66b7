"""Networks that score pictures, by name: loaded once for a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainreel.checkpoints.efficientnet_files import load_efficientnet_lite0
from brainreel.checkpoints.readers import read_tensors
from brainreel.checkpoints.store import CONFIG, load_run
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.clip import Standardise
from brainreel.models.efficientnet import SIDE, on_scale
from brainreel.models.hf_files import load_hf, own_scale, own_side
from brainreel.models.picture_layers import PictureNetwork
from brainreel.models.stimulus import FrameNetwork
from brainreel.shapes import DataSpec
from brainreel.train.begin import begin_with
from brainreel.train.picture_scoring import EFFICIENTNET
from brainreel.train.stored_backbone import read_backbone


def short_name(network: str) -> str:
    """Return what a network's scores are called by: the last part of a name or folder."""
    return re.sub(r"[^\w.-]", "_", Path(network).name) or "network"


def load_classifier(name: str) -> PictureNetwork:
    """Return a classifier of pictures.

    Parameters
    ----------
    name
        `efficientnet_lite0`, or the name or folder of a Hugging Face classifier.

    Raises
    ------
    MissingExtraError, CheckpointError
        If the package, or the network, is not there.
    """
    return _efficientnet() if name == EFFICIENTNET else _hf(name, classifies=True)


def load_network(name: str) -> PictureNetwork:
    """Return a network whose layers are read; see `NetworkLayers.network`.

    Raises
    ------
    MissingExtraError, CheckpointError
        If the package, the network or its weights are not there.
    """
    if name == EFFICIENTNET:
        return _efficientnet()
    if (Path(name) / CONFIG).is_file():
        return _of_run(Path(name))
    return _hf(name, classifies=False)


def read_lpips_weights(file: Path, layers: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return the (C,) weights of each layer from a file of tensors called by their layers.

    Raises
    ------
    ConfigError
        If a layer has none, or one is negative or not finite.
    """
    tensors = read_tensors(file)
    found = []
    for name in layers:
        if name not in tensors:
            raise ConfigError(
                f"{file}: has no weights called '{name}', a layer of scoring.pictures.lpips; it "
                f"has {', '.join(sorted(tensors))}."
            )
        weights = tensors[name].flatten().numpy()
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ConfigError(f"{file}: weights of '{name}' are negative or not finite.")
        found.append(weights.astype(np.float32))
    return found


def _efficientnet() -> PictureNetwork:
    network = load_efficientnet_lite0().to(_device())
    return PictureNetwork(EFFICIENTNET, network, (3, SIDE, SIDE), lambda x: network(on_scale(x)))


def _hf(name: str, *, classifies: bool) -> PictureNetwork:
    kind = "AutoModelForImageClassification" if classifies else "AutoModel"
    whole = load_hf(name, pooler=classifies, kind=kind)
    inner = getattr(whole, "vision_model", None)
    model = inner if isinstance(inner, torch.nn.Module) and not classifies else whole
    scale = Standardise(*own_scale(name)).to(_device())
    side = own_side(name, model)
    model = model.to(_device()).eval().requires_grad_(False)

    def call(pictures: torch.Tensor) -> torch.Tensor | None:
        logits: torch.Tensor | None = getattr(model(pixel_values=scale(pictures)), "logits", None)
        return logits

    return PictureNetwork(short_name(name), model, (3, side, side), call)


def _of_run(folder: Path) -> PictureNetwork:
    """Return the network of a run folder, without its head."""
    config, state = read_backbone(folder, "")
    spec = load_run(folder).spec
    shape = tuple(spec.frame_shape)
    if not config.single_pictures or len(shape) != 3:
        raise CheckpointError(
            f"{folder}: its network '{config.name}' does not look at single pictures. Give one "
            "that does (vit)."
        )
    network = config.build(DataSpec(tr_s=0.0, frame_shape=shape))
    begin_with(network, state, where=str(folder))
    if not isinstance(network, FrameNetwork):
        raise CheckpointError(f"{folder}: its network '{config.name}' has no vector of a picture.")
    network = network.to(_device()).eval().requires_grad_(False)
    c, h, w = shape
    return PictureNetwork(short_name(str(folder)), network, (c, h, w), network.embed)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
