"""VTN: each frame to a vector, then attention over the frames of a clip, however many."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainreel.errors import DataError
from brainreel.layers.clip import Clip
from brainreel.layers.tokens import sincos_positions
from brainreel.layers.transformer import Block, BlockOptions, Transformer
from brainreel.layers.windowed import WindowAttention
from brainreel.models.frame_backbones import FrameBackbone
from brainreel.models.stimulus import StimulusConfig, StimulusNetwork, need_frame_shape
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec, check_shape

Window = Annotated[int, Field(ge=0)]
Windows = Window | tuple[Window, ...]


class VTNConfig(StimulusConfig):
    """A frame backbone and Longformer-type attention over time; defaults for a laptop."""

    name: Literal["vtn"] = "vtn"
    frame: FrameBackbone = ViTConfig(pooling="class")
    """What turns a frame into a vector; its width is that of the tokens over time."""
    depth: int = Field(2, ge=1)
    """Transformer layers over time (3 as published)."""
    heads: int = Field(4, ge=1)
    """Attention heads over time (12 as published); the frame's width must be a multiple."""
    mlp_ratio: float = Field(2.0, gt=0)
    """Width of the feed-forward layer over that of a token (4 as published)."""
    window: Windows = 32
    """Frames that a frame sees, half of them to each side; 32 in the paper, 18 as released. One
    number, or one a layer."""
    positions: Literal["learned", "sincos"] = "learned"
    """When a frame is: a learned vector per frame number, or sin-cos codes without an end."""
    max_positions: int = Field(288, ge=3)
    """Learned positions; frame numbers are taken modulo two less, and the class token has one."""
    pooling: Literal["class", "mean"] = "class"
    """The clip's vector: the class token, which meets all frames, or the mean over all tokens."""
    norm_eps: float = Field(1e-12, gt=0)
    """Added to the variance in the LayerNorms over time, as in BERT."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Chance to drop an entry after each projection over time, as published."""
    attention_dropout: float = Field(0.1, ge=0, lt=1)
    """Chance to drop an attention weight over time, as published."""
    head_width: int = Field(32, ge=1)
    """Width of the hidden layer before the classes (768 as published)."""
    head_dropout: float = Field(0.5, ge=0, lt=1)
    """Chance to drop an entry before the classes, as published."""
    frozen: bool = False
    """Keep the frame backbone as it is: no gradient, no dropout, and little memory."""
    frames_at_once: int = Field(32, ge=1)
    """Frames that the backbone takes at once where no gradient is kept; bounds the memory."""

    @model_validator(mode="after")
    def _one_window_a_layer(self) -> Self:
        if isinstance(self.window, tuple) and len(self.window) != self.depth:
            raise ValueError(
                f"window has {len(self.window)} lengths for a depth of {self.depth}; "
                "give one number, or one a layer"
            )
        return self

    def build(self, spec: DataSpec) -> VTN:
        """Return the network for frames of `spec.frame_shape`."""
        need_frame_shape(spec, self.name)
        return VTN(self, spec)


class VTN(StimulusNetwork):
    """z_f = backbone(frame_f); features = what the class token holds after attention over z.

    Neimark et al. 2021, "Video transformer network", section 3. Clips of any number of frames go
    through the same weights; time and memory are linear in it.

    Attributes
    ----------
    width
        Length D of the vector that comes out, that of the frame backbone.
    frame_shape
        (C, H, W) of a frame.
    """

    # Which parts follow each other, for step sizes that differ from layer to layer.
    stages = ("frame", "temporal")

    def __init__(self, config: VTNConfig, spec: DataSpec) -> None:
        super().__init__()
        self.frame_shape = tuple(spec.frame_shape)
        self.frames_at_once = config.frames_at_once
        self.frozen = config.frozen
        self.frame = config.frame.build(replace(spec, classes={}))
        self.frame.requires_grad_(not config.frozen)
        self.width = int(self.frame.width)
        self.temporal = FrameAttention(config, self.width)
        self.head = _head(config, self.width, spec.n_classes)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on or off; a frozen backbone has none."""
        super().train(mode)
        if self.frozen:
            self.frame.eval()
        return self

    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) features of B clips; rows without pictures show no frame at all."""
        frames = clip.need_frames(self.frame_shape, who="vtn")
        n_rows, n_frames = frames.shape[:2]
        _need_a_frame(n_frames)
        valid = None
        if clip.seen is not None:
            frames = frames.masked_fill(~clip.seen[:, None, None, None, None], 0)
            valid = clip.seen[:, None].expand(-1, n_frames)
        vectors = self.embed_frames(frames.flatten(0, 1)).reshape(n_rows, n_frames, -1)
        return self.attend(vectors, clip.frame_numbers, valid)

    def embed_frames(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) frames to (B, D) vectors, part by part where no gradient is kept."""
        if torch.is_grad_enabled() and not self.frozen:
            return self.frame.embed(frames)
        with torch.no_grad():
            return torch.cat(
                [self.frame.embed(part) for part in torch.split(frames, self.frames_at_once)]
            )

    def attend(
        self, vectors: Tensor, frame_numbers: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Turn the vectors of frames into one of the clip.

        Parameters
        ----------
        vectors
            (B, F, D) as `embed_frames` gives them.
        frame_numbers
            (B, F) int64 numbers of the frames in their film; None for 0 .. F - 1.
        valid
            (B, F) False at frames that are not there, as in clips padded to one length; what
            stands there is not looked at. None if all are.

        Returns
        -------
        Tensor
            (B, D).
        """
        return self.temporal(vectors, frame_numbers, valid)  # type: ignore[no-any-return]


