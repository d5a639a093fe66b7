"""Model `latent_diffusion`: voxel vectors to pictures, an encoder of brains before a diffusion."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from brainreel.models.base import ModelConfig
from brainreel.models.conditioner import Condition
from brainreel.models.latent_diffusion import LatentDiffusion, LatentDiffusionOptions
from brainreel.models.voxel_encoder import VoxelEncoder, VoxelEncoderOptions
from brainreel.shapes import DataSpec


class BrainEncoderConfig(VoxelEncoderOptions):
    """The encoder of voxel vectors, that of `sc_mbm`, whose weights it can begin with."""

    name: Literal["voxel_encoder"] = "voxel_encoder"
    pooled: bool = False
    """Whether the brain becomes one token, the mean over all patches; else one for each patch."""

    def build(self, spec: DataSpec) -> VoxelEncoder:
        """Return the encoder for the people of `spec.n_voxels`."""
        return VoxelEncoder(self, spec)


class BrainDiffusionConfig(LatentDiffusionOptions, ModelConfig):
    """Voxel vectors -> pictures, by latent diffusion that is told of the brain in two ways."""

    name: Literal["latent_diffusion"] = "latent_diffusion"
    encoder: BrainEncoderConfig = BrainEncoderConfig()
    """The encoder of voxel vectors, trained together with the conditioner."""

    def build(self, spec: DataSpec) -> BrainDiffusion:
        """Return the network for the people of `spec.n_voxels` and `spec.picture_shape`."""
        return BrainDiffusion(self, spec)


class BrainDiffusion(LatentDiffusion):
    """eps(z_t, t | encoder(voxels)); all else as `LatentDiffusion`, with voxels for tokens.

    Stage B of MinD-Vis (Chen et al. 2023, "Seeing Beyond the Brain"). The encoder's weights have
    the names that they have in `sc_mbm`.
    """

    def __init__(self, config: BrainDiffusionConfig, spec: DataSpec) -> None:
        encoder = config.encoder.build(spec)
        n_tokens = 1 if config.encoder.pooled else encoder.n_patches
        super().__init__(config, n_tokens, config.encoder.width, tuple(spec.picture_shape))
        self.pooled = config.encoder.pooled
        self.encoder = encoder

    def condition(
        self,
        brain: Tensor,
        kept: Tensor | None = None,
        guess: Tensor | None = None,
        guessed: Tensor | None = None,
    ) -> Condition:
        """Return all conditions of (B, V) voxels; all else as in `LatentDiffusion`."""
        tokens = self.encoder.pooled(brain) if self.pooled else self.encoder(brain)
        return super().condition(tokens, kept, guess, guessed)
