"""ViT for film frames: a picture to one vector."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.layers.tokens import PatchTokens, grid_centres, sincos_positions
from brainreel.layers.transformer import BlockOptions, Gelu, Norm, Transformer
from brainreel.models.stimulus import (
    FrameConfig,
    FrameNetwork,
    PictureOptions,
    linear_head,
    need_frame_shape,
)
from brainreel.shapes import DataSpec, check_shape

Pooling = Literal["mean", "class"]


class ViTConfig(FrameConfig, PictureOptions):
    """A vision transformer; the defaults are small enough to train on a laptop."""

    name: Literal["vit"] = "vit"
    width: int = Field(32, ge=4)
    """Width of a token, and of the vector that comes out."""
    depth: int = Field(2, ge=0)
    """Number of transformer layers."""
    heads: int = Field(4, ge=1)
    """Attention heads; the width must be a multiple."""
    mlp_ratio: float = Field(2.0, gt=0)
    """Width of the feed-forward layer over that of a token (4 in the published ViT)."""
    patch: int = Field(8, ge=1)
    """Side of a square patch in pixels."""
    positions: Literal["sincos", "learned"] = "sincos"
    """Where a patch stands: fixed sin-cos codes, or a learned vector per patch."""
    pooling: Pooling = "mean"
    """The picture's vector: mean over the patches, or a class token put before them."""
    norm: Norm = "pre"
    """LayerNorm before each branch (ViT) or after each sum (BERT)."""
    norm_eps: float = Field(1e-6, gt=0)
    """Added to the variance in LayerNorm; 1e-6 as in the published ViT."""
    gelu: Gelu = "exact"
    """GELU by the error function, or its tanh approximation."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Chance to drop an entry after each projection."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Chance to skip a branch in the last layer; grows linearly with depth."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""

    def build(self, spec: DataSpec) -> ViT:
        """Return the network for frames of `spec.frame_shape`."""
        need_frame_shape(spec, self.name)
        return ViT(self, spec)


class ViT(FrameNetwork):
    """tokens = patches + positions; transformer; LayerNorm; mean or class token.

    Dosovitskiy et al. 2021, "An image is worth 16x16 words", eq. 1 to 4.

    Attributes
    ----------
    width
        Length D of the vector that comes out.
    """

    positions: Tensor

    def __init__(self, config: ViTConfig, spec: DataSpec) -> None:
        super().__init__()
        self.frame_shape = tuple(spec.frame_shape)
        self.width = config.width
        self.scale = config.pixel_scale()
        channels, *size = spec.frame_shape
        self.patches = PatchTokens(channels, size, (config.patch,) * 2, config.width)
        self.class_token = (
            nn.Parameter(0.02 * torch.randn(1, 1, config.width))
            if config.pooling == "class"
            else None
        )
        codes = sincos_positions(grid_centres(self.patches.counts), config.width)
        if config.positions == "learned":
            self.positions = nn.Parameter(0.02 * torch.randn_like(codes))
        else:
            self.register_buffer("positions", codes, persistent=False)
        options = BlockOptions(
            width=config.width,
            heads=config.heads,
            hidden=max(1, round(config.mlp_ratio * config.width)),
            norm=config.norm,
            norm_eps=config.norm_eps,
            gelu=config.gelu,
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
        self.transformer = Transformer(options, config.depth, recompute=config.recompute)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.head = linear_head(config.width, spec)

    def embed(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) pictures to (B, D) vectors."""
        c, h, w = self.frame_shape
        check_shape(frames, "B C H W", name="frames", C=c, H=h, W=w)
        tokens: Tensor = self.patches(self.scale(frames)) + self.positions
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = self.norm(self.transformer(tokens))
        return tokens.mean(dim=1) if self.class_token is None else tokens[:, 0]
