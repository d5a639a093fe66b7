"""What latent diffusion calls the tensors of its U-Net and its first stage, and their sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from brainreel.checkpoints.remap import Drop, Rename
from brainreel.errors import CheckpointError

_PARTS = r"\.(weight|bias)"
# Their name of a part of a residual block -> diffusers'.
_UNET_BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_VQ_BLOCK = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "conv_shortcut",
}
_VQ_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


class Tensors:
    """Tensors by their names, for reading sizes; one that is not there is named."""

    def __init__(self, state: Mapping[str, Tensor], where: str) -> None:
        self.state, self.where = state, where

    def size(self, name: str, axis: int = 0) -> int:
        """Return the size of a tensor along an axis."""
        if name not in self.state or self.state[name].dim() <= axis:
            raise CheckpointError(
                f"{self.where}: no tensor {name} of the right shape. The file is not whole, or not "
                "of latent diffusion."
            )
        return int(self.state[name].shape[axis])

    def numbers(self, pattern: str) -> list[int]:
        """Return the numbers that a pattern's one group finds in the names, rising."""
        found = (re.match(pattern, name) for name in self.state)
        return sorted({int(match.group(1)) for match in found if match})

    def multiples(self, widths: list[int], channels: int) -> list[int]:
        """Return the widths as multiples of the channels at full size."""
        if any(width % channels for width in widths):
            raise CheckpointError(
                f"{self.where}: widths {widths} are no multiples of {channels} channels."
            )
        return [width // channels for width in widths]


def unet_sizes(tensors: Tensors) -> dict[str, Any]:
    """Return options of `UNetOptions` that the tensors of a U-Net tell: all but the heads."""
    halving = tensors.numbers(r"input_blocks\.(\d+)\.0\.op\.")
    blocks = tensors.numbers(r"input_blocks\.(\d+)\.")
    n_blocks = (halving[0] if halving else len(blocks)) - 1
    channels = tensors.size("input_blocks.0.0.weight")
    firsts = [1 + level * (n_blocks + 1) for level in range(len(halving) + 1)]
    widths = [tensors.size(f"input_blocks.{first}.0.in_layers.2.weight") for first in firsts]
    inside = r"input_blocks\.(\d+)\.1\.transformer_blocks\."
    attended = tensors.numbers(inside)
    middle = "middle_block.1."
    depth = tensors.numbers(re.escape(middle) + r"transformer_blocks\.(\d+)\.")
    return {
        "channels": channels,
        "multiples": tensors.multiples(widths, channels),
        "blocks": n_blocks,
        "attention": [2**level for level, first in enumerate(firsts) if first in attended],
        "depth": max(len(depth), 1),
        "context": tensors.size(middle + "transformer_blocks.0.attn2.to_k.weight", 1),
        "linear_projection": tensors.state[middle + "proj_in.weight"].dim() == 2,
    }


def unet_rules(n_levels: int, n_blocks: int, prefix: str = "unet.network.") -> list[Rename | Drop]:
    """Return the rules of a U-Net: their blocks are numbered through, diffusers' by level."""
    rules: list[Rename | Drop] = [
        Rename(rf"time_embed\.0{_PARTS}", rf"{prefix}time_embedding.linear_1.\1"),
        Rename(rf"time_embed\.2{_PARTS}", rf"{prefix}time_embedding.linear_2.\1"),
        Rename(rf"input_blocks\.0\.0{_PARTS}", rf"{prefix}conv_in.\1"),
        Rename(rf"out\.0{_PARTS}", rf"{prefix}conv_norm_out.\1"),
        Rename(rf"out\.2{_PARTS}", rf"{prefix}conv_out.\1"),
        *_block(r"middle_block\.0", f"{prefix}mid_block.resnets.0"),
        _attention(r"middle_block\.1", f"{prefix}mid_block.attentions.0"),
        *_block(r"middle_block\.2", f"{prefix}mid_block.resnets.1"),
    ]
    for level in range(n_levels):
        down, up = f"{prefix}down_blocks.{level}", f"{prefix}up_blocks.{level}"
        first = 1 + level * (n_blocks + 1)
        for place in range(n_blocks):
            theirs = rf"input_blocks\.{first + place}"
            rules += _block(rf"{theirs}\.0", f"{down}.resnets.{place}")
            rules.append(_attention(rf"{theirs}\.1", f"{down}.attentions.{place}"))
        halving = rf"input_blocks\.{first + n_blocks}\.0\.op{_PARTS}"
        rules.append(Rename(halving, rf"{down}.downsamplers.0.conv.\1"))
        for place in range(n_blocks + 1):
            theirs = rf"output_blocks\.{level * (n_blocks + 1) + place}"
            rules += _block(rf"{theirs}\.0", f"{up}.resnets.{place}")
            rules.append(Rename(rf"{theirs}\.[12]\.conv{_PARTS}", rf"{up}.upsamplers.0.conv.\1"))
            rules.append(_attention(rf"{theirs}\.1", f"{up}.attentions.{place}"))
    return rules


def _block(theirs: str, ours: str) -> list[Rename]:
    return [
        Rename(rf"{theirs}\.{re.escape(part)}{_PARTS}", rf"{ours}.{name}.\1")
        for part, name in _UNET_BLOCK.items()
    ]


def _attention(theirs: str, ours: str) -> Rename:
    inside = r"((?:norm|proj_in|proj_out|transformer_blocks\.\d+)\..*)"
    return Rename(rf"{theirs}\.{inside}", rf"{ours}.\1")


def vq_sizes(tensors: Tensors) -> dict[str, Any]:
    """Return options of `VQOptions` that the tensors of a first stage tell."""
    channels = tensors.size("encoder.conv_in.weight")
    levels = tensors.numbers(r"encoder\.down\.(\d+)\.block\.")
    widths = [tensors.size(f"encoder.down.{level}.block.0.conv1.weight") for level in levels]
    attended = tensors.numbers(r"encoder\.down\.(\d+)\.attn\.")
    return {
        "channels": channels,
        "multiples": tensors.multiples(widths, channels),
        "blocks": len(tensors.numbers(r"encoder\.down\.0\.block\.(\d+)\.")),
        "attention": [2**level for level in attended],
        "latent": tensors.size("encoder.conv_out.weight"),
        "codes": tensors.size("quantize.embedding.weight"),
        "scale": 1.0,
    }


def vq_rules(n_levels: int, prefix: str = "first_stage.network.") -> list[Rename | Drop]:
    """Return the rules of a VQ first stage; on the way up they count levels from full size."""
    rules: list[Rename | Drop] = [
        Drop(r"loss\..*", "the losses that trained the first stage"),
        Rename(r"((?:post_)?quant_conv)" + _PARTS, rf"{prefix}\1.\2"),
        Rename(r"quantize\.embedding\.weight", f"{prefix}quantize.embedding.weight"),
        Rename(rf"(encoder|decoder)\.(conv_in|conv_out){_PARTS}", rf"{prefix}\1.\2.\3"),
        Rename(rf"(encoder|decoder)\.norm_out{_PARTS}", rf"{prefix}\1.conv_norm_out.\2"),
    ]
    for part in ("encoder", "decoder"):
        middle = f"{prefix}{part}.mid_block"
        for number in (1, 2):
            rules += _vq_block(rf"{part}\.mid\.block_{number}", f"{middle}.resnets.{number - 1}")
        rules += _vq_attention(rf"{part}\.mid\.attn_1", f"{middle}.attentions.0")
    sample = rf"sample\.conv{_PARTS}"
    for level in range(n_levels):
        ways = {
            rf"encoder\.down\.{level}": f"{prefix}encoder.down_blocks.{level}",
            rf"decoder\.up\.{level}": f"{prefix}decoder.up_blocks.{n_levels - 1 - level}",
        }
        for theirs, ours in ways.items():
            rules += _vq_block(rf"{theirs}\.block\.(\d+)", rf"{ours}.resnets.\1", 2)
            rules += _vq_attention(rf"{theirs}\.attn\.(\d+)", rf"{ours}.attentions.\1", 2)
            rules.append(Rename(rf"{theirs}\.(down|up){sample}", rf"{ours}.\1samplers.0.conv.\2"))
    return rules


def _vq_block(theirs: str, ours: str, group: int = 1) -> list[Rename]:
    return [
        Rename(rf"{theirs}\.{part}{_PARTS}", rf"{ours}.{name}.\{group}")
        for part, name in _VQ_BLOCK.items()
    ]


def _vq_attention(theirs: str, ours: str, group: int = 1) -> list[Rename]:
    return [
        Rename(rf"{theirs}\.{part}{_PARTS}", rf"{ours}.{name}.\{group}", _as_linear)
        for part, name in _VQ_ATTENTION.items()
    ]


def _as_linear(kernel: Tensor) -> Tensor:
    """Take the two axes of size 1 off a convolution that is a linear layer; biases stay."""
    return kernel[:, :, 0, 0] if kernel.dim() == 4 else kernel
