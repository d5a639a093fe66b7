"""What reconstructed pictures are scored by: networks, and the ways in which they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainreel.config import Config

EFFICIENTNET = "efficientnet_lite0"
# An early, two middle and a late layer: edges, textures, parts, and what is in the picture.
_ITS_LAYERS = ("blocks.2", "blocks.4", "blocks.10", "pooled")

IdentifyBy = Literal["pixel_correlation", "mse", "ssim", "lpips"]


class NetworkLayers(Config):
    """Layers of a network on pictures."""

    network: str = Field(EFFICIENTNET, min_length=1)
    """efficientnet_lite0 (needs 'brainreel[scores]'); the folder of `brainreel import` or of a fit
    of a network on pictures; or the name or folder of a Hugging Face network (needs
    'brainreel[hf]')."""
    layers: tuple[str, ...] = ()
    """Names of its modules, as PyTorch calls them (blocks.4); none: for efficientnet_lite0
    blocks.2, blocks.4, blocks.10 and pooled (lpips: without pooled, which holds no map)."""

    @model_validator(mode="after")
    def _has_layers(self) -> NetworkLayers:
        if not self.layers and self.network != EFFICIENTNET:
            raise ValueError(f"name the layers of '{self.network}': layers=[...]")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The layers, the default ones filled in."""
        return self.layers or _ITS_LAYERS


class PictureScoringConfig(Config):
    """How reconstructed pictures are scored. Networks look at them only where they are named:
    of small or grey pictures they say little."""

    identify_by: tuple[IdentifyBy, ...] = ("pixel_correlation", "mse", "ssim", "lpips")
    """In what a reconstruction must be more like its own picture than like others; lpips where
    `lpips` is given."""
    classifier: str = ""
    """Names the class of the true picture, which must win among n in the reconstruction:
    efficientnet_lite0, or the name or folder of a Hugging Face classifier (ViT-H/14); empty for
    none."""
    n_way: tuple[Annotated[int, Field(ge=2)], ...] = (50,)
    """Numbers of classes in the classifier's choice, the right one counted in."""
    top_k: tuple[Annotated[int, Field(ge=1)], ...] = (1,)
    """The right class counts as found if it is among so many best of the n."""
    trials: int = Field(0, ge=0)
    """Drawn trials of each picture, as in published scores (1000); 0: their exact expectation."""
    features: tuple[NetworkLayers, ...] = ()
    """Layers in which reconstructions are identified 2-way, and whose distance is told."""
    fid: NetworkLayers | None = None
    """Layers in which the Fréchet distance of all reconstructions from all pictures is told."""
    lpips: NetworkLayers | None = None
    """Layers of an LPIPS-form distance. Its number belongs to this network: the published one is
    made of AlexNet or VGG."""
    lpips_weights: Path | None = None
    """File of tensors, one a layer and called by it: learned weights of its channels; none: 1."""

    @model_validator(mode="after")
    def _can_be(self) -> PictureScoringConfig:
        if max(self.top_k, default=1) >= min(self.n_way, default=2):
            raise ValueError("top_k must be below every n_way")
        if self.lpips_weights is not None and self.lpips is None:
            raise ValueError("lpips_weights are for the layers of lpips; give lpips too")
        return self

    @property
    def lpips_layers(self) -> tuple[str, ...]:
        """The layers of `lpips`; of the default ones those that hold maps."""
        if self.lpips is None:
            return ()
        return self.lpips.layers or tuple(name for name in _ITS_LAYERS if name != "pooled")

    @property
    def networks(self) -> tuple[str, ...]:
        """Networks whose layers are read, each once."""
        asked = (*self.features, self.fid, self.lpips)
        return tuple(dict.fromkeys(one.network for one in asked if one is not None))

    def layers_of(self, network: str) -> tuple[str, ...]:
        """Return all layers of a network that any score reads."""
        asked = [one for one in (*self.features, self.fid, self.lpips) if one is not None]
        return tuple(
            dict.fromkeys(name for one in asked if one.network == network for name in one.names)
        )
