"""TubeViT: one transformer for pictures and clips, on sparse tubes of space and time."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.errors import ConfigError, DataError
from brainreel.layers.clip import Clip
from brainreel.layers.transformer import BlockOptions, Gelu, Transformer
from brainreel.layers.tube_kernels import Size
from brainreel.layers.tubes import Tube, TubeTokens
from brainreel.models.stimulus import (
    PictureOptions,
    StimulusConfig,
    StimulusNetwork,
    linear_head,
    need_frame_shape,
)
from brainreel.shapes import DataSpec

# Of Piergiovanni et al. 2023, for clips of 32 x 224 x 224.
PUBLISHED_TUBES = (
    Tube(kernel=(8, 8, 8), stride=(16, 32, 32)),
    Tube(kernel=(16, 4, 4), stride=(6, 32, 32), offset=(4, 8, 8)),
    Tube(kernel=(4, 12, 12), stride=(16, 32, 32), offset=(0, 16, 16)),
    Tube(kernel=(1, 16, 16), stride=(32, 16, 16)),
)
# The same, for clips of 8 frames of 10 x 10 pixels and more, such as 16 x 32 x 32.
SMALL_TUBES = (
    Tube(kernel=(4, 4, 4), stride=(8, 8, 8)),
    Tube(kernel=(8, 2, 2), stride=(4, 8, 8), offset=(0, 2, 2)),
    Tube(kernel=(2, 6, 6), stride=(8, 8, 8), offset=(0, 4, 4)),
    Tube(kernel=(1, 8, 8), stride=(16, 8, 8)),
)
_SHOWN = {"the published tubes": (PUBLISHED_TUBES, (32, 224, 224)),
          "the default tubes": (SMALL_TUBES, (16, 32, 32))}  # fmt: skip


class TubeViTConfig(StimulusConfig, PictureOptions):
    """A vision transformer on sparse tubes of a clip; the defaults suit small clips on a laptop."""

    name: Literal["tubevit"] = "tubevit"
    tubes: tuple[Tube, ...] = Field(SMALL_TUBES, min_length=1)
    """The tubes; pictures, clips of one frame, are seen through those of one frame alone."""
    kernels: Literal["interpolated", "separate"] = "interpolated"
    """One learned kernel of the first tube's size, stretched to the others; or one for each."""
    rescale: bool = True
    """Rescale stretched kernels, so that the tokens of all tubes have one deviation; weights of
    the published port were trained without."""
    tau: float = Field(10000.0, gt=1)
    """Of the sin-cos positions; 10000 in the published port, 1000 in one account of the paper."""
    width: int = Field(48, ge=6)
    """Width of a token (B 768, L 1024, H 1280)."""
    depth: int = Field(2, ge=0)
    """Number of transformer layers (B 12, L 24, H 32)."""
    heads: int = Field(4, ge=1)
    """Attention heads; the width must be a multiple (B 12, L 16, H 16)."""
    mlp_ratio: float = Field(2.0, gt=0)
    """Width of the feed-forward layer over that of a token (4 as published)."""
    pooling: Literal["attention", "class"] = "attention"
    """The clip's vector: all tokens, weighed by a softmax of learned scores, or the class token."""
    norm_eps: float = Field(1e-6, gt=0)
    """Added to the variance in LayerNorm; 1e-6 as in the published ViT."""
    gelu: Gelu = "exact"
    """GELU by the error function, or its tanh approximation."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Chance to drop an entry after each projection."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Chance to skip a branch in the last layer; grows linearly with depth."""
    frozen_layers: int = Field(0, ge=0)
    """Scaling up: so many first layers stay as they were loaded, and behind them the tokens that
    went in are added again through a gate that begins closed; 0 for neither."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""

    @classmethod
    def facts(cls) -> tuple[str, ...]:
        """Return the token count of each tube, of the published and of the default set."""
        lines = []
        for title, (tubes, (f, h, w)) in _SHOWN.items():
            counted = tube_tokens(cls(tubes=tubes), DataSpec(frame_shape=(3, h, w), clip_frames=f))
            lines.append(f"{f} x {h} x {w} pixels through {title}:")
            lines += [f"  {count}" for count in counted]
            lines.append(f"  {sum(count.n_tokens for count in counted)} tokens and the class token")
        return tuple(lines)

    def build(self, spec: DataSpec) -> TubeViT:
        """Return the network for frames of `spec.frame_shape`, and clips of any length."""
        need_frame_shape(spec, self.name)
        return TubeViT(self, spec)


class TubeCount(NamedTuple):
    """The tokens of one tube."""

    kernel: Size
    stride: Size
    offset: Size
    grid: Size
    n_tokens: int

    def __str__(self) -> str:
        kernel, stride, grid = (
            " x ".join(map(str, p)) for p in (self.kernel, self.stride, self.grid)
        )
        start = ", ".join(map(str, self.offset))
        return f"{kernel} every {stride} from {start}: {grid} = {self.n_tokens} tokens"


def tube_tokens(config: TubeViTConfig, spec: DataSpec) -> list[TubeCount]:
    """Count the tokens of each tube, the class token left out.

    Parameters
    ----------
    config
        Names the tubes.
    spec
        Tells the frames F of a clip and their (C, H, W). With F = 1 tubes through several frames
        are left out, as they are for pictures.

    Raises
    ------
    DataError
        If the data has no clips, or a tube does not fit them.
    """
    _, h, w = need_frame_shape(spec, config.name)
    f = spec.clip_frames
    if f < 1:
        raise DataError("the data does not tell the frames of a clip. Set clip_frames.")
    seen = [tube for tube in config.tubes if f > 1 or tube.is_flat]
    grids = [tube.grid((f, h, w)) for tube in seen]
    return [
        TubeCount(tube.kernel, tube.stride, tube.offset, (t, y, x), t * y * x)
        for tube, (t, y, x) in zip(seen, grids, strict=True)
    ]


class TubeViT(StimulusNetwork):
    """z_0 = [class, tubes + positions]; z = LayerNorm(transformer(z_0)); features = pool(z).

    Piergiovanni, Kuo & Angelova 2023, "Rethinking Video ViTs: Sparse Video Tubes for Joint Image
    and Video Learning". Pictures and clips go through the same weights: a picture has the tokens
    of the flat tubes alone. With `frozen_layers` s > 0, layer s gives z_s = block_s(z_(s-1)) +
    gate z_0 with a learned gate that starts at 0, so that a network whose transformer was taken
    from a ViT at first computes that ViT on the tubes' tokens ("scaling up"). The frozen weights
    take no gradient, no optimiser moves them, and they are saved with all others.

    Attributes
    ----------
    width
        Length D of the vector that comes out.
    frame_shape
        (C, H, W) of a frame.
    """

    def __init__(self, config: TubeViTConfig, spec: DataSpec) -> None:
        super().__init__()
        _check(config)
        self.frame_shape = tuple(spec.frame_shape)
        self.width = config.width
        self.tubes = TubeTokens(
            self.frame_shape[0],
            config.width,
            config.tubes,
            scale=config.pixel_scale(),
            shared=config.kernels == "interpolated",
            rescale=config.rescale,
            tau=config.tau,
        )
        # Known lengths have their positions at hand; others are worked out when they come.
        flat = any(tube.is_flat for tube in config.tubes)
        for length in sorted({spec.clip_frames, int(flat)} - {0}):
            self.register_buffer(f"codes_{length}", self._codes(length), persistent=False)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        options = BlockOptions(
            width=config.width,
            heads=config.heads,
            hidden=max(1, round(config.mlp_ratio * config.width)),
            norm_eps=config.norm_eps,
            gelu=config.gelu,
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
        self.transformer = Transformer(options, config.depth, recompute=config.recompute)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.pool = AttentionPool(config.width) if config.pooling == "attention" else None
        self.head = linear_head(config.width, spec)
        self.frozen_layers = config.frozen_layers
        self.gate = nn.Parameter(torch.zeros(1)) if config.frozen_layers else None
        for block in self._frozen():
            block.requires_grad_(False)
        self.train()

    def positions(self, n_frames: int) -> Tensor:
        """Return the (1 + N, D) positions of the class token, 0, and of the tubes."""
        known: Tensor | None = getattr(self, f"codes_{n_frames}", None)
        return self._codes(n_frames).to(self.class_token) if known is None else known

    def embed(self, frames: Tensor) -> Tensor:
        """(B, F, C, H, W) clips or, with F = 1, pictures to (B, 1 + N, D) tokens z_0."""
        tokens = self.tubes(frames)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return tokens + self.positions(frames.shape[1])

    def encode(self, tokens: Tensor, first: int | None = None) -> Tensor:
        """(B, 1 + N, D) tokens z_0 to those behind the last LayerNorm; `first` of them alone."""
        z, s = tokens, self.frozen_layers
        if self.gate is not None:
            z = self.transformer(tokens, layers=slice(s)) + self.gate * tokens
        normed: Tensor = self.norm(self.transformer(z, layers=slice(s, None), first=first))
        return normed

    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) features of clips or pictures, frames (B, F, C, H, W)."""
        frames = clip.need_frames(self.frame_shape, who="tubevit")
        tokens = self.embed(frames)
        if self.pool is None:
            return self.encode(tokens, first=1)[:, 0]
        pooled: Tensor = self.pool(self.encode(tokens))
        return pooled

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation; frozen layers stay in evaluation, without dropout."""
        super().train(mode)
        for block in self._frozen():
            block.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        return list(self.transformer.blocks)[: self.frozen_layers]

    def _codes(self, n_frames: int) -> Tensor:
        _, h, w = self.frame_shape
        codes = self.tubes.positions((n_frames, h, w))
        return torch.cat([torch.zeros(1, self.width), codes])


class AttentionPool(nn.Module):
    """y = sum_n a_n z_n, a = softmax(z w) over all tokens, the class token among them.

    A bias in the scores would leave the softmax as it is, so there is none.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to (B, D)."""
        share: Tensor = self.score(tokens).softmax(dim=1)
        return (share.transpose(1, 2) @ tokens).squeeze(1)


def _check(config: TubeViTConfig) -> None:
    most = max(tube.n_joined for tube in config.tubes)
    if config.width % most:
        raise ConfigError(
            f"a width of {config.width} cannot be shared by {most} joined boxes. Make the width a "
            "multiple of them."
        )
    if config.frozen_layers > config.depth:
        raise ConfigError(
            f"frozen_layers is {config.frozen_layers}, but there are {config.depth} layers. "
            "Freeze at most so many."
        )
