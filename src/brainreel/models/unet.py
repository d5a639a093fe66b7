"""The U-Net that finds the noise in a latent picture, told of the brain in two ways."""

from __future__ import annotations

from typing import Any, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from brainreel.config import Config
from brainreel.models.conditioner import Condition
from brainreel.models.diffusers_parts import diffusers_part


class UNetOptions(Config):
    """Sizes of the U-Net; the defaults are those of latent diffusion's label2img."""

    channels: int = Field(192, ge=2)
    """Channels at full size."""
    multiples: tuple[PositiveInt, ...] = Field(default=(1, 2, 3, 5), min_length=1)
    """Channels of each level as multiples of that; each has half the size of the one before."""
    blocks: int = Field(2, ge=1)
    """Residual blocks of a level on the way down; one more on the way up."""
    attention: tuple[PositiveInt, ...] = (2, 4, 8)
    """Levels with attention, told by how much smaller they are; the middle always has it."""
    heads: PositiveInt | tuple[PositiveInt, ...] = 1
    """Attention heads, of all levels or of each."""
    depth: int = Field(1, ge=1)
    """Transformer blocks of each attention."""
    context: int = Field(512, ge=1)
    """Width of the tokens that the cross-attention looks at."""
    norm_groups: int = Field(32, ge=1)
    """Groups of the group norms; every width must be a multiple of it."""
    linear_projection: bool = False
    """Whether attention is entered by a linear layer (Stable Diffusion 2), not a convolution."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout inside the residual blocks."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.channels * multiple for multiple in self.multiples)

    @property
    def time_width(self) -> int:
        """Length of the time step's embedding."""
        return 4 * self.channels

    @model_validator(mode="after")
    def _fit(self) -> Self:
        sizes = [2**level for level in range(len(self.multiples))]
        if unknown := sorted(set(self.attention) - set(sizes)):
            raise ValueError(f"attention at {unknown} is at none of the levels {sizes}")
        if self.channels % self.norm_groups:
            raise ValueError(
                f"{self.channels} channels cannot be parted into norm_groups={self.norm_groups}"
            )
        if len(self.heads_of_levels) != len(sizes):
            raise ValueError(f"heads should be one number, or one for each of {len(sizes)} levels")
        for width, heads in zip(self.widths, self.heads_of_levels, strict=True):
            if width % heads:
                raise ValueError(f"{width} channels cannot be parted into {heads} heads")
        return self

    @property
    def heads_of_levels(self) -> tuple[int, ...]:
        """Attention heads of each level."""
        if isinstance(self.heads, int):
            return (self.heads,) * len(self.multiples)
        return self.heads


class UNet(nn.Module):
    """eps = unet(x, t, context, e): cross-attention to the context, e added to the time embedding.

    The network is diffusers' `UNet2DConditionModel`, that of latent diffusion (Rombach et al.
    2022); its `class_embed_type="identity"` adds what it is given to the time embedding.

    Parameters
    ----------
    options
        Sizes.
    n_channels
        Channels of the latents.
    time_condition
        Whether the second condition is used.
    first_guess
        Whether the third is, whose latents stand behind those with noise as further channels.
    """

    def __init__(
        self,
        options: UNetOptions,
        n_channels: int,
        *,
        time_condition: bool,
        first_guess: bool = False,
    ) -> None:
        super().__init__()
        attends = [2**level in options.attention for level in range(len(options.widths))]
        down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends)
        up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends))
        self.network: Any = diffusers_part("UNet2DConditionModel")(
            in_channels=2 * n_channels if first_guess else n_channels,
            out_channels=n_channels,
            down_block_types=down,
            up_block_types=up,
            block_out_channels=options.widths,
            layers_per_block=options.blocks,
            cross_attention_dim=options.context,
            attention_head_dim=options.heads_of_levels,  # the number of heads, by its old name
            transformer_layers_per_block=options.depth,
            use_linear_projection=options.linear_projection,
            norm_num_groups=options.norm_groups,
            class_embed_type="identity" if time_condition else None,
            dropout=options.dropout,
        )

    def forward(self, latents: Tensor, times: Tensor, condition: Condition) -> Tensor:
        """(B, C, h, w) latents at (B,) time steps to the (B, C, h, w) that is predicted."""
        seen = latents if condition.guess is None else torch.cat([latents, condition.guess], 1)
        found: Tensor = self.network(
            seen,
            times,
            encoder_hidden_states=condition.context,
            class_labels=condition.time,
            return_dict=False,
        )[0]
        return found
