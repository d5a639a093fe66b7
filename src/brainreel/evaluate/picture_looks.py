"""Pictures as networks see them, looked at once for all scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainreel.errors import ConfigError
from brainreel.metrics.image_pairs import perceptual_vectors
from brainreel.models.picture_layers import PictureNetwork, as_maps, pooled
from brainreel.train.picture_scoring import NetworkLayers, PictureScoringConfig
from brainreel.train.score_networks import (
    load_classifier,
    load_network,
    read_lpips_weights,
    short_name,
)

Float32 = NDArray[np.float32]
# Pictures in one pass: enough for a GPU, and little memory with early maps of 224 x 224.
_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Look:
    """Some pictures, and what networks make of them.

    Attributes
    ----------
    pictures
        (N, C, H, W) in [0, 1].
    probabilities
        (N, K) of the classifier, or None.
    features
        Network and layer (`"efficientnet_lite0.blocks.4"`) to (N, D) features to identify by.
    perceptual
        (N, D) whose squared distances are of LPIPS form, or None.
    pooled
        Network and layer to (N, D) features for the Fréchet distance.
    """

    pictures: NDArray[np.floating]
    probabilities: Float32 | None
    features: Mapping[str, Float32]
    perceptual: Float32 | None
    pooled: Mapping[str, Float32]


class Judges:
    """The networks of `scoring.pictures`, loaded once.

    Parameters
    ----------
    config
        Which networks, and which of their layers.

    Raises
    ------
    ConfigError
        If a network has no such layer, or fewer classes than the n of an n-way score.
    """

    def __init__(self, config: PictureScoringConfig) -> None:
        self.config = config
        self.classifier = load_classifier(config.classifier) if config.classifier else None
        self.networks = {name: load_network(name) for name in config.networks}
        for name, network in self.networks.items():
            network.check_layers(config.layers_of(name))
        self.weights: list[NDArray[np.float32]] | None = None
        if config.lpips is not None and config.lpips_weights is not None:
            self.weights = read_lpips_weights(config.lpips_weights, config.lpips_layers)
        self._tried = self._try()

    def look(self, pictures: NDArray[np.floating]) -> Look:
        """Show (N, C, H, W) pictures in [0, 1] to every network."""
        parts = [
            self._look(torch.as_tensor(pictures[i : i + _AT_ONCE], dtype=torch.float32))
            for i in range(0, len(pictures), _AT_ONCE)
        ]
        first = parts[0]

        def joined(kind: str) -> dict[str, Float32]:
            return {n: np.concatenate([p[kind][n] for p in parts]) for n in first[kind]}

        found = joined("whole")
        return Look(
            pictures,
            found.get("probabilities"),
            joined("features"),
            found.get("perceptual"),
            joined("pooled"),
        )

    def stamp(self) -> dict[str, Any]:
        """Return what of the networks the card tells: names, ways of asking, widths."""
        told: dict[str, Any] = {}
        config, tried = self.config, self._tried
        if self.classifier is not None:
            told["classifier"] = self.classifier.name
            told["n_way"], told["top_k"] = list(config.n_way), list(config.top_k)
            told["trials"] = config.trials or "exact expectation"
        for key, widths in (("features", tried.features), ("frechet_distance", tried.pooled)):
            if widths:
                told[key] = {name: f"{value.shape[1]}-d" for name, value in widths.items()}
        if config.lpips is not None:
            told["lpips"] = {
                "network": short_name(config.lpips.network),
                "layers": list(config.lpips_layers),
                "weights": config.lpips_weights.name if config.lpips_weights else "none, all 1",
            }
        return told

    def _look(self, pictures: torch.Tensor) -> dict[str, dict[str, Float32]]:
        config = self.config
        held = {
            name: _held(network, pictures, config.layers_of(name))
            for name, network in self.networks.items()
        }
        whole: dict[str, Float32] = {}
        if self.classifier is not None:
            logits, _ = self.classifier.look(_on(self.classifier, pictures), ())
            whole["probabilities"] = logits.float().softmax(dim=1).cpu().numpy()
        if config.lpips is not None:
            maps = [as_maps(held[config.lpips.network][name]) for name in config.lpips_layers]
            if flat := [n for n, m in zip(config.lpips_layers, maps, strict=True) if m is None]:
                raise ConfigError(
                    f"scoring.pictures.lpips: layer '{flat[0]}' holds one vector a picture. Name "
                    "layers of maps or tokens."
                )
            arrays = [one.cpu().numpy() for one in maps if one is not None]
            whole["perceptual"] = perceptual_vectors(arrays, self.weights).astype(np.float32)
        return {
            "whole": whole,
            "features": {
                tag: held[one.network][layer].flatten(1).cpu().numpy()
                for one in config.features
                for layer, tag in tags(one).items()
            },
            "pooled": {
                tag: pooled(held[one.network][layer]).cpu().numpy()
                for one in ((config.fid,) if config.fid else ())
                for layer, tag in tags(one).items()
            },
        }

    def _try(self) -> Look:
        """Look at a grey picture, so that what cannot be asked is known before anything is."""
        tried = self.look(np.full((1, 3, 32, 32), 0.5, dtype=np.float32))
        if tried.probabilities is not None:
            n_classes, most = tried.probabilities.shape[1], max(self.config.n_way, default=2)
            if most > n_classes:
                raise ConfigError(
                    f"scoring.pictures.n_way: {most}-way cannot be asked of '"
                    f"{self.config.classifier}', which has {n_classes} classes."
                )
        return tried


@lru_cache(maxsize=1)
def judges_of(config: PictureScoringConfig) -> Judges:
    """Return the networks of a run: tried before the fit, and not loaded again for its scores."""
    return Judges(config)


def tags(wanted: NetworkLayers) -> dict[str, str]:
    """Return each layer with what its scores are called by."""
    return {layer: f"{short_name(wanted.network)}.{layer}" for layer in wanted.names}


def _held(
    network: PictureNetwork, pictures: torch.Tensor, layers: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    return network.look(_on(network, pictures), layers)[1]


def _on(network: PictureNetwork, pictures: torch.Tensor) -> torch.Tensor:
    """Bring pictures to the device of a network."""
    first = next(network.network.parameters(), pictures)
    return pictures.to(first.device)
