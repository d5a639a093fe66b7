"""What every network on film or sound has in common: clips in, features or logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from pydantic import Field
from torch import Tensor, nn

from brainreel.config import Config
from brainreel.errors import DataError
from brainreel.layers.clip import Clip, Standardise
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec, Sense

Scale = float | tuple[float, ...]


class PictureOptions(Config):
    """The scale of pixels; published weights want the one that they were trained with."""

    pixel_mean: Scale = 0.5
    """Subtracted from pixels in [0, 1]: one number, or one a channel."""
    pixel_std: Scale = 0.5
    """Pixels are divided by it: one number, or one a channel."""

    def pixel_scale(self) -> Standardise:
        """Return the module that brings pixels to scale."""
        return Standardise(self.pixel_mean, self.pixel_std)


class SoundOptions(Config):
    """The scale of log-mel energies; published weights want the one they were trained with."""

    sound_mean: float = -4.27
    """Subtracted from log-mel energies; AST's mean over AudioSet (Gong et al. 2021)."""
    sound_std: float = Field(9.14, gt=0)
    """Log-mel energies are divided by it; twice AST's deviation over AudioSet, as published."""

    def sound_scale(self) -> Standardise:
        """Return the module that brings sound to scale."""
        return Standardise(self.sound_mean, self.sound_std)


class StimulusNetwork(nn.Module, ABC):
    """A network on clips: features for brain models, logits where the data has classes.

    Attributes
    ----------
    width
        Length D of the features of a clip.
    head
        Features to logits; `nn.Identity` where the data has no classes.
    """

    width: int
    head: nn.Module

    @property
    def spaces(self) -> Mapping[str, int]:
        """Feature spaces that the columns fall into, in order; a ridge may weigh them apart."""
        return {type(self).__name__.lower(): self.width}

    @abstractmethod
    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) features of B clips."""

    def logits_of(self, clip: Clip) -> dict[str, Tensor]:
        """Return the (B, K) logits of each sense that is read out by itself."""
        return {"": self.head(self.features(clip))}

    def forward(self, clip: Clip) -> Tensor:
        """Return (B, K) logits, the labels' classes side by side; (B, D) features without a head.

        Senses that are read out by themselves are averaged.
        """
        if isinstance(self.head, nn.Identity):
            return self.features(clip)
        logits = list(self.logits_of(clip).values())
        total: Tensor = sum(logits[1:], start=logits[0])
        return total / len(logits)


class FrameNetwork(StimulusNetwork):
    """A network on single pictures; the features of a clip are the mean over its frames.

    Attributes
    ----------
    frame_shape
        (C, H, W) of a picture.
    """

    frame_shape: tuple[int, ...]

    @abstractmethod
    def embed(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) pictures, uint8 or float in [0, 1], to (B, D) vectors."""

    def features(self, clip: Clip) -> Tensor:
        """Return the mean vector over the frames of each clip."""
        frames = clip.need_frames(self.frame_shape, who=type(self).__name__)
        vectors = self.embed(frames.flatten(0, 1))
        return vectors.reshape(*frames.shape[:2], -1).mean(dim=1)


class StimulusConfig(ModelConfig, ABC):
    """Options of a network on clips."""

    @property
    def senses(self) -> frozenset[Sense]:
        """What the network takes in; data that it does not need is not loaded."""
        return frozenset({"pictures"})

    @property
    def single_pictures(self) -> bool:
        """Whether the network looks at each frame by itself."""
        return False

    @abstractmethod
    def build(self, spec: DataSpec) -> StimulusNetwork:
        """Return the network with fresh weights; with a head where the data has classes."""


class FrameConfig(StimulusConfig, ABC):
    """Options of a network on single pictures."""

    @property
    def single_pictures(self) -> bool:
        """Whether the network looks at each frame by itself."""
        return True

    @abstractmethod
    def build(self, spec: DataSpec) -> FrameNetwork:
        """Return the network with fresh weights; with a head where the data has classes."""


def linear_head(width: int, spec: DataSpec) -> nn.Module:
    """Return a linear layer to the logits of all classes, or `nn.Identity` without classes."""
    return nn.Linear(width, spec.n_classes) if spec.n_classes else nn.Identity()


def need_frame_shape(spec: DataSpec, name: str) -> tuple[int, ...]:
    """Return the data's (C, H, W), or say that it has no film."""
    if len(spec.frame_shape) != 3:
        raise DataError(f"the data has no film frames. '{name}' needs data with a film.")
    return spec.frame_shape


def need_sound_shape(spec: DataSpec, name: str) -> tuple[int, ...]:
    """Return the data's (C, S, M), or say that it has no sound."""
    if len(spec.sound_shape) != 3:
        raise DataError(f"the data has no sound. '{name}' needs films with sound.")
    return spec.sound_shape
