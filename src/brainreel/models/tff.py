"""TFF: volumes to vectors by convolutions, a transformer over time, and back to volumes."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import DataError
from brainreel.layers.conv import Grow, NormConv, ResidualConv, conv3, halved
from brainreel.layers.norm_conv import SLOPE, channels_last
from brainreel.layers.parts import in_parts
from brainreel.layers.transformer import BlockOptions, Transformer
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec, check_shape

# Two normalisations of one volume go in (over everything, and voxel by voxel); one comes out.
N_VIEWS = 2


class VolumeOptions(ModelConfig):
    """Sizes of the autoencoder of single volumes."""

    widths: tuple[int, ...] = Field((4, 8, 16, 32), min_length=1)
    """Channels at the full grid, and after each halving of it."""
    blocks: tuple[int, ...] = Field((1, 2, 2, 4), min_length=1)
    """Residual blocks at each of these levels on the way down; one each on the way up."""
    squeeze: int = Field(2, ge=1)
    """Channels that are left at the coarsest grid before it becomes a vector."""
    embedding: int = Field(2640, ge=1)
    """Length E of a volume's vector; where the squeezed grid has this very size, as 75 x 93 x 81
    voxels have, it is the vector itself."""
    encoder_dropout: float = Field(0.2, ge=0, lt=1)
    """Chance to drop a channel in a block on the way down (published: 0.2, fine-tuning 0.35)."""
    decoder_dropout: float = Field(0.2, ge=0, lt=1)
    """Chance to drop a channel in a block on the way up (published: 0.2, fine-tuning 0)."""
    recompute: bool = False
    """Keep no activations of volumes for the backward pass but compute them again: the memory of
    a few volumes however long the sequence, for a third more time."""

    @model_validator(mode="after")
    def _blocks_at_each_level(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"blocks has {len(self.blocks)} levels and widths {len(self.widths)}; give one "
                "number of blocks for each width"
            )
        return self


class TFFOptions(VolumeOptions):
    """Sizes of the transformer over the volumes' vectors, as in BERT."""

    heads: int = Field(16, ge=1)
    """Attention heads; the embedding must be a multiple."""
    layers: int = Field(2, ge=1)
    """Number of transformer layers."""
    hidden: int = Field(3072, ge=1)
    """Width of the feed-forward layer."""
    max_trs: int = Field(30, ge=2)
    """Positions: one for the class token, and the longest sequence of volumes."""
    transformer_dropout: float = Field(0.1, ge=0, lt=1)
    """Chance to drop an entry after each projection and an attention weight."""
    norm_eps: float = Field(1e-12, gt=0)
    """Added to the variance in the transformer's LayerNorm, as in BERT."""


class TFFAutoencoderConfig(VolumeOptions):
    """TFF's first phase: an autoencoder of single volumes."""

    name: Literal["tff_autoencoder"] = "tff_autoencoder"

    def build(self, spec: DataSpec) -> TFFAutoencoder:
        """Return the network for volumes of `spec.grid`."""
        return TFFAutoencoder(self, spec)


class TFFConfig(TFFOptions):
    """TFF's second phase: volumes to vectors, a transformer over time, vectors to volumes."""

    name: Literal["tff"] = "tff"

    def build(self, spec: DataSpec) -> TFF:
        """Return the network for volumes of `spec.grid`."""
        return TFF(self, spec)


class TFFLabelConfig(TFFOptions):
    """TFF's third phase: a label of the person from the class token."""

    name: Literal["tff_label"] = "tff_label"

    def build(self, spec: DataSpec) -> TFFLabel:
        """Return the network for volumes of `spec.grid` and the labels of `spec.classes`."""
        return TFFLabel(self, spec)


