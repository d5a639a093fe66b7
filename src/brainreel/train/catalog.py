"""All tasks: a new one is a file of its own and a name in this union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from brainreel.train.autoencode import AutoencodeConfig
from brainreel.train.classify import ClassifyConfig
from brainreel.train.denoise import DenoiseConfig
from brainreel.train.feature_ridge import FeatureRidgeConfig
from brainreel.train.film_network import SupervisedConfig
from brainreel.train.film_volumes import FilmVolumesConfig
from brainreel.train.label import LabelConfig
from brainreel.train.mask_fill import MaskConfig
from brainreel.train.pictures import PicturesConfig
from brainreel.train.reconstruct import VolumesConfig

AnyTask = Annotated[
    FeatureRidgeConfig
    | PicturesConfig
    | SupervisedConfig
    | ClassifyConfig
    | VolumesConfig
    | FilmVolumesConfig
    | LabelConfig
    | MaskConfig
    | DenoiseConfig
    | AutoencodeConfig,
    Field(discriminator="name"),
]
