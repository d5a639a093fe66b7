"""Random changes of training clips: crops, flips and colours of frames, hidden parts of sound."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import interpolate

from brainreel.config import Config
from brainreel.shapes import check_shape
from brainreel.stimulus.audio import spec_augment

Float32 = NDArray[np.float32]
Size = tuple[int, int]
Box = tuple[int, int, int, int]

# Weights of red, green and blue in grey (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)
_ATTEMPTS = 10


class AugmentConfig(Config):
    """Random changes of a training clip; one draw for all its frames."""

    scale: tuple[float, float] | None = (0.35, 1.0)
    """Smallest and largest share of a frame's area that a random crop takes; none: the crop in
    the centre, as in a test."""
    ratio: tuple[float, float] = (0.75, 4 / 3)
    """Narrowest and widest crop, as width / height; 3/4 to 4/3 as published for Inception."""
    flip: float = Field(0.5, ge=0, le=1)
    """Chance of a mirrored clip; 0 where left and right matter (Something-Something)."""
    brightness: float = Field(0.0, ge=0)
    """Pixels are multiplied by a draw from 1 - x to 1 + x (not below 0)."""
    contrast: float = Field(0.0, ge=0)
    """Distance from the clip's mean grey is multiplied by a draw from 1 - x to 1 + x."""
    saturation: float = Field(0.0, ge=0)
    """Distance from each pixel's grey is multiplied by a draw from 1 - x to 1 + x."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Hue is turned by a draw from -x to x, in whole turns of the colour circle."""
    time_mask: int = Field(0, ge=0)
    """SpecAugment: widest stretch of time that is hidden, in steps; 192 in AST and MBT."""
    mel_mask: int = Field(0, ge=0)
    """SpecAugment: widest stretch of mel bands that is hidden; 48 in AST and MBT."""

    @model_validator(mode="after")
    def _crops_fit(self) -> Self:
        if self.scale is not None and not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale needs two shares, the smaller first, above 0 and up to 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError("ratio needs two numbers above 0, the smaller first")
        return self

    def frames(self, frames: Tensor, size: Size, rng: np.random.Generator) -> Tensor:
        """Change the frames of a clip: crop, flip, colour.

        Parameters
        ----------
        frames
            (F, C, H, W) uint8.
        size
            (H, W) of the result.
        rng
            Source of the draws; their number does not depend on the frames' content.

        Returns
        -------
        (F, C, H, W) uint8 of `size`.
        """
        check_shape(frames, "F C H W", name="frames")
        if self.scale is None:
            cropped = centre_crops(frames, size, 1)[0]
        else:
            box = random_box(_size_of(frames), self.scale, self.ratio, rng)
            cropped = resized(_cut(frames, box), size)
        if rng.random() < self.flip:
            cropped = cropped.flip(-1)
        spreads = (self.brightness, self.contrast, self.saturation)
        light, contrast, colour = (rng.uniform(max(0.0, 1 - x), 1 + x) for x in spreads)
        turn = rng.uniform(-self.hue, self.hue)
        if not any(spreads) and not self.hue:
            return cropped.contiguous()
        return colour_jitter(cropped, light, contrast, colour, turn)

    def sound(self, mel: Float32, rng: np.random.Generator) -> Float32:
        """Hide parts of an (S, M) log-mel spectrogram behind its mean."""
        if not self.time_mask and not self.mel_mask:
            return mel
        widest = {"max_time": self.time_mask, "max_frequency": self.mel_mask}
        return spec_augment(mel, rng, **widest, fill=float(mel.mean()))


