"""First stages of latent diffusion: pictures as small latent pictures, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from brainreel.config import Config
from brainreel.errors import DataError
from brainreel.models.diffusers_parts import diffusers_part
from brainreel.shapes import check_shape


class PixelOptions(Config):
    """No first stage: the diffusion works on pixels, or on small squares of them."""

    name: Literal["pixels"] = "pixels"
    patch: int = Field(1, ge=1)
    """Side of the squares of pixels that become the channels of one place; nothing is lost, and the
    U-Net has fewer places to work on."""
    scale: float = Field(1.0, gt=0)
    """Latents are multiplied by it, to bring their deviation near 1."""

    def build(self, picture_shape: tuple[int, ...]) -> PixelStage:
        """Return the stage for (C, H, W) pictures."""
        return PixelStage(picture_shape, self.patch, self.scale)


class AutoencoderOptions(Config):
    """What both autoencoders have in common; the defaults are the VQ-f4 of latent diffusion."""

    channels: int = Field(128, ge=1)
    """Channels at full size."""
    multiples: tuple[PositiveInt, ...] = Field(default=(1, 2, 4), min_length=1)
    """Channels of each level as multiples of that; each has half the size of the one before."""
    blocks: int = Field(2, ge=1)
    """Residual blocks of a level of the encoder; one more in the decoder."""
    attention: tuple[PositiveInt, ...] = ()
    """Levels with attention, told by how much smaller they are; the middle always has it."""
    latent: int = Field(3, ge=1)
    """Channels of a latent picture."""
    norm_groups: int = Field(32, ge=1)
    """Groups of the group norms; every width must be a multiple of it."""
    scale: float | None = Field(None, gt=0)
    """Latents are multiplied by it, to bring their deviation near 1. None: one over the deviation
    of the latents of training pictures, measured and kept with the weights (published VQ-f4: 1)."""

    def arguments(self, picture_shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the arguments of diffusers' autoencoders."""
        attends = [2**level in self.attention for level in range(len(self.multiples))]
        down = tuple(f"{'Attn' if a else ''}DownEncoderBlock2D" for a in attends)
        up = tuple(f"{'Attn' if a else ''}UpDecoderBlock2D" for a in reversed(attends))
        return {
            "in_channels": picture_shape[0],
            "out_channels": picture_shape[0],
            "down_block_types": down,
            "up_block_types": up,
            "block_out_channels": tuple(self.channels * m for m in self.multiples),
            "layers_per_block": self.blocks,
            "latent_channels": self.latent,
            "norm_num_groups": self.norm_groups,
            "scaling_factor": 1.0 if self.scale is None else self.scale,
        }


class VQOptions(AutoencoderOptions):
    """An autoencoder whose latents are drawn to the nearest of a table of codes."""

    name: Literal["vq"] = "vq"
    codes: int = Field(8192, ge=2)
    """Codes in the table."""

    def build(self, picture_shape: tuple[int, ...]) -> VQStage:
        """Return the autoencoder for (C, H, W) pictures."""
        return VQStage(self, picture_shape)


class KLOptions(AutoencoderOptions):
    """An autoencoder whose latents are Gaussian, as in Stable Diffusion (latent=4)."""

    name: Literal["kl"] = "kl"

    def build(self, picture_shape: tuple[int, ...]) -> KLStage:
        """Return the autoencoder for (C, H, W) pictures."""
        return KLStage(self, picture_shape)


FirstStageOptions = Annotated[VQOptions | KLOptions | PixelOptions, Field(discriminator="name")]


class Coded(NamedTuple):
    """Pictures that went through a first stage that learns.

    Attributes
    ----------
    pictures
        (B, C, H, W), near [-1, 1].
    cost
        (B,) what the latents cost: their distance from the codes, or from a standard Gaussian.
    latents
        (B, c, h, w), not scaled.
    codes
        (B, h, w) numbers of the codes, or None without a table.
    """

    pictures: Tensor
    cost: Tensor
    latents: Tensor
    codes: Tensor | None


class FirstStage(nn.Module, ABC):
    """Pictures in [-1, 1] as latents, and back.

    Attributes
    ----------
    picture_shape, latent_shape
        (C, H, W) of a picture, (c, h, w) of a latent picture.
    scale
        What latents are multiplied by; one that is measured is a buffer, kept with the weights.
    """

    scale: Tensor | float

    def __init__(
        self, picture_shape: tuple[int, ...], n_latent: int, factor: int, scale: float | None
    ) -> None:
        super().__init__()
        if len(picture_shape) != 3:
            raise DataError("the data has no pictures. A 'latent_diffusion' needs (C, H, W).")
        _, height, width = self.picture_shape = picture_shape
        if height % factor or width % factor:
            raise DataError(
                f"pictures of {height} x {width} cannot be made {factor} times smaller. Resize "
                f"them to a multiple of {factor}, or give first_stage fewer levels or a smaller "
                "patch."
            )
        self.latent_shape = (n_latent, height // factor, width // factor)
        if scale is None:
            self.register_buffer("scale", torch.ones(()))
        else:
            self.scale = scale

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] to (B, c, h, w), not quantised."""
        c, h, w = self.picture_shape
        check_shape(pictures, "B C H W", name="pictures", C=c, H=h, W=w)
        return self.scale * self.latents(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, c, h, w) to (B, C, H, W), near [-1, 1]."""
        c, h, w = self.latent_shape
        check_shape(latents, "B C H W", name="latents", C=c, H=h, W=w)
        return self.pictures(latents / self.scale)

    @torch.no_grad()
    def measure(self, batches: Iterable[Tensor]) -> None:
        """Set a scale that is measured: 1 / the deviation of all latents of some pictures.

        Parameters
        ----------
        batches
            (B, C, H, W) pictures in [-1, 1].

        Raises
        ------
        DataError
            If the latents do not vary, or are not finite.
        """
        sums = torch.zeros(3, dtype=torch.float64)
        for pictures in batches:
            found = self.latents(pictures).double().cpu()
            sums += torch.stack([torch.tensor(found.numel()), found.sum(), found.square().sum()])
        mean, square = sums[1] / sums[0], sums[2] / sums[0]
        deviation = (square - mean**2).clamp_min(0).sqrt()
        if not 1e-6 < float(deviation) < float("inf"):
            raise DataError(
                f"latents of the training pictures have a deviation of {float(deviation):g}, by "
                "which no scale can be set. Train the first stage with a smaller optim.lr."
            )
        self.scale = (1 / deviation).float().to(next(self.parameters()).device)

    @abstractmethod
    def latents(self, pictures: Tensor) -> Tensor:
        """Return the latents before they are scaled."""

    @abstractmethod
    def pictures(self, latents: Tensor) -> Tensor:
        """Return the pictures of latents that are not scaled."""


