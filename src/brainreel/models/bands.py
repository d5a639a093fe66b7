"""Backbone `bands`: how loud each mel band is, how much it varies and rises; nothing learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from brainreel.layers.clip import Clip
from brainreel.models.stimulus import (
    SoundOptions,
    StimulusConfig,
    StimulusNetwork,
    linear_head,
    need_sound_shape,
)
from brainreel.shapes import DataSpec, Sense


class BandsConfig(StimulusConfig, SoundOptions):
    """Level, spread and onsets of each mel band, no weights: what a deep listener must beat."""

    name: Literal["bands"] = "bands"

    @property
    def senses(self) -> frozenset[Sense]:
        """What the network takes in."""
        return frozenset({"sound"})

    def build(self, spec: DataSpec) -> Bands:
        """Return the fixed backbone for sound of `spec.sound_shape`."""
        need_sound_shape(spec, self.name)
        return Bands(self, spec)


class Bands(StimulusNetwork):
    """[mean_s x, std_s x, mean_s max(0, x_s - x_{s-1})] over the steps s of a clip, band by band.

    Attributes
    ----------
    width
        Length D = 3 C M of the vector that comes out.
    sound_shape
        (C, S, M) of a spectrogram.
    """

    def __init__(self, config: BandsConfig, spec: DataSpec) -> None:
        super().__init__()
        self.sound_shape = tuple(spec.sound_shape)
        channels, _, bands = spec.sound_shape
        self.width = 3 * channels * bands
        self.scale = config.sound_scale()
        self.head = linear_head(self.width, spec)

    @property
    def spaces(self) -> Mapping[str, int]:
        """Feature spaces that the columns fall into, in order."""
        return dict.fromkeys(("level", "spread", "onsets"), self.width // 3)

    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) features of B clips: all means, all deviations, all onsets."""
        sound = self.scale(clip.need_sound(self.sound_shape, who="bands"))
        deviation = sound.var(dim=2, unbiased=False).sqrt()
        # A clip of one step has no onset: the step stands for the one before it.
        onsets = sound.diff(dim=2, prepend=sound[:, :, :1]).clamp_min(0).mean(dim=2)
        return torch.cat([part.flatten(1) for part in (sound.mean(dim=2), deviation, onsets)], 1)
