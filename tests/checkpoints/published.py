"""Tiny ViT, DeiT and AST weights under others' names, and what they compute, loop by loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

WIDTH, HEADS, HIDDEN, DEPTH, CLASSES = 12, 3, 20, 2, 5
State = dict[str, Tensor]


def drawn(shapes: Iterable[tuple[str, tuple[int, ...]]], seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes}


def linear(name: str, out: int, into: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{name}.weight", (out, into)), (f"{name}.bias", (out,))]


def norm(name: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{name}.weight", (WIDTH,)), (f"{name}.bias", (WIDTH,))]


def hugging_face(
    prefix: str, kernel: tuple[int, int, int], places: int, *, distilled: bool
) -> State:
    """Weights of a ViTModel, DeiTModel or ASTModel without pooler."""
    shapes = [
        ("embeddings.cls_token", (1, 1, WIDTH)),
        ("embeddings.position_embeddings", (1, places + 1 + distilled, WIDTH)),
        ("embeddings.patch_embeddings.projection.weight", (WIDTH, *kernel)),
        ("embeddings.patch_embeddings.projection.bias", (WIDTH,)),
        *norm("layernorm"),
    ]
    if distilled:
        shapes.append(("embeddings.distillation_token", (1, 1, WIDTH)))
    for i in range(DEPTH):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            shapes += linear(f"{layer}.attention.attention.{part}", WIDTH, WIDTH)
        shapes += linear(f"{layer}.attention.output.dense", WIDTH, WIDTH)
        shapes += linear(f"{layer}.intermediate.dense", HIDDEN, WIDTH)
        shapes += linear(f"{layer}.output.dense", WIDTH, HIDDEN)
        shapes += norm(f"{layer}.layernorm_before") + norm(f"{layer}.layernorm_after")
    return drawn((prefix + name, shape) for name, shape in shapes)


def timm(prefix: str, kernel: tuple[int, int, int], places: int, *, distilled: bool) -> State:
    """The same under timm's names."""
    return {prefix + name: value for name, value in as_timm(
        hugging_face("", kernel, places, distilled=distilled)
    ).items()}  # fmt: skip


def as_timm(state: State) -> State:
    """Rename Hugging Face's tensors to timm's by plain replacement."""
    found: State = {}
    for name, value in state.items():
        for old, new in (
            ("embeddings.cls_token", "cls_token"),
            ("embeddings.distillation_token", "dist_token"),
            ("embeddings.position_embeddings", "pos_embed"),
            ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
            ("encoder.layer", "blocks"),
            ("attention.output.dense", "attn.proj"),
            ("intermediate.dense", "mlp.fc1"),
            ("output.dense", "mlp.fc2"),
            ("layernorm_before", "norm1"),
            ("layernorm_after", "norm2"),
            ("layernorm", "norm"),
        ):
            name = name.replace(old, new)
        found[name] = value
    for i in range(DEPTH):
        for end in ("weight", "bias"):
            parts = [
                found.pop(f"blocks.{i}.attention.attention.{part}.{end}")
                for part in ("query", "key", "value")
            ]
            found[f"blocks.{i}.attn.qkv.{end}"] = torch.cat(parts)
    return found


def tokens_of(
    state: State, x: Tensor, stride: tuple[int, int], eps: float, gelu: Callable[[Tensor], Tensor]
) -> Tensor:
    """(C, H, W) to normalised (special + N, D), patch by patch, head by head; HF names."""
    project = state["embeddings.patch_embeddings.projection.weight"]
    ph, pw = project.shape[2:]
    rows = [state["embeddings.cls_token"][0, 0]]
    if "embeddings.distillation_token" in state:
        rows.append(state["embeddings.distillation_token"][0, 0])
    for i in range(0, x.shape[1] - ph + 1, stride[0]):
        for j in range(0, x.shape[2] - pw + 1, stride[1]):
            patch = x[:, i : i + ph, j : j + pw]
            token = (project * patch).sum(dim=(1, 2, 3))
            rows.append(token + state["embeddings.patch_embeddings.projection.bias"])
    z = torch.stack(rows) + state["embeddings.position_embeddings"][0]

    def normed(name: str, y: Tensor) -> Tensor:
        centred = y - y.mean(-1, keepdim=True)
        scaled = centred / (y.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def dense(name: str, y: Tensor) -> Tensor:
        return y @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    size = WIDTH // HEADS
    for i in range(DEPTH):
        layer = f"encoder.layer.{i}"
        y = normed(f"{layer}.layernorm_before", z)
        q, k, v = (
            dense(f"{layer}.attention.attention.{part}", y) for part in ("query", "key", "value")
        )
        heads = []
        for h in range(HEADS):
            part = slice(h * size, (h + 1) * size)
            weights = (q[:, part] @ k[:, part].T / math.sqrt(size)).softmax(-1)
            heads.append(weights @ v[:, part])
        z = z + dense(f"{layer}.attention.output.dense", torch.cat(heads, dim=-1))
        y = gelu(dense(f"{layer}.intermediate.dense", normed(f"{layer}.layernorm_after", z)))
        z = z + dense(f"{layer}.output.dense", y)
    return normed("layernorm", z)


def exact(x: Tensor) -> Tensor:
    return functional.gelu(x)


def tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")
