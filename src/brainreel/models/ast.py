"""AST for film sound: a spectrogram to one vector."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from brainreel.layers.clip import Clip
from brainreel.layers.positions import cut_or_resized
from brainreel.models.encoder import EncoderOptions, PatchEncoder, Sides, sides
from brainreel.models.stimulus import (
    SoundOptions,
    StimulusConfig,
    StimulusNetwork,
    linear_head,
    need_sound_shape,
)
from brainreel.shapes import DataSpec, Sense


class ASTConfig(StimulusConfig, SoundOptions, EncoderOptions):
    """An audio spectrogram transformer; the defaults are small enough to train on a laptop."""

    name: Literal["ast"] = "ast"
    patch: Sides = 16
    """Sides of a patch in steps of time and mel bands: one number, or both (16 as published)."""
    stride: Sides | None = None
    """From patch to patch in time and mel bands; less than the patch, they overlap (10 as
    published); none for patches side by side."""

    @property
    def senses(self) -> frozenset[Sense]:
        """What the network takes in."""
        return frozenset({"sound"})

    def build(self, spec: DataSpec) -> AST:
        """Return the network for sound of `spec.sound_shape`."""
        need_sound_shape(spec, self.name)
        return AST(self, spec)


class AST(PatchEncoder, StimulusNetwork):
    """Patches of a log-mel spectrogram through a transformer; see `PatchEncoder`.

    Gong, Chung & Glass 2021, "AST: audio spectrogram transformer". The head is a LayerNorm and a
    linear layer on the vector; with a distillation token, that is its mean with the class token.

    Attributes
    ----------
    width
        Length D of the vector that comes out.
    sound_shape
        (C, S, M) of a spectrogram.
    """

    def __init__(self, config: ASTConfig, spec: DataSpec) -> None:
        super().__init__()
        self.sound_shape = tuple(spec.sound_shape)
        self.width = config.width
        self.scale = config.sound_scale()
        channels, *size = spec.sound_shape
        stride = None if config.stride is None else sides(config.stride)
        self.set_up(config, channels, size, sides(config.patch), stride, cut_or_resized)
        self.head = (
            nn.Sequential(
                nn.LayerNorm(self.width, eps=config.norm_eps), linear_head(self.width, spec)
            )
            if spec.n_classes
            else nn.Identity()
        )

    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) vectors of the sound of each clip."""
        sound = clip.need_sound(self.sound_shape, who="ast")
        return self.summarise(self.scale(sound)).mean(dim=1)
