"""Model `first_stage`: the first stage of latent diffusion by itself, to be trained on pictures."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.models.base import ModelConfig
from brainreel.models.first_stage import Coded, KLOptions, KLStage, VQOptions, VQStage
from brainreel.shapes import DataSpec, check_shape

TrainedStageOptions = Annotated[VQOptions | KLOptions, Field(discriminator="name")]


class PictureAutoencoderConfig(ModelConfig):
    """Pictures -> small latent pictures -> pictures: a first stage of latent diffusion."""

    name: Literal["first_stage"] = "first_stage"
    first_stage: TrainedStageOptions = VQOptions()
    """The autoencoder, vq or kl; the same options stand in the `latent_diffusion` that uses it."""

    def build(self, spec: DataSpec) -> PictureAutoencoder:
        """Return the network for pictures of `spec.picture_shape`."""
        return PictureAutoencoder(self, spec)


class PictureAutoencoder(nn.Module):
    """x' = decoder(encoder(x)), of pictures in [0, 1].

    Its weights have the names that they have in `latent_diffusion`.

    Attributes
    ----------
    first_stage
        The autoencoder, of pictures in [-1, 1].
    """

    def __init__(self, config: PictureAutoencoderConfig, spec: DataSpec) -> None:
        super().__init__()
        self.first_stage: VQStage | KLStage = config.first_stage.build(tuple(spec.picture_shape))

    def forward(self, pictures: Tensor, noise: Tensor | None = None) -> Coded:
        """Return pictures after coding and what their latents cost.

        Parameters
        ----------
        pictures
            (B, C, H, W) in [0, 1].
        noise
            (B, c, h, w) standard normal, of a Gaussian stage while it learns.

        Returns
        -------
        Coded
            Its pictures near [0, 1].
        """
        c, h, w = self.first_stage.picture_shape
        check_shape(pictures, "B C H W", name="pictures", C=c, H=h, W=w)
        coded = self.first_stage.coded(2 * pictures - 1, noise)
        return coded._replace(pictures=coded.pictures / 2 + 0.5)

    @torch.no_grad()
    def reconstructed(self, pictures: Tensor) -> Tensor:
        """Return (B, C, H, W) pictures after coding, in [0, 1]."""
        out: Tensor = self(pictures).pictures.clamp(0, 1)
        return out
