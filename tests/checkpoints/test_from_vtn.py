from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.from_vtn import read_vtn
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.clip import Clip
from brainreel.models.vtn import VTN, VTNConfig
from brainreel.shapes import DataSpec

OPTIONS = {"heads": 2, "frame_heads": 2, "window": 4, "pixel_mean": 0.5, "pixel_std": 0.5}
FRAME = {
    "patches.project": "patch_embed.proj", "norm": "norm", "attention_norm": "norm1",
    "attention.qkv": "attn.qkv", "attention.out": "attn.proj", "feedforward_norm": "norm2",
    "feedforward.expand": "mlp.fc1", "feedforward.contract": "mlp.fc2",
}  # fmt: skip
LAYER = {
    "attention.out": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
    "feedforward.expand": "intermediate.dense", "feedforward.contract": "output.dense",
    "feedforward_norm": "output.LayerNorm",
}  # fmt: skip
OVER_TIME = {
    "temporal.class_token": "cls_token",
    "temporal.positions": "temporal_encoder.embeddings.position_embeddings.weight",
    "temporal.types": "temporal_encoder.embeddings.token_type_embeddings.weight",
    "temporal.norm.weight": "temporal_encoder.embeddings.LayerNorm.weight",
    "temporal.norm.bias": "temporal_encoder.embeddings.LayerNorm.bias",
}


def ours(**options: Any) -> VTN:
    torch.manual_seed(0)
    config = VTNConfig.parse({
        "frame": {
            "name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4, "mlp_ratio": 4,
            "pooling": "class", "positions": "learned",
        },
        "heads": 2, "window": 4, "max_positions": 9, "pooling": "mean", "head_width": 6, **options,
    })  # fmt: skip
    model = config.build(DataSpec(frame_shape=(3, 8, 8), classes={"label": 5}))
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def frame_name(name: str) -> str:
    inner, _, end = name.rpartition(".")
    if inner.startswith("transformer.blocks."):
        number, part = inner.removeprefix("transformer.blocks.").split(".", 1)
        return f"blocks.{number}.{FRAME[part]}.{end}"
    return f"{FRAME[inner]}.{end}"


def theirs(model: VTN) -> dict[str, Tensor]:
    """The state as the published implementation would name it."""
    found: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name == "frame.class_token":
            found["backbone.cls_token"] = value
        elif name == "frame.positions.table":  # theirs has one for the class token too
            table = torch.cat([torch.zeros(1, 1, 8), value.reshape(1, -1, 8)], dim=1)
            found["backbone.pos_embed"] = table
        elif name.startswith("frame."):
            found[f"backbone.{frame_name(name.removeprefix('frame.'))}"] = value
        elif name in OVER_TIME:
            found[OVER_TIME[name]] = value
        elif name.startswith("head."):
            _, part, end = name.split(".")
            found[f"mlp_head.{ {'norm': 0, 'expand': 1, 'logits': 4}[part] }.{end}"] = value
        else:
            *_, number, branch, part, end = name.rsplit(".", 4)
            layer = f"temporal_encoder.encoder.layer.{number}"
            if part in ("qkv", "global_qkv"):
                suffix = "_global" if part == "global_qkv" else ""
                for role, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    found[f"{layer}.attention.self.{role}{suffix}.{end}"] = third
            elif branch.isdigit():
                found[f"temporal_encoder.encoder.layer.{branch}.{LAYER[part]}.{end}"] = value
            else:
                found[f"{layer}.{LAYER[f'{branch}.{part}']}.{end}"] = value
    return {name: value.clone().contiguous() for name, value in found.items()}