class FrameAttention(nn.Module):
    """tokens = norm([class token, z] + position + type); post-norm layers with a sliding window.

    The class token is the global one: it meets all frames, and all frames meet it. Where it alone
    is read, the last layer computes nothing else, so that no weight is without effect.
    """

    def __init__(self, config: VTNConfig, width: int) -> None:
        super().__init__()
        self.width = width
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        # Type 0 is a frame, type 1 the class token; the last but one position is the latter's,
        # and the last one, for padding in published weights, stays unused.
        self.types = nn.Parameter(0.02 * torch.randn(2, width))
        learned = config.positions == "learned"
        self.positions = (
            nn.Parameter(0.02 * torch.randn(config.max_positions, width)) if learned else None
        )
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        options = BlockOptions(
            width=width,
            heads=config.heads,
            hidden=max(1, round(config.mlp_ratio * width)),
            norm="post",
            norm_eps=config.norm_eps,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
        )
        by_class = config.pooling == "class"
        given = config.window
        windows = iter(given if isinstance(given, tuple) else (given,) * config.depth)
        self.transformer = Transformer(
            options,
            config.depth - by_class,
            attention=lambda block: WindowAttention(block, next(windows)),
        )
        self.last = Block(options) if by_class else None

    def forward(
        self, vectors: Tensor, frame_numbers: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """(B, F, D) to (B, D); see `VTN.attend`."""
        n_rows, n_frames, _ = check_shape(vectors, "B F D", name="vectors", D=self.width).values()
        _need_a_frame(n_frames)
        if frame_numbers is None:
            frame_numbers = torch.arange(n_frames, device=vectors.device).expand(n_rows, -1)
        check_shape(frame_numbers, "B F", name="frame_numbers", B=n_rows, F=n_frames)
        if valid is not None:
            check_shape(valid, "B F", name="valid", B=n_rows, F=n_frames)
            vectors = vectors.masked_fill(~valid.unsqueeze(-1), 0.0)
        tokens = self.transformer(self.embed(vectors, frame_numbers), mask=valid)
        there = None if valid is None else nn.functional.pad(valid, (1, 0), value=True)
        if self.last is None:
            return _mean(tokens, there)
        mask = None if there is None else there[:, None, None]
        read: Tensor = self.last(tokens, mask=mask, first=1)
        return read[:, 0]

    def embed(self, vectors: Tensor, frame_numbers: Tensor) -> Tensor:
        """(B, F, D) vectors to (B, 1 + F, D) tokens that know their place and type."""
        first = self.class_token + self.types[1]
        if self.positions is None:
            codes = sincos_positions(frame_numbers.reshape(-1, 1), self.width)
            codes = codes.reshape(vectors.shape).to(vectors.dtype)
        else:
            codes = self.positions[frame_numbers.long() % (len(self.positions) - 2)]
            first = first + self.positions[-2]
        frames = vectors + codes + self.types[0]
        tokens = torch.cat([first.expand(len(frames), -1, -1), frames], dim=1)
        embedded: Tensor = self.dropout(self.norm(tokens))
        return embedded


def _need_a_frame(n_frames: int) -> None:
    if n_frames == 0:
        raise DataError("a clip without frames has nothing to attend to. Give one at least.")


def _mean(tokens: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the valid tokens, (B, N, D) to (B, D)."""
    if valid is None:
        return tokens.mean(dim=1)
    return (tokens * valid.unsqueeze(-1)).sum(dim=1) / valid.sum(dim=1, keepdim=True)


def _head(config: VTNConfig, width: int, n_classes: int) -> nn.Module:
    if not n_classes:
        return nn.Identity()
    return nn.Sequential(
        OrderedDict(
            norm=nn.LayerNorm(width),
            expand=nn.Linear(width, config.head_width),
            gelu=nn.GELU(),
            dropout=nn.Dropout(config.head_dropout),
            logits=nn.Linear(config.head_width, n_classes),
        )
    )