def random_box(
    size: Size,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> Box:
    """Draw a crop as Inception does.

    area = U(scale) H W,  log a = U(log ratio),  w = sqrt(area a),  h = sqrt(area / a)

    Ten draws are made and the first that fits is taken; where none does, the largest central crop
    whose aspect lies within `ratio` (Szegedy et al. 2015, section 6).

    Parameters
    ----------
    size
        (H, W) of the frames.
    scale
        Smallest and largest share of their area, above 0 to 1.
    ratio
        Smallest and largest width / height.
    rng
        Source of the draws.

    Returns
    -------
    top, left, height, width in pixels.
    """
    height, width = size
    draws = rng.random((_ATTEMPTS, 4))
    for share, aspect, down, across in draws.tolist():
        area = (scale[0] + share * (scale[1] - scale[0])) * height * width
        low, high = math.log(ratio[0]), math.log(ratio[1])
        wanted = math.exp(low + aspect * (high - low))
        h, w = round(math.sqrt(area / wanted)), round(math.sqrt(area * wanted))
        if 0 < h <= height and 0 < w <= width:
            return int(down * (height - h + 1)), int(across * (width - w + 1)), h, w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
    return (height - h) // 2, (width - w) // 2, max(h, 1), max(w, 1)


def centre_crops(frames: Tensor, size: Size, n_crops: int) -> list[Tensor]:
    """Cut (F, C, H, W) frames to `size`: at the centre, or at 3 places along the longer side.

    Frames that are smaller than `size` are first grown until they cover it. Three crops lie at
    the left (top), the centre and the right (bottom) of the side that is longer in proportion.
    """
    height, width = _size_of(frames)
    grow = max(size[0] / height, size[1] / width)
    if grow > 1:
        grown = max(size[0], round(height * grow)), max(size[1], round(width * grow))
        frames = resized(frames, grown)
        height, width = grown
    down, across = height - size[0], width - size[1]
    places = [(0.5, 0.5)] if n_crops == 1 else [(0.5, x) for x in (0.0, 0.5, 1.0)]
    if n_crops > 1 and down * size[1] > across * size[0]:
        places = [(x, 0.5) for x in (0.0, 0.5, 1.0)]
    return [_cut(frames, (int(y * down), int(x * across), *size)).contiguous() for y, x in places]


def resized(frames: Tensor, size: Size) -> Tensor:
    """Resize (F, C, H, W) uint8 frames to (H, W) by linear interpolation without aliasing."""
    if _size_of(frames) == tuple(size):
        return frames
    return interpolate(frames, size, mode="bilinear", antialias=True)


def colour_jitter(
    frames: Tensor, brightness: float, contrast: float, saturation: float, turn: float
) -> Tensor:
    """Change the colours of a clip, one after another, each cut to [0, 1].

    y = brightness x;  y = m + contrast (y - m);  y = g + saturation (y - g);  hue + turn

    m is the mean grey of the whole clip, g the grey of each pixel (0.299 r + 0.587 g + 0.114 b);
    hue is the angle of the HSV hexagon, in turns.

    Parameters
    ----------
    frames
        (F, 3, H, W) uint8.
    brightness, contrast, saturation
        Factors from 0 up; 1 changes nothing.
    turn
        Part of the colour circle; 0 changes nothing.

    Returns
    -------
    (F, 3, H, W) uint8.
    """
    check_shape(frames, "F C H W", name="frames", C=3)
    x = frames.float() / 255
    x = (x * brightness).clamp(0, 1)
    mean = _grey(x).mean()
    x = (mean + contrast * (x - mean)).clamp(0, 1)
    grey = _grey(x)
    x = (grey + saturation * (x - grey)).clamp(0, 1)
    if turn:
        x = turned_hue(x, turn)
    return (x * 255).round().to(torch.uint8)


def turned_hue(x: Tensor, turn: float) -> Tensor:
    """Turn the hue of (F, 3, H, W) colours in [0, 1], at equal value and saturation of HSV.

    channel n = v - c max(0, min(k, 4 - k, 1)),  k = (n + 6 (hue + turn)) mod 6,  n = 5, 3, 1

    with v the largest channel and c its distance from the smallest (Smith 1978).
    """
    value, _ = x.max(dim=1)
    chroma = value - x.min(dim=1).values
    red, green, blue = x.unbind(dim=1)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    channels = []
    for n in (5, 3, 1):
        k = (n + sector + 6 * turn) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def _grey(x: Tensor) -> Tensor:
    return (x * torch.tensor(_LUMA).reshape(3, 1, 1)).sum(dim=1, keepdim=True)


def _cut(frames: Tensor, box: Box) -> Tensor:
    top, left, height, width = box
    return frames[..., top : top + height, left : left + width]


def _size_of(frames: Tensor) -> Size:
    return int(frames.shape[-2]), int(frames.shape[-1])