def clip() -> Clip:
    return Clip(frames=torch.rand(2, 7, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


@torch.no_grad()
def test_a_state_goes_through_with_every_tensor_used(tmp_path: Path) -> None:
    model = ours()
    save_file(theirs(model), tmp_path / "vtn.safetensors")
    imported = read_vtn(tmp_path / "vtn.safetensors", {**OPTIONS, "pooling": "mean"})
    assert imported.dropped == {}
    assert imported.spec.frame_shape == (3, 8, 8)
    assert imported.spec.classes == {"label": 5}
    assert imported.config.to_dict()["window"] == 4
    again = imported.build(where="test").eval()
    torch.testing.assert_close(again(clip()), model(clip()), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_read_by_the_class_token_it_names_what_it_does_without(tmp_path: Path) -> None:
    model = ours(depth=3)
    state = theirs(model)
    state["temporal_encoder.embeddings.position_ids"] = torch.arange(9)[None]
    state["backbone.head.weight"] = torch.zeros(10, 8)
    save_file(state, tmp_path / "vtn.safetensors")
    imported = read_vtn(tmp_path / "vtn.safetensors", OPTIONS)
    local = {
        f"temporal_encoder.encoder.layer.2.attention.self.{role}.{end}"
        for role in ("query", "key", "value")
        for end in ("weight", "bias")
    }
    others = {"temporal_encoder.embeddings.position_ids", "backbone.head.weight"}
    assert set(imported.dropped) == local | others
    assert "no longer reads" in imported.dropped[min(local)]
    again = imported.build(where="test").eval()
    assert isinstance(again, VTN)
    vectors = torch.stack([model.frame.embed(frames) for frames in clip().frames])
    tokens = model.temporal.transformer(
        model.temporal.embed(vectors, torch.arange(7).expand(2, -1))
    )
    torch.testing.assert_close(again.features(clip()), tokens[:, 0], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_checkpoint_of_slowfast_is_read(tmp_path: Path) -> None:
    model = ours()
    wrapped = {f"module.{name}": value for name, value in theirs(model).items()}
    content = {"epoch": 3, "model_state": wrapped, "optimizer_state": {"state": {}}, "cfg": "A: 1"}
    torch.save(content, tmp_path / "vtn.pyth")
    imported = read_vtn(tmp_path / "vtn.pyth", {**OPTIONS, "pooling": "mean"})
    again = imported.build(where="test").eval()
    torch.testing.assert_close(again(clip()), model(clip()), rtol=1e-5, atol=1e-6)


def test_without_a_head_it_gives_features(tmp_path: Path) -> None:
    state = {k: v for k, v in theirs(ours()).items() if not k.startswith("mlp_head")}
    save_file(state, tmp_path / "vtn.safetensors")
    imported = read_vtn(tmp_path / "vtn.safetensors", OPTIONS)
    assert imported.spec.classes == {}
    assert imported.build(where="test").eval()(clip()).shape == (2, 8)


def test_windows_may_differ_by_layer(tmp_path: Path) -> None:
    save_file(theirs(ours()), tmp_path / "vtn.safetensors")
    imported = read_vtn(tmp_path / "vtn.safetensors", {**OPTIONS, "window": [2, 6]})
    assert isinstance(imported.config, VTNConfig)
    assert imported.config.window == (2, 6)
    with pytest.raises(ConfigError, match="window has 3 lengths for a depth of 2"):
        read_vtn(tmp_path / "vtn.safetensors", {**OPTIONS, "window": [2, 4, 6]})


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not any(p in name for p in parts)}


BROKEN = {
    "unknown": (lambda s: {**s, "temporal_encoder.extra": torch.zeros(1)},
                "1 of .* tensors are not known: temporal_encoder.extra"),
    "no key": (lambda s: without(s, "layer.0.attention.self.key.weight"), "lacks its companions"),
    "no positions": (lambda s: without(s, "position_embeddings"),
                     "no matrix in it becomes temporal.positions"),
    "no layers": (lambda s: without(s, "encoder.layer"), "no matrix in it becomes temporal"),
    "no backbone": (lambda s: without(s, "backbone"), "is no VTN"),
    "no class token": (lambda s: {k: v for k, v in s.items() if k != "cls_token"}, "is no VTN"),
    "odd positions": (lambda s: {**s, "backbone.pos_embed": torch.zeros(1, 7, 8)},
                      "not for a grid of 2 x 2"),
    "scalar": (lambda s: {**s, OVER_TIME["temporal.positions"]: torch.zeros(())},
               "no matrix in it becomes temporal.positions"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_told_apart(tmp_path: Path, fault: str) -> None:
    broken, words = BROKEN[fault]
    save_file(broken(theirs(ours())), tmp_path / "vtn.safetensors")
    with pytest.raises(CheckpointError, match=words):
        read_vtn(tmp_path / "vtn.safetensors", OPTIONS)


def test_a_missing_or_misshaped_tensor_is_named_when_it_is_built(tmp_path: Path) -> None:
    state = without(theirs(ours()), "mlp_head.0.bias")
    state["mlp_head.4.bias"] = torch.zeros(4)
    save_file(state, tmp_path / "vtn.safetensors")
    imported = read_vtn(tmp_path / "vtn.safetensors", OPTIONS)
    with pytest.raises(CheckpointError, match=r"missing: head.norm.bias.*head.logits.bias \(4,\)"):
        imported.build(where="test")


def test_it_is_an_origin_of_import() -> None:
    assert ORIGINS["vtn"].read is read_vtn