class PixelStage(FirstStage):
    """z = the picture, P x P pixels of a channel as P^2 channels (space to depth)."""

    def __init__(self, picture_shape: tuple[int, ...], patch: int, scale: float) -> None:
        n_channels = picture_shape[0] * patch**2 if picture_shape else 0
        super().__init__(picture_shape, n_channels, patch, scale)
        self.patch = patch

    def latents(self, pictures: Tensor) -> Tensor:
        """Return the pictures, their squares as channels."""
        return pixel_unshuffle(pictures, self.patch)

    def pictures(self, latents: Tensor) -> Tensor:
        """Return the squares in their places."""
        return pixel_shuffle(latents, self.patch)


class VQStage(FirstStage):
    """z = encoder(x); x = decoder(nearest code of z), by diffusers' `VQModel`.

    Latents go unquantised into the diffusion; the codes are part of the way back. VQGAN (Esser,
    Rombach & Ommer 2021), as latent diffusion uses it (Rombach et al. 2022).
    """

    def __init__(self, options: VQOptions, picture_shape: tuple[int, ...]) -> None:
        super().__init__(
            picture_shape, options.latent, 2 ** (len(options.multiples) - 1), options.scale
        )
        self.network: Any = diffusers_part("VQModel")(
            **options.arguments(picture_shape), num_vq_embeddings=options.codes
        )

    def latents(self, pictures: Tensor) -> Tensor:
        """Return the latents, not quantised."""
        found: Tensor = self.network.encode(pictures, return_dict=False)[0]
        return found

    def pictures(self, latents: Tensor) -> Tensor:
        """Return the pictures of the nearest codes."""
        return self.reconstructed(latents)[0]

    def reconstructed(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return pictures of unscaled latents, and how far those are from their codes.

        distance = mean (z - sg[q])^2 + 0.25 mean (sg[z] - q)^2, q the nearest codes, sg without
        gradient; the weights are those that latent diffusion's checkpoints were trained with.
        """
        pictures, distance = self.network.decode(latents, return_dict=False)
        return pictures, distance

    def coded(self, pictures: Tensor, noise: Tensor | None = None) -> Coded:
        """Return pictures in [-1, 1] after coding, each with its own distance of `reconstructed`.

        Gradients go past the codes, from the picture to the latent. Noise is for other stages.
        """
        latents = self.latents(pictures)
        numbers = self.network.quantize(latents)[2][2].reshape(len(latents), *latents.shape[2:])
        nearest = self.network.quantize.embedding(numbers).permute(0, 3, 1, 2)
        apart = (latents - nearest.detach()).square() + 0.25 * (latents.detach() - nearest).square()
        passed = latents + (nearest - latents).detach()
        made = self.network.decode(passed, force_not_quantize=True, return_dict=False)[0]
        return Coded(made, apart.mean(dim=(1, 2, 3)), latents, numbers)


class KLStage(FirstStage):
    """z = mean of q(z | x); x = decoder(z), by diffusers' `AutoencoderKL`."""

    def __init__(self, options: KLOptions, picture_shape: tuple[int, ...]) -> None:
        super().__init__(
            picture_shape, options.latent, 2 ** (len(options.multiples) - 1), options.scale
        )
        self.network: Any = diffusers_part("AutoencoderKL")(**options.arguments(picture_shape))

    def latents(self, pictures: Tensor) -> Tensor:
        """Return the means of the latents."""
        found: Tensor = self.network.encode(pictures, return_dict=False)[0].mode()
        return found

    def pictures(self, latents: Tensor) -> Tensor:
        """Return the pictures."""
        found: Tensor = self.network.decode(latents, return_dict=False)[0]
        return found

    def coded(self, pictures: Tensor, noise: Tensor | None = None) -> Coded:
        """Return pictures in [-1, 1] after coding, and KL(q(z | x) || N(0, 1)) of a latent number.

        KL = mean over z of (mean^2 + variance - 1 - log variance) / 2

        Parameters
        ----------
        pictures
            (B, C, H, W).
        noise
            (B, c, h, w) standard normal: z = mean + deviation * noise; None for the mean alone.
        """
        told = self.network.encode(pictures, return_dict=False)[0]
        mean, log_variance = told.mean, told.logvar
        cost = (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=(1, 2, 3)) / 2
        drawn = mean if noise is None else mean + (log_variance / 2).exp() * noise
        return Coded(self.pictures(drawn), cost, mean, None)
