"""All networks on single pictures: what `encoding` and `vtn` may look at frames with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from brainreel.models.pixels import PixelsConfig
from brainreel.models.vit import ViTConfig

FrameBackbone = Annotated[ViTConfig | PixelsConfig, Field(discriminator="name")]
