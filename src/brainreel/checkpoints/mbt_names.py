"""What MBT in Scenic (JAX) calls its tensors, and how its kernels lie."""

from __future__ import annotations

import torch
from torch import Tensor

from brainreel.checkpoints.remap import Drop, Rename, transposed

SUFFIX = {"pictures": "", "sound": "_spectrogram"}
PREFIXES = (
    "optimizer/target/params/", "optimizer/target/", "target/params/", "target/",
    "params/params/", "params/",
)  # fmt: skip
TRAINING = Drop(
    r"(optimizer|opt_state|optimizer_state|model_state|state|metadata)(/.*)?"
    r"|global_step|step|rng|accum_train_time",
    "the state of the training, not of the network",
)
ATTENTION = "MultiHeadDotProductAttention_0"


def flat_heads(*kernels: Tensor) -> Tensor:
    """Join query, key and value kernels (D, heads, D / heads) to (3 D, D)."""
    return torch.cat([kernel.flatten(1).t() for kernel in kernels])


def flat_biases(*biases: Tensor) -> Tensor:
    """Join query, key and value biases (heads, D / heads) to (3 D,)."""
    return torch.cat([bias.flatten() for bias in biases])


def flat_out(kernel: Tensor) -> Tensor:
    """Turn the kernel after attention (heads, D / heads, D) into (D, D)."""
    return kernel.flatten(0, 1).t().contiguous()


def picture_kernel(kernel: Tensor) -> Tensor:
    """Turn (H, W, C, D), or (F, H, W, C, D) of a tubelet, into (D, C, F, H, W)."""
    tube = kernel.unsqueeze(0) if kernel.dim() == 4 else kernel
    return tube.permute(4, 3, 0, 1, 2).contiguous()


def sound_kernel(kernel: Tensor) -> Tensor:
    """Turn (S, M, C, D) into (D, C, S, M)."""
    return kernel.permute(3, 2, 0, 1).contiguous()


def one_channel_kernel(kernel: Tensor) -> Tensor:
    """The same for sound of one channel that stood for all: the sum over channels."""
    return sound_kernel(kernel).sum(dim=1, keepdim=True)


def block_rules(sense: str, tower: str) -> tuple[Rename, ...]:
    """Rules for the transformer layers of one sense; `tower` is what we call them."""
    theirs = rf"Transformer/encoderblock_(\d+){SUFFIX[sense]}/"
    ours = rf"transformer.towers.{tower}.blocks.\1."
    plain = {
        "LayerNorm_0/scale": "attention_norm.weight",
        "LayerNorm_0/bias": "attention_norm.bias",
        "LayerNorm_1/scale": "feedforward_norm.weight",
        "LayerNorm_1/bias": "feedforward_norm.bias",
        f"{ATTENTION}/out/bias": "attention.out.bias",
        "MlpBlock_0/Dense_0/bias": "feedforward.expand.bias",
        "MlpBlock_0/Dense_1/bias": "feedforward.contract.bias",
    }
    parts = [f"{theirs}{ATTENTION}/{part}/" for part in ("query", "key", "value")]
    return (
        *(Rename(theirs + name, ours + own) for name, own in plain.items()),
        Rename(tuple(p + "kernel" for p in parts), ours + "attention.qkv.weight", flat_heads),
        Rename(tuple(p + "bias" for p in parts), ours + "attention.qkv.bias", flat_biases),
        Rename(theirs + f"{ATTENTION}/out/kernel", ours + "attention.out.weight", flat_out),
        Rename(
            theirs + "MlpBlock_0/Dense_0/kernel", ours + "feedforward.expand.weight", transposed
        ),
        Rename(
            theirs + "MlpBlock_0/Dense_1/kernel", ours + "feedforward.contract.weight", transposed
        ),
    )


def token_rules(sense: str, *, alone: bool, one_channel: bool) -> tuple[Rename, ...]:
    """Rules for patches, positions and class token of one sense."""
    convert = picture_kernel if sense == "pictures" else sound_kernel
    if sense == "sound" and one_channel:
        convert = one_channel_kernel
    # A network of one sense calls its class token as that of pictures.
    token = "cls" if alone else "cls" + SUFFIX[sense].removeprefix("_")
    theirs, ours = f"embedding{SUFFIX[sense]}/", f"tokens.{sense}."
    return (
        Rename(theirs + "kernel", ours + "patches.project.weight", convert),
        Rename(theirs + "bias", ours + "patches.project.bias"),
        Rename(token, ours + "class_token"),
        Rename(
            f"Transformer/posembed_input{SUFFIX[sense]}/pos_embedding", ours + "positions.table"
        ),
    )


def head_rules(*, hidden: bool) -> tuple[Rename, ...]:
    """Rules for the last LayerNorm and the classifier, with or without a layer before it."""
    last = "head.2." if hidden else "head."
    return (
        Rename("Transformer/encoder_norm/scale", "norm.weight"),
        Rename("Transformer/encoder_norm/bias", "norm.bias"),
        Rename("pre_logits/kernel", "head.0.weight", transposed),
        Rename("pre_logits/bias", "head.0.bias"),
        Rename("output_projection/kernel", last + "weight", transposed),
        Rename("output_projection/bias", last + "bias"),
    )