class VolumeEncoder(nn.Module):
    """Volumes to vectors: residual blocks, halving between the levels, squeezed and flattened."""

    def __init__(self, options: VolumeOptions, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.enter = conv3(N_VIEWS, options.widths[0])
        self.levels = nn.ModuleList(
            nn.Sequential(*(ResidualConv(width, options.encoder_dropout) for _ in range(n)))
            for width, n in zip(options.widths, options.blocks, strict=True)
        )
        self.halve = nn.ModuleList(
            conv3(width, wider, stride=2)
            for width, wider in zip(options.widths, options.widths[1:], strict=False)
        )
        for _ in self.halve:
            grid = halved(grid)
        self.squeeze = NormConv(options.widths[-1], options.squeeze)
        n_squeezed = options.squeeze * math.prod(grid)
        # As published: no linear layer where nothing changes in size; on the way back there is.
        same = n_squeezed == options.embedding
        self.project = nn.Identity() if same else nn.Linear(n_squeezed, options.embedding)
        self.recompute = options.recompute

    def maps(self, volumes: Tensor) -> Tensor:
        """(B, 2, X, Y, Z) to (B, C, X', Y', Z') at the coarsest grid."""
        x: Tensor = self.enter(channels_last(volumes))
        for number, level in enumerate(self.levels):
            x = level(x if number == 0 else self.halve[number - 1](x))
        return x

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, 2, X, Y, Z) to (B, E)."""
        n_voxels, recompute = math.prod(volumes.shape[2:]), self.recompute and self.training
        squeezed = in_parts(self._squeezed, volumes, n_voxels=n_voxels, recompute=recompute)
        vectors: Tensor = self.project(squeezed)
        return vectors

    def _squeezed(self, volumes: Tensor) -> Tensor:
        squeezed: Tensor = self.squeeze(self.maps(volumes)).flatten(1)
        return squeezed


class VolumeDecoder(nn.Module):
    """Vectors to volumes: unflattened, widened, grown back level by level."""

    def __init__(self, options: VolumeOptions, grid: tuple[int, ...]) -> None:
        super().__init__()
        grids = [grid]
        for _ in options.widths[1:]:
            grids.append(halved(grids[-1]))
        self.coarsest = (options.squeeze, *grids[-1])
        self.n_voxels = math.prod(grid)
        self.project = nn.Linear(options.embedding, math.prod(self.coarsest))
        self.widen = NormConv(options.squeeze, options.widths[-1])
        narrower = list(zip(options.widths[::-1], options.widths[-2::-1], strict=False))
        self.grow = nn.Sequential(
            *(
                Grow(width, out, finer, options.decoder_dropout)
                for (width, out), finer in zip(narrower, grids[-2::-1], strict=True)
            )
        )
        self.refine = conv3(options.widths[0], options.widths[0])
        self.leave = nn.Conv3d(options.widths[0], 1, 1)
        self.recompute = options.recompute

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, E) to (B, 1, X, Y, Z)."""
        squeezed = self.project(vectors).reshape(-1, *self.coarsest)
        recompute = self.recompute and self.training
        return in_parts(self._grown, squeezed, n_voxels=self.n_voxels, recompute=recompute)

    def _grown(self, squeezed: Tensor) -> Tensor:
        # Nothing lies between the last two convolutions: together they are one.
        leave = self.leave.weight.flatten(1)
        kernel, bias = self.refine.weight, self.refine.bias
        assert bias is not None
        assert self.leave.bias is not None
        weight = (leave @ kernel.flatten(1)).reshape(1, *kernel.shape[1:])
        bias = leave @ bias + self.leave.bias
        return functional.conv3d(self.grow(self.widen(squeezed)), weight, bias, padding=1)


class VolumeTransformer(nn.Module):
    """BERT over the vectors of a sequence of volumes, a class token before them.

    t_0 = leaky_relu(W 0.5 + b), t_i = vector i; x = norm(t + position + type); post-norm blocks
    (Devlin et al. 2019). Any number of sequences: the class token is made for each batch.
    """

    start: Tensor

    def __init__(self, options: TFFOptions) -> None:
        super().__init__()
        width = options.embedding
        self.class_token = nn.Linear(width, width)
        self.register_buffer("start", torch.full((1, 1, width), 0.5), persistent=False)
        self.positions = nn.Parameter(0.02 * torch.randn(options.max_trs, width))
        self.token_type = nn.Parameter(0.02 * torch.randn(width))
        self.norm = nn.LayerNorm(width, eps=options.norm_eps)
        self.dropout = nn.Dropout(options.transformer_dropout)
        block = BlockOptions(
            width=width,
            heads=options.heads,
            hidden=options.hidden,
            norm="post",
            norm_eps=options.norm_eps,
            dropout=options.transformer_dropout,
            attention_dropout=options.transformer_dropout,
        )
        self.transformer = Transformer(block, options.layers)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, E) to the class token (B, E) and the volumes' tokens (B, T, E)."""
        n_rows, n_trs, _ = vectors.shape
        if n_trs + 1 > len(self.positions):
            raise DataError(
                f"a sequence of {n_trs} volumes is longer than the {len(self.positions) - 1} that "
                "the transformer has positions for. Use shorter windows, or a larger max_trs."
            )
        token = functional.leaky_relu(self.class_token(self.start), SLOPE)
        x = torch.cat([token.expand(n_rows, -1, -1), vectors], dim=1)
        x = self.dropout(self.norm(x + self.positions[: n_trs + 1] + self.token_type))
        x = self.transformer(x)
        return x[:, 0], x[:, 1:]


