"""ViT and DeiT for film frames: a picture to one vector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from brainreel.layers.clip import Clip
from brainreel.models.encoder import EncoderOptions, PatchEncoder, Sides, sides
from brainreel.models.stimulus import (
    FrameConfig,
    FrameNetwork,
    PictureOptions,
    linear_head,
    need_frame_shape,
)
from brainreel.shapes import DataSpec, check_shape


class ViTConfig(FrameConfig, PictureOptions, EncoderOptions):
    """A vision transformer; the defaults are small enough to train on a laptop."""

    name: Literal["vit"] = "vit"
    patch: Sides = 8
    """Sides of a patch in pixels: one number, or height and width (16 as published)."""
    pre_logits: int = Field(0, ge=0)
    """Width of a layer with tanh that makes the vector out of its token; 0 for none."""

    def build(self, spec: DataSpec) -> ViT:
        """Return the network for frames of `spec.frame_shape`."""
        need_frame_shape(spec, self.name)
        return ViT(self, spec)


class ViT(PatchEncoder, FrameNetwork):
    """Patches of a picture through a transformer; see `PatchEncoder`.

    Pooled by a distillation token, the logits are the mean of two heads, as DeiT publishes.

    Attributes
    ----------
    width
        Length D of the vector that comes out.
    """

    def __init__(self, config: ViTConfig, spec: DataSpec) -> None:
        super().__init__()
        self.frame_shape = tuple(spec.frame_shape)
        self.scale = config.pixel_scale()
        channels, *size = spec.frame_shape
        self.set_up(config, channels, size, sides(config.patch))
        self.width = config.pre_logits or config.width
        self.pre_logits: nn.Module = (
            nn.Sequential(nn.Linear(config.width, config.pre_logits), nn.Tanh())
            if config.pre_logits
            else nn.Identity()
        )
        self.head = linear_head(self.width, spec)
        distilled = config.pooling == "distilled" and spec.n_classes
        self.distillation_head = linear_head(self.width, spec) if distilled else None

    def embed(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) pictures to (B, D) vectors."""
        return self._vectors(frames).mean(dim=1)

    def logits_of(self, clip: Clip) -> dict[str, Tensor]:
        """Return the logits of each head, by the token that it reads."""
        if self.distillation_head is None:
            return super().logits_of(clip)
        frames = clip.need_frames(self.frame_shape, who="vit")
        vectors = self._vectors(frames.flatten(0, 1))
        vectors = vectors.reshape(*frames.shape[:2], 2, -1).mean(dim=1)
        return {
            "class": self.head(vectors[:, 0]),
            "distillation": self.distillation_head(vectors[:, 1]),
        }

    def _vectors(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) to (B, J, D), one for each token that is read."""
        c, h, w = self.frame_shape
        check_shape(frames, "B C H W", name="frames", C=c, H=h, W=w)
        vectors: Tensor = self.pre_logits(self.summarise(self.scale(frames)))
        return vectors
