"""Brain to picture: latent diffusion that is conditioned twice on the tokens of a brain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.config import Config
from brainreel.errors import ConfigError
from brainreel.layers.noise_schedule import (
    NoiseOptions,
    noise_of_clean,
    noise_of_velocity,
    noised,
    signal_shares,
    velocity,
)
from brainreel.models.conditioner import Condition, TimeCondition, TokenConditioner
from brainreel.models.first_stage import FirstStageOptions, VQOptions
from brainreel.models.sampling import Denoise, RowNoise, SamplingOptions, draw
from brainreel.models.unet import UNet, UNetOptions
from brainreel.shapes import check_shape

Trained = Literal["conditions", "conditioner", "everything"]
# In the U-Net: the cross-attention and the norm before it, in every transformer block.
_CROSS = (".attn2.", ".norm2.")


class LatentDiffusionOptions(Config):
    """A diffusion model of pictures, told of the brain by cross-attention and at each time step."""

    unet: UNetOptions = UNetOptions()
    """The network that finds the noise."""
    first_stage: FirstStageOptions = VQOptions()
    """Pictures as latents: vq, kl, or pixels."""
    noise: NoiseOptions = NoiseOptions()
    """Noise levels."""
    predicts: Literal["noise", "velocity", "picture"] = "noise"
    """What the network is trained to find: the noise (published); velocity, noise and picture mixed
    (Stable Diffusion 2 at 768 pixels); or the picture, which small networks learn soonest."""
    context_tokens: int = Field(77, ge=2)
    """Tokens of the context, where the encoder gives more than one."""
    time_condition: bool = True
    """Whether the context is added to the time step's embedding too (published)."""
    first_guess: bool = False
    """Whether latents of a first guess of the picture, such as ridge gives, stand beside those with
    noise: a third condition, which knows what is where."""
    null_context: bool = False
    """Whether a context that stands for no brain is learned, which guidance needs."""
    trained: Trained = "conditions"
    """conditions: the conditioner, and in the U-Net the cross-attention, the norm before it, the
    time condition (published) and, with a first guess, the first convolution; conditioner: that
    alone; everything: all but the first stage. The rest is frozen."""

    def assemble(
        self, n_tokens: int, width: int, picture_shape: tuple[int, ...]
    ) -> LatentDiffusion:
        """Return the model for (B, n_tokens, width) tokens and (C, H, W) pictures."""
        return LatentDiffusion(self, n_tokens, width, picture_shape)