class VolumeCoder(nn.Module):
    """Volumes to vectors and back, one by one."""

    def __init__(self, options: VolumeOptions, spec: DataSpec) -> None:
        super().__init__()
        self.grid = _grid(spec, options.name)
        self.encoder = VolumeEncoder(options, self.grid)
        self.decoder = VolumeDecoder(options, self.grid)

    def encode(self, volumes: Tensor) -> Tensor:
        """(B, T, 2, X, Y, Z) to (B, T, E)."""
        x, y, z = self.grid
        check_shape(volumes, f"B T {N_VIEWS} X Y Z", name="volumes", X=x, Y=y, Z=z)
        vectors: Tensor = self.encoder(volumes.flatten(0, 1))
        return vectors.reshape(*volumes.shape[:2], -1)

    def decode(self, vectors: Tensor) -> Tensor:
        """(B, T, E) to (B, T, X, Y, Z)."""
        volumes: Tensor = self.decoder(vectors.flatten(0, 1))
        return volumes.reshape(*vectors.shape[:2], *self.grid)


class TFFAutoencoder(VolumeCoder):
    """Single volumes through the bottleneck and back.

    Malkiel, Rosenman, Wolf & Hendler 2022, "Self-Supervised Transformers for fMRI representation",
    phase 1.
    """

    def forward(self, volumes: Tensor) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        volumes
            (B, T, 2, X, Y, Z): each volume normalised over everything, and voxel by voxel.

        Returns
        -------
        Tensor
            (B, T, X, Y, Z), on the scale of the first normalisation.
        """
        return self.decode(self.encode(volumes))


class TFF(TFFAutoencoder):
    """The same with a transformer over time in the bottleneck; phase 2."""

    def __init__(self, options: TFFOptions, spec: DataSpec) -> None:
        super().__init__(options, spec)
        self.transformer = VolumeTransformer(options)

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, T, 2, X, Y, Z) to (B, T, X, Y, Z); see `TFFAutoencoder.forward`."""
        return self.decode(self.transformer(self.encode(volumes))[1])


class TFFLabel(nn.Module):
    """A linear head on the pooled class token, tanh(W t_0 + b); phase 3.

    Two classes have one logit, that of the second, as published; more have one each.
    """

    def __init__(self, options: TFFOptions, spec: DataSpec) -> None:
        super().__init__()
        self.grid = _grid(spec, options.name)
        self.encoder = VolumeEncoder(options, self.grid)
        self.transformer = VolumeTransformer(options)
        self.pool = nn.Linear(options.embedding, options.embedding)
        self.head = nn.Linear(options.embedding, spec.n_classes if spec.n_classes > 2 else 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, T, 2, X, Y, Z) to (B, K) logits; (B, 1) for two classes, or a number."""
        x, y, z = self.grid
        check_shape(volumes, f"B T {N_VIEWS} X Y Z", name="volumes", X=x, Y=y, Z=z)
        vectors = self.encoder(volumes.flatten(0, 1)).reshape(*volumes.shape[:2], -1)
        logits: Tensor = self.head(torch.tanh(self.pool(self.transformer(vectors)[0])))
        return logits


def _grid(spec: DataSpec, name: str) -> tuple[int, ...]:
    if len(spec.grid) != 3:
        raise DataError(f"the data has no brain volumes. '{name}' needs data on a voxel grid.")
    return spec.grid
