"""PatchEncoder: patches, special tokens, positions, transformer; what ViT and AST share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.config import Config
from brainreel.layers.positions import FixedPositions, LearnedPositions, Resize
from brainreel.layers.tokens import PatchTokens
from brainreel.layers.transformer import BlockOptions, Gelu, Norm, Transformer

Pooling = Literal["mean", "class", "distilled"]
Length = Annotated[int, Field(ge=1)]
Sides = Length | tuple[Length, Length]


class EncoderOptions(Config):
    """Options of a transformer over patches; the defaults can be trained on a laptop."""

    width: int = Field(32, ge=4)
    """Width of a token, and of the vector that comes out."""
    depth: int = Field(2, ge=0)
    """Number of transformer layers."""
    heads: int = Field(4, ge=1)
    """Attention heads; the width must be a multiple."""
    mlp_ratio: float = Field(2.0, gt=0)
    """Width of the feed-forward layer over that of a token (4 as published)."""
    positions: Literal["sincos", "learned"] = "sincos"
    """Where a patch stands: fixed sin-cos codes, or a learned vector per patch (as published)."""
    pooling: Pooling = "mean"
    """The vector that comes out: the mean over the patches; a class token put before them; or the
    mean of a class and a distillation token, each with a head of its own (DeiT)."""
    norm: Norm = "pre"
    """LayerNorm before each branch (ViT) or after each sum (BERT)."""
    norm_eps: float = Field(1e-6, gt=0)
    """Added to the variance in LayerNorm; 1e-6 as in the published ViT."""
    gelu: Gelu = "exact"
    """GELU by the error function, or its tanh approximation."""
    qkv_bias: bool = True
    """Whether query, key and value have a bias, as in the published ViT."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Chance to drop an entry after each projection."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Chance to drop an attention weight."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Chance to skip a branch in the last layer; grows linearly with depth."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""

    def block_options(self) -> BlockOptions:
        """Return how a transformer layer computes."""
        return BlockOptions(
            width=self.width,
            heads=self.heads,
            hidden=max(1, round(self.mlp_ratio * self.width)),
            norm=self.norm,
            norm_eps=self.norm_eps,
            gelu=self.gelu,
            qkv_bias=self.qkv_bias,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            drop_path=self.drop_path,
        )


class PatchEncoder(nn.Module):
    """y = norm(transformer([special tokens, patches + positions])), and what is read out of y.

    Dosovitskiy et al. 2021, "An image is worth 16x16 words", eq. 1 to 4; the distillation token of
    Touvron et al. 2021, "Training data-efficient image transformers". Special tokens have no
    position: a vector that is added to a learned token changes nothing.
    """

    def set_up(
        self,
        config: EncoderOptions,
        channels: int,
        size: Sequence[int],
        patch: Sequence[int],
        stride: Sequence[int] | None = None,
        resize: Resize | None = None,
    ) -> None:
        """Make the layers; see `PatchTokens` for the sizes and `LearnedPositions` for `resize`."""
        width = config.width
        self.patches = PatchTokens(channels, size, patch, width, stride)
        self.class_token = _token(width) if config.pooling != "mean" else None
        self.distillation_token = _token(width) if config.pooling == "distilled" else None
        self.positions: nn.Module = (
            LearnedPositions(self.patches.counts, width, resize)
            if config.positions == "learned"
            else FixedPositions(self.patches.counts, width)
        )
        self.transformer = Transformer(
            config.block_options(), config.depth, recompute=config.recompute
        )
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)

    def encode(self, x: Tensor, first: int | None = None) -> Tensor:
        """(B, C, *size) to (B, special + N, D), special tokens first; `first` of them alone."""
        tokens: Tensor = self.patches(x) + self.positions()
        special = [
            token.expand(len(tokens), -1, -1)
            for token in (self.class_token, self.distillation_token)
            if token is not None
        ]
        tokens = self.transformer(torch.cat([*special, tokens], dim=1), first=first)
        normed: Tensor = self.norm(tokens)
        return normed

    def summarise(self, x: Tensor) -> Tensor:
        """(B, C, *size) to (B, J, D): the mean, the class token, or J = 2 special tokens."""
        n_special = sum(t is not None for t in (self.class_token, self.distillation_token))
        if n_special:
            return self.encode(x, first=n_special)
        return self.encode(x).mean(dim=1, keepdim=True)


def sides(given: Sides) -> tuple[int, int]:
    """Return both sides of a patch; one number stands for a square."""
    return (given, given) if isinstance(given, int) else given


def _token(width: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(1, 1, width))
