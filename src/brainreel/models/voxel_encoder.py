"""VoxelEncoder: voxel vectors cut into patches, patches to tokens by a transformer."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.errors import DataError, ShapeError
from brainreel.layers.linear import Linear
from brainreel.layers.masking import Masking
from brainreel.layers.positions import LearnedPositions, nearest
from brainreel.layers.tokens import grid_centres, sincos_positions
from brainreel.layers.transformer import BlockOptions, Transformer
from brainreel.layers.voxel_patches import Padding, count_patches, cut, padded
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec, check_shape

Places = Literal["sincos", "learned"]


class VoxelEncoderOptions(ModelConfig):
    """Sizes of the encoder of voxel vectors; the defaults are the published ones."""

    patch: int = Field(16, ge=1)
    """Voxels in a patch."""
    width: int = Field(1024, ge=4)
    """Width D of a token: 64 times a patch, for few voxels stand for much (sparse coding)."""
    depth: int = Field(24, ge=1)
    """Number of transformer layers."""
    heads: int = Field(16, ge=1)
    """Attention heads; the width must be a multiple."""
    mlp_ratio: float = Field(1.0, gt=0)
    """Width of the feed-forward layer over that of a token, here and in the decoders."""
    positions: Places = "sincos"
    """Where a patch stands: fixed sin-cos codes (as published), or a learned vector a patch."""
    padding: Padding = "wrap"
    """What fills the last patch, and a person with fewer voxels than another: the vector from its
    beginning (as published), or zeros."""
    norm_eps: float = Field(1e-5, gt=0)
    """Added to the variance in LayerNorm."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""

    def blocks(self, width: int, heads: int, depth: int) -> Transformer:
        """Return pre-norm transformer layers of these options."""
        hidden = max(1, round(self.mlp_ratio * width))
        options = BlockOptions(width, heads, hidden, norm_eps=self.norm_eps)
        return Transformer(options, depth, recompute=self.recompute)


class VoxelEncoder(nn.Module):
    """y = norm(transformer(W patch_n + b + position_n)); all patches, no class token.

    The encoder of SC-MBM (Chen et al. 2023, "Seeing Beyond the Brain"), as its tokens are used
    after pretraining. People with different numbers of voxels share it: each vector is padded to
    the patches of the longest.
    """

    def __init__(self, options: VoxelEncoderOptions, spec: DataSpec) -> None:
        super().__init__()
        if not spec.n_voxels or min(spec.n_voxels) < 1:
            raise DataError(f"the data has no voxel vectors, which '{options.name}' works on.")
        self.patch, self.padding = options.patch, options.padding
        self.n_patches = count_patches(max(spec.n_voxels), options.patch)
        self.lengths = {*spec.n_voxels, self.n_patches * options.patch}
        self.embed = Linear(options.patch, options.width)
        self.positions = patch_positions(self.n_patches, options.width, options.positions)
        self.transformer = options.blocks(options.width, options.heads, options.depth)
        self.norm = nn.LayerNorm(options.width, eps=options.norm_eps)
        start_weights(self)

    def patches(self, voxels: Tensor) -> Tensor:
        """(B, V) to (B, N, P); V is that of any person, or N * P of rows that are padded."""
        found = check_shape(voxels, "B V", name="voxels")["V"]
        if found not in self.lengths:
            known = ", ".join(str(length) for length in sorted(self.lengths))
            raise ShapeError(
                f"voxels has {found} along axis V of (B, V) {tuple(voxels.shape)}; it should have "
                f"one of {known}."
            )
        return cut(padded(voxels, self.n_patches * self.patch, self.padding), self.patch)

    def forward(self, voxels: Tensor) -> Tensor:
        """(B, V) to tokens (B, N, D)."""
        tokens: Tensor = self.norm(self._all(voxels))
        return tokens

    def pooled(self, voxels: Tensor) -> Tensor:
        """(B, V) to one token (B, 1, D): the mean over all patches, then the norm."""
        token: Tensor = self.norm(self._all(voxels).mean(dim=1, keepdim=True))
        return token

    def seen(self, patches: Tensor, masking: Masking, class_token: Tensor) -> Tensor:
        """(B, N, P) to (B, 1 + K, D): the class token, then the patches that are kept."""
        tokens = self.embed(masking.seen(patches))
        tokens = tokens + self.positions()[masking.kept]
        start = class_token.to(tokens.dtype).expand(len(tokens), -1, -1)
        latent: Tensor = self.norm(self.transformer(torch.cat([start, tokens], dim=1)))
        return latent

    def _all(self, voxels: Tensor) -> Tensor:
        tokens: Tensor = self.transformer(self.embed(self.patches(voxels)) + self.positions())
        return tokens


def patch_positions(n_patches: int, width: int, places: Places) -> LearnedPositions:
    """Return where each patch stands; kept with the weights, so that fixed codes can be moved.

    Codes of another number of patches are brought to this one by the nearest, as published.
    """
    made = LearnedPositions((n_patches,), width, nearest)
    if places == "sincos":
        codes = sincos_positions(grid_centres((n_patches,)), width)
        made.table = nn.Parameter(codes, requires_grad=False)
    return made


def start_weights(network: nn.Module) -> None:
    """Draw linear layers as published for masked autoencoders: Xavier uniform, biases 0."""
    for part in network.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def drawn_token(width: int) -> nn.Parameter:
    """Return a learned token (1, 1, D), drawn N(0, 0.02)."""
    return nn.Parameter(0.02 * torch.randn(1, 1, width))
