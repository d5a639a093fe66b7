"""Random changes of training clips: crops, flips and colours of frames, hidden parts of sound."""

from __future__ import annotations

from pydantic import Field

from brainreel.config import Config


class AugmentConfig(Config):
    """Random changes of a training clip; one draw for all its frames."""

    scale: tuple[float, float] | None = (0.35, 1.0)
    """Smallest and largest share of a frame's area that a random crop takes; none: the largest
    crop of the wanted aspect, at the centre."""
    ratio: tuple[float, float] = (0.75, 4 / 3)
    """Narrowest and widest crop, as width / height; 3/4 to 4/3 as published for Inception."""
    flip: float = Field(0.5, ge=0, le=1)
    """Chance of a mirrored clip; 0 where left and right matter (Something-Something)."""
    brightness: float = Field(0.0, ge=0)
    """Brightness is multiplied by a draw from 1 - x to 1 + x (not below 0)."""
    contrast: float = Field(0.0, ge=0)
    """Contrast is multiplied by a draw from 1 - x to 1 + x (not below 0)."""
    saturation: float = Field(0.0, ge=0)
    """Saturation is multiplied by a draw from 1 - x to 1 + x (not below 0)."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Hue is turned by a draw from -x to x, in whole turns of the colour circle."""
    time_mask: int = Field(0, ge=0)
    """SpecAugment: widest stretch of time that is hidden, in steps; 192 in AST and MBT."""
    mel_mask: int = Field(0, ge=0)
    """SpecAugment: widest stretch of mel bands that is hidden; 48 in AST and MBT."""
