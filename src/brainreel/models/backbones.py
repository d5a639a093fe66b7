"""All networks on film and sound: what `encoding` may see and hear with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from brainreel.models.ast import ASTConfig
from brainreel.models.bands import BandsConfig
from brainreel.models.hf import HFConfig
from brainreel.models.mbt import MBTConfig
from brainreel.models.pixels import PixelsConfig
from brainreel.models.sights import SightsConfig
from brainreel.models.tubevit import TubeViTConfig
from brainreel.models.vit import ViTConfig
from brainreel.models.vtn import VTNConfig

Backbone = Annotated[
    ViTConfig
    | ASTConfig
    | PixelsConfig
    | SightsConfig
    | BandsConfig
    | VTNConfig
    | TubeViTConfig
    | MBTConfig
    | HFConfig,
    Field(discriminator="name"),
]
