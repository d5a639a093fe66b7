"""All networks on sound alone: what `encoding` may listen with beside a backbone that sees."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from brainreel.models.ast import ASTConfig
from brainreel.models.bands import BandsConfig

SoundBackbone = Annotated[ASTConfig | BandsConfig, Field(discriminator="name")]