class LatentDiffusion(nn.Module):
    """eps(z_t, t | brain), z_t = sqrt(a_t) z + sqrt(1 - a_t) noise, z the latents of a picture.

    Trained to find the noise, squared error; a picture is drawn by finding it step by step,
    beginning with noise alone. DC-LDM of MinD-Vis (Chen et al. 2023) on latent diffusion (Rombach
    et al. 2022).

    Parameters
    ----------
    options
        Of all its parts.
    n_tokens, width
        Tokens that the encoder of the brain gives, and their width.
    picture_shape
        (C, H, W).
    """

    shares: Tensor
    """(K,) share of the variance that is the picture, at each time step."""

    def __init__(
        self,
        options: LatentDiffusionOptions,
        n_tokens: int,
        width: int,
        picture_shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.noise, self.predicts = options.noise, options.predicts
        context = options.unet.context
        self.first_stage = options.first_stage.build(picture_shape)
        self.conditioner = TokenConditioner(n_tokens, width, options.context_tokens, context)
        n_context = self.conditioner.n_context
        self.time_condition: TimeCondition | None = None
        if options.time_condition:
            self.time_condition = TimeCondition(n_context, context, options.unet.time_width)
        self.null_context: nn.Parameter | None = None
        if options.null_context:
            self.null_context = nn.Parameter(0.02 * torch.randn(1, n_context, context))
        self.unet = UNet(
            options.unet,
            self.first_stage.latent_shape[0],
            time_condition=options.time_condition,
            first_guess=options.first_guess,
        )
        self.first_guess = options.first_guess
        self.register_buffer("shares", signal_shares(options.noise).float(), persistent=False)
        self.train_only(options.trained)

    def train_only(self, what: Trained) -> None:
        """Freeze all but what is said; frozen weights get no gradient."""
        for name, parameter in self.named_parameters():
            part = name.partition(".")[0]
            if part == "encoder":
                continue  # learns with the conditioner, but for what is fixed in it
            in_unet = part == "unet" and (
                (".transformer_blocks." in name and any(cross in name for cross in _CROSS))
                or (self.first_guess and ".conv_in." in name)
            )
            parameter.requires_grad_(
                {
                    "conditions": part not in ("unet", "first_stage") or in_unet,
                    "conditioner": part in ("conditioner", "null_context"),
                    "everything": part != "first_stage",
                }[what]
            )

    def condition(
        self,
        brain: Tensor,
        kept: Tensor | None = None,
        guess: Tensor | None = None,
        guessed: Tensor | None = None,
    ) -> Condition:
        """Return all conditions.

        Parameters
        ----------
        brain
            (B, L, width) tokens of an encoder.
        kept
            (B,) False where the brain is withheld, and the null context stands for it.
        guess
            (B, C, H, W) first guesses of the pictures in [0, 1], of a network that takes them.
        guessed
            (B,) False where the guess is withheld, and latents of 0 stand for it; left out, where
            the brain is.
        """
        if self.first_guess != (guess is not None):
            raise ConfigError(
                f"model.first_guess is {str(self.first_guess).lower()}, and a guess was "
                f"{'not ' * (guess is None)}given. Let both agree."
            )
        context = self.conditioner(brain)
        latents = None if guess is None else self.encode(guess)
        if kept is not None:
            context = torch.where(kept[:, None, None], context, self._null())
        guessed = kept if guessed is None else guessed
        if latents is not None and guessed is not None:
            latents = latents * guessed[:, None, None, None]
        return self._conditions(context, latents)

    def forward(
        self,
        brain: Tensor,
        latents: Tensor,
        times: Tensor,
        kept: Tensor | None = None,
        guess: Tensor | None = None,
        guessed: Tensor | None = None,
    ) -> Tensor:
        """Return what the network finds in latents that hold noise.

        Parameters
        ----------
        brain, kept, guess, guessed
            As for `condition`.
        latents
            (B, c, h, w).
        times
            (B,) time steps from 0.
        """
        c, h, w = self.first_stage.latent_shape
        sizes = check_shape(latents, "B C H W", name="latents", C=c, H=h, W=w)
        check_shape(times, "B", name="times", B=sizes["B"])
        condition = self.condition(brain, kept, guess, guessed)
        found: Tensor = self.unet(latents, times, condition)
        return found

    def noised(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents with the noise of their time steps, and what should be found in them."""
        share = self.shares[times]
        target = {"noise": noise, "picture": latents}.get(self.predicts)
        if target is None:
            target = velocity(latents, noise, share)
        return noised(latents, noise, share), target

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) pictures in [0, 1] to (B, c, h, w) latents; the first stage is frozen."""
        return self.first_stage.encode(2 * pictures - 1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, c, h, w) latents to (B, C, H, W) pictures in [0, 1]."""
        return (self.first_stage.decode(latents) / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def reconstruct(self, condition: Condition, seeds: Tensor, options: SamplingOptions) -> Tensor:
        """Draw pictures of what brains saw.

        Each picture has a seed of its own, so that it does not depend on which others are drawn
        beside it.

        Parameters
        ----------
        condition
            Of B brains, made once by `condition`.
        seeds
            (B, S) of S samples of each brain.
        options
            Sampler, steps, guidance.

        Returns
        -------
        (B, S, C, H, W) pictures in [0, 1].
        """
        device, n_brains = condition.context.device, len(condition.context)
        check_shape(seeds, "B S", name="seeds", B=n_brains)
        brain = torch.arange(n_brains, device=device).repeat_interleave(seeds.shape[1])
        own = [int(seed) for seed in seeds.flatten()]
        drawn = []
        for first in range(0, len(own), options.rows):
            rows = slice(first, first + options.rows)
            latents = self._drawn(condition.rows(brain[rows]), own[rows], options)
            drawn.append(self.decode(latents))
        return torch.cat(drawn).reshape(*seeds.shape, *self.first_stage.picture_shape)

    def _drawn(
        self, condition: Condition, seeds: Sequence[int], options: SamplingOptions
    ) -> Tensor:
        """Return the latents of one batch."""
        rows = RowNoise(seeds)
        start = rows(self.first_stage.latent_shape).to(condition.context)
        latents = start
        for latents in self.steps(start, condition, options, rows):  # noqa: B007
            pass
        return latents

    def steps(
        self,
        start: Tensor,
        condition: Condition,
        options: SamplingOptions,
        rows: RowNoise | None = None,
    ) -> Iterator[Tensor]:
        """Yield (B, c, h, w) latents after each step from noise; see `draw`."""
        none = self._no_brain(len(start)) if options.guidance != 1 else None
        denoise = self.denoiser(condition, options, none)
        return draw(denoise, start, self.noise, options, rows)

    def denoiser(
        self, condition: Condition, options: SamplingOptions, without: Condition | None = None
    ) -> Denoise:
        """Return what finds the noise, guided where a condition without the brain is given.

        eps = eps(without) + guidance (eps(condition) - eps(without)) (Ho & Salimans 2021)
        """
        both = condition if without is None else without.beside(condition)
        lean = options.precision == "bf16"

        def denoise(latents: Tensor, time: int) -> Tensor:
            seen = latents if without is None else torch.cat([latents, latents])
            times = torch.full((len(seen),), time, device=seen.device)
            with torch.autocast(seen.device.type, torch.bfloat16, enabled=lean):
                found: Tensor = self.unet(seen, times, both)
            found = found.to(latents.dtype)
            if self.predicts != "noise":
                of = noise_of_velocity if self.predicts == "velocity" else noise_of_clean
                found = of(found, seen, self.shares[times])
            if without is None:
                return found
            n = len(latents)
            guided: Tensor = found[:n] + options.guidance * (found[n:] - found[:n])
            return guided

        return denoise

    def _conditions(self, context: Tensor, guess: Tensor | None) -> Condition:
        time = None if self.time_condition is None else self.time_condition(context)
        return Condition(context, time, guess)

    def _no_brain(self, n_rows: int) -> Condition:
        context = self._null().expand(n_rows, -1, -1)
        latents = context.new_zeros(n_rows, *self.first_stage.latent_shape)
        return self._conditions(context, latents if self.first_guess else None)

    def _null(self) -> Tensor:
        if self.null_context is None:
            raise ConfigError(
                "guidance needs what the network draws without a brain. Train with "
                "model.null_context=true, or leave guidance at 1."
            )
        return self.null_context
