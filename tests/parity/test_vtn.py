"""VTN against the outputs of the published implementation for random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from brainreel.checkpoints.from_vtn import read_vtn
from brainreel.layers.clip import Clip
from brainreel.models.vtn import VTN

from .conftest import close


@pytest.fixture(scope="module")
def folder(golden: Callable[[str], Path]) -> Path:
    return golden("vtn")


@pytest.fixture(scope="module")
def io(folder: Path) -> dict[str, Tensor]:
    tensors = load_file(folder / "io.safetensors")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


@pytest.fixture(scope="module")
def options(folder: Path) -> dict[str, Any]:
    sizes = json.loads((folder / "config.json").read_text())
    assert sizes["act"] == "gelu exact"
    return {
        "heads": sizes["heads"],
        "frame_heads": sizes["vit"]["num_heads"],
        "size": [sizes["vit"]["img_size"]] * 2,
        "window": sizes["attention_window"],
        "pixel_mean": 0,
        "pixel_std": 1,
    }


def load(folder: Path, options: dict[str, Any]) -> VTN:
    imported = read_vtn(folder / "state.safetensors", options)
    built = imported.build(where="golden")
    assert isinstance(built, VTN)
    return built.eval()


def frames_of(io: dict[str, Tensor]) -> Tensor:
    """Theirs are (B, C, F, H, W)."""
    return io["input.frames"].transpose(1, 2)


@torch.no_grad()
def test_logits_are_those_published(
    folder: Path, options: dict[str, Any], io: dict[str, Tensor]
) -> None:
    net = load(folder, options)
    clip = Clip(frames=frames_of(io), frame_numbers=io["input.position_ids"])
    close(net(clip), io["output.logits"])
    rows = io["inter.backbone"].reshape(len(clip), -1, net.width)
    close(net.attend(rows, clip.frame_numbers), io["inter.last_hidden"][:, 0])


@torch.no_grad()
def test_every_tensor_on_the_way_is_the_one_published(
    folder: Path, options: dict[str, Any], io: dict[str, Tensor]
) -> None:
    # Read by the mean over all tokens, the last layer keeps what the class token does without.
    net = load(folder, {**options, "pooling": "mean"})
    frames, numbers = frames_of(io), io["input.position_ids"]
    vectors = net.embed_frames(frames.flatten(0, 1))
    close(vectors, io["inter.backbone"])
    tokens = net.temporal.embed(vectors.reshape(*frames.shape[:2], -1), numbers)
    kept = slice(0, tokens.shape[1])  # theirs are padded to a multiple of the window
    close(tokens, io["inter.embeddings"][:, kept])
    layers = sorted(name for name in io if name.startswith("inter.layer"))
    assert len(layers) == len(net.temporal.transformer.blocks) > 0
    for number, block in enumerate(net.temporal.transformer.blocks):
        tokens = block(tokens)
        close(tokens, io[f"inter.layer{number}"][:, kept])
    close(tokens, io["inter.last_hidden"][:, kept])
    close(net.temporal(vectors.reshape(*frames.shape[:2], -1), numbers), tokens.mean(dim=1))


@torch.no_grad()
def test_a_padded_batch_gives_the_same(
    folder: Path, options: dict[str, Any], io: dict[str, Tensor]
) -> None:
    """The published code pads; clips that are padded here come out alike."""
    net = load(folder, options)
    vectors = io["inter.backbone"].reshape(*io["input.position_ids"].shape, -1)
    longer = torch.cat([vectors, torch.full_like(vectors, 7.0)], dim=1)
    numbers = torch.cat([io["input.position_ids"]] * 2, dim=1)
    valid = torch.arange(longer.shape[1]).expand(len(longer), -1) < vectors.shape[1]
    close(net.head(net.attend(longer, numbers, valid)), io["output.logits"])
