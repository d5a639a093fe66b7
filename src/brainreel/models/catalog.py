"""All model families: a new one is a file of its own and a name in this union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from brainreel.models.ast import ASTConfig
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.models.encoding import EncodingConfig
from brainreel.models.film_vae import FilmVAEConfig
from brainreel.models.mbt import MBTConfig
from brainreel.models.picture_autoencoder import PictureAutoencoderConfig
from brainreel.models.picture_ridge import PictureRidgeConfig
from brainreel.models.pixels import PixelsConfig
from brainreel.models.ridge import BandedRidgeConfig, RidgeConfig
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.models.tff import TFFAutoencoderConfig, TFFConfig, TFFLabelConfig
from brainreel.models.tubevit import TubeViTConfig
from brainreel.models.vit import ViTConfig
from brainreel.models.vtn import VTNConfig

AnyModel = Annotated[
    RidgeConfig
    | BandedRidgeConfig
    | PictureRidgeConfig
    | EncodingConfig
    | PixelsConfig
    | ViTConfig
    | ASTConfig
    | VTNConfig
    | TubeViTConfig
    | MBTConfig
    | TFFAutoencoderConfig
    | TFFConfig
    | TFFLabelConfig
    | FilmVAEConfig
    | BrainDiffusionConfig
    | PictureAutoencoderConfig
    | SCMBMConfig,
    Field(discriminator="name"),
]
