"""Features of the pictures that were seen, which a masked network tells beside hidden patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from brainreel.config import Config
from brainreel.data.samples import Fold, Series, Trials
from brainreel.errors import ConfigError, DataError
from brainreel.models.picture_layers import as_maps
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.train.score_networks import load_network


class PictureTargets(Config):
    """What of the pictures is told from the patches that are seen."""

    network: str = ""
    """Whose features: efficientnet_lite0, the folder of an import or of a fit of a network on
    pictures, or the name or folder of a Hugging Face network; empty: the pixels themselves, in
    [-1, 1]."""
    layer: str = ""
    """Name of its module, as PyTorch calls it; its maps are averaged over cells to the model's
    H x W. Published: the second stage of a ResNet-50, 512 x 28 x 28."""
    weight: float = Field(0.5, gt=0)
    """Weight of their error beside that of hidden patches; 0.5 as published."""

    @model_validator(mode="after")
    def _has_a_layer(self) -> Self:
        if bool(self.network) != bool(self.layer):
            raise ValueError("give network and layer, or neither for pixels")
        return self


@dataclass(frozen=True, eq=False)
class ToldPictures:
    """The pictures of a fold, and what of them is told.

    Attributes
    ----------
    features
        (B, C, H, W) pictures in [0, 1] to (B, *shape) features.
    pictures
        Those of all trials.
    learned, validated
        Numbers of the trials that are learned from and that validate, in the order of the rows.
    weight
        Of their error.
    """

    features: Callable[[Tensor], Tensor]
    pictures: Any
    learned: np.ndarray[Any, np.dtype[np.int64]]
    validated: np.ndarray[Any, np.dtype[np.int64]]
    weight: float

    @torch.no_grad()
    def of(self, rows: Tensor, *, learned: bool) -> Tensor:
        """Return the (B, C, H, W) features of what was seen in some rows."""
        trials = (self.learned if learned else self.validated)[rows.cpu().numpy()]
        shown = torch.from_numpy(np.ascontiguousarray(self.pictures[trials], dtype=np.float32))
        return self.features(shown).to(rows.device)


def told_pictures(
    targets: PictureTargets | None,
    model: SCMBMConfig,
    data: Series | Trials,
    fold: Fold,
    *,
    interpolation: float = 0.0,
) -> ToldPictures | None:
    """Return the pictures that are told of while patches are filled in; None for none.

    Raises
    ------
    ConfigError
        If the model has no second decoder for them, or one of another shape.
    DataError
        If the data has no pictures.
    """
    if targets is None and model.picture_features is None:
        return None
    if targets is None:
        raise ConfigError(
            f"model.picture_features asks for {list(model.picture_features or ())}, and nothing "
            "says of what. Give task.pictures={} for pixels, or a network and its layer."
        )
    if not isinstance(data, Trials) or data.pictures is None:
        raise DataError("task.pictures needs trials with pictures. Leave it out, or give them.")
    if interpolation:
        raise ConfigError(
            "task.interpolation mixes brains that saw two pictures. Leave it or task.pictures out."
        )
    features = _features(targets, model.picture_features)
    _check_shape(features, data, model)
    return ToldPictures(
        features,
        data.pictures,
        np.array(fold.train_trials, dtype=np.int64),
        np.array(fold.validation_trials, dtype=np.int64),
        targets.weight,
    )


def _features(
    targets: PictureTargets, shape: tuple[int, int, int] | None
) -> Callable[[Tensor], Tensor]:
    cells = shape[1:] if shape is not None else (28, 28)
    if not targets.network:
        return lambda shown: functional.adaptive_avg_pool2d(2 * shown - 1, cells)
    network = load_network(targets.network)
    network.check_layers([targets.layer])
    device = next(network.network.parameters()).device

    def looked(shown: Tensor) -> Tensor:
        maps = as_maps(network.look(shown.to(device), [targets.layer])[1][targets.layer])
        if maps is None:
            raise ConfigError(f"layer '{targets.layer}' gives vectors, not maps. Choose another.")
        return functional.adaptive_avg_pool2d(maps, cells)

    return looked


def _check_shape(features: Callable[[Tensor], Tensor], data: Trials, model: SCMBMConfig) -> None:
    assert data.pictures is not None
    with torch.no_grad():
        found = features(torch.from_numpy(np.asarray(data.pictures[:1], dtype=np.float32)))
    shape = tuple(found.shape[1:])
    if shape != model.picture_features:
        given = None if model.picture_features is None else list(model.picture_features)
        raise ConfigError(
            f"task.pictures gives features of {list(shape)} and model.picture_features is "
            f"{given}. Set model.picture_features={list(shape)}."
        )
