"""SC-MBM: sparse-coded masked brain modelling, a masked autoencoder of voxel vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainreel.errors import ConfigError
from brainreel.layers.factors import PatchFactors
from brainreel.layers.linear import Linear
from brainreel.layers.masking import Masking, keep_lowest, masking_noise, n_kept
from brainreel.models.voxel_encoder import (
    VoxelEncoder,
    VoxelEncoderOptions,
    drawn_token,
    patch_positions,
    start_weights,
)
from brainreel.shapes import DataSpec, check_shape

Length = Annotated[int, Field(ge=1)]


class SCMBMConfig(VoxelEncoderOptions):
    """A masked autoencoder of voxel vectors; the defaults are the published sizes."""

    name: Literal["sc_mbm"] = "sc_mbm"
    decoder_width: int = Field(512, ge=4)
    """Width of a token in the decoder."""
    decoder_depth: int = Field(8, ge=1)
    """Transformer layers of the decoder."""
    decoder_heads: int = Field(16, ge=1)
    """Attention heads of the decoder; its width must be a multiple."""
    mask_ratio: float = Field(0.75, ge=0, lt=1)
    """Share of the patches that is not seen."""
    focus: tuple[int, int] | None = None
    """Voxels [first, last) that are masked with a chance of their own; none: all alike."""
    focus_rate: float = Field(0.6, gt=0, lt=1)
    """Weight of a patch in the focus when masked ones are drawn; the others have one minus it."""
    picture_features: tuple[Length, Length, Length] | None = None
    """(C, H, W) of features of the picture that was seen, which a second decoder tells; published:
    512 x 28 x 28. None: without it."""
    picture_depth: int = Field(2, ge=1)
    """Transformer layers of the second decoder."""
    factors: int = Field(0, ge=0)
    """Factors of a linear Gaussian model beside the transformers, found before the training, which
    then fill in only what it leaves (64 does for many; not published: 0 is without)."""

    @model_validator(mode="after")
    def _focus_is_a_range(self) -> Self:
        if self.focus is not None and not 0 <= self.focus[0] < self.focus[1]:
            raise ValueError(f"focus {list(self.focus)} is no range; give [first, last) voxels")
        return self

    def build(self, spec: DataSpec) -> SCMBM:
        """Return the network for the people of `spec.n_voxels`."""
        return SCMBM(self, spec)


@dataclass(frozen=True, eq=False)
class FilledPatches:
    """What the network makes of a batch.

    Attributes
    ----------
    predicted, measured
        (B, N, P) all patches, as filled in and as they are.
    removed
        (B, N) boolean, True for the patches that were not seen.
    latent
        (B, 1 + K, D) tokens of the encoder, the class token first, those of each row in the order
        of its noise.
    pictures
        (B', C, H, W) features of pictures, where there is a second decoder.
    """

    predicted: Tensor
    measured: Tensor
    removed: Tensor
    latent: Tensor
    pictures: Tensor | None = None


class PatchDecoder(nn.Module):
    """x = [W z, mask token where nothing was seen] + position; norm(transformer(x)), no class."""

    def __init__(self, config: SCMBMConfig, n_patches: int, depth: int) -> None:
        super().__init__()
        width = config.decoder_width
        self.enter = Linear(config.width, width)
        self.mask_token = drawn_token(width)
        self.positions = patch_positions(n_patches, width, config.positions)
        self.transformer = config.blocks(width, config.decoder_heads, depth)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)

    def forward(self, latent: Tensor, masking: Masking) -> Tensor:
        """(B, 1 + K, D) to (B, N, D')."""
        x = self.enter(latent)
        # The class token has no position: it is the same for every place.
        patches = masking.filled(x[:, 1:], self.mask_token) + self.positions()
        x = self.transformer(torch.cat([x[:, :1].to(patches.dtype), patches], dim=1))
        tokens: Tensor = self.norm(x[:, 1:])
        return tokens


class VoxelDecoder(PatchDecoder):
    """Tokens to the voxels of each patch, W x + b."""

    def __init__(self, config: SCMBMConfig, n_patches: int) -> None:
        super().__init__(config, n_patches, config.decoder_depth)
        self.leave = Linear(config.decoder_width, config.patch)
        start_weights(self)

    def forward(self, latent: Tensor, masking: Masking) -> Tensor:
        """(B, 1 + K, D) to (B, N, P)."""
        patches: Tensor = self.leave(super().forward(latent, masking))
        return patches


class PictureDecoder(PatchDecoder):
    """Tokens to features of the picture: mixed over patches to C channels, then W x + b each."""

    def __init__(self, config: SCMBMConfig, n_patches: int, shape: tuple[int, int, int]) -> None:
        super().__init__(config, n_patches, config.picture_depth)
        self.shape = shape
        self.mix = Linear(n_patches, shape[0])
        self.leave = Linear(config.decoder_width, math.prod(shape[1:]))
        start_weights(self)

    def forward(self, latent: Tensor, masking: Masking) -> Tensor:
        """(B, 1 + K, D) to (B, C, H, W)."""
        tokens = super().forward(latent, masking)
        mixed = self.mix(tokens.transpose(1, 2)).transpose(1, 2)
        features: Tensor = self.leave(mixed)
        return features.reshape(len(features), *self.shape)


class SCMBM(nn.Module):
    """Some patches of a voxel vector are seen, and the others filled in.

    latent = encoder([class token, patches that are kept]); predicted = decoder([latent, mask
    tokens at the other places]). Chen, Qing, Xiang, Yue & Zhou 2023, "Seeing Beyond the Brain:
    Conditional Diffusion Model with Sparse Masked Modeling for Vision Decoding", stage A.
    """

    def __init__(self, config: SCMBMConfig, spec: DataSpec) -> None:
        super().__init__()
        self.mask_ratio = config.mask_ratio
        self.encoder = VoxelEncoder(config, spec)
        n_patches = self.encoder.n_patches
        n_kept(n_patches, config.mask_ratio)
        self.class_token = drawn_token(config.width)
        self.decoder = VoxelDecoder(config, n_patches)
        shape = config.picture_features
        self.picture_decoder = None if shape is None else PictureDecoder(config, n_patches, shape)
        self.factors: PatchFactors | None = None
        if config.factors:
            self.factors = PatchFactors(n_patches, config.patch, config.factors)
            # At first the transformers add nothing to what is linear.
            nn.init.zeros_(self.decoder.leave.weight)
        self.weights = _weights(config, n_patches)

    def noise(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Draw the (B, N) noise by which patches are masked; see `masking_noise`."""
        n_patches = self.encoder.n_patches
        return masking_noise(n_rows, n_patches, self.mask_ratio, generator, self.weights)

    def forward(
        self, voxels: Tensor, noise: Tensor, pictured: Tensor | None = None
    ) -> FilledPatches:
        """Mask and fill.

        Parameters
        ----------
        voxels
            (B, V) in deviations of the training part; V is that of any person, or N * P.
        noise
            (B, N): the patches with the lowest are seen.
        pictured
            (B',) the rows whose pictures' features are wanted; None for all.
        """
        patches = self.encoder.patches(voxels)
        check_shape(noise, "B N", name="noise", B=len(patches), N=self.encoder.n_patches)
        masking = keep_lowest(noise, self.mask_ratio)
        latent = self.encoder.seen(patches, masking, self.class_token)
        pictures = None
        if self.picture_decoder is not None:
            rows = slice(None) if pictured is None else pictured
            shown = Masking(masking.kept[rows], masking.removed[rows])
            pictures = self.picture_decoder(latent[rows], shown)
        filled = self.decoder(latent, masking)
        if self.factors is not None:
            filled = filled + self.factors(patches, masking.removed)
        return FilledPatches(filled, patches, masking.removed, latent, pictures)


def _weights(config: SCMBMConfig, n_patches: int) -> Tensor | None:
    """Return the (N,) weight of each patch when masked ones are drawn; None: all alike."""
    if config.focus is None:
        return None
    first, last = (voxel // config.patch for voxel in config.focus)
    if first >= min(last, n_patches):
        raise ConfigError(
            f"focus {list(config.focus)} holds none of the {n_patches} patches of {config.patch} "
            "voxels as a whole. Give a longer range, or one that lies within the voxels."
        )
    weights = torch.full((n_patches,), 1 - config.focus_rate)
    weights[first:last] = config.focus_rate
    return weights
