from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.from_tff import read_tff
from brainreel.errors import CheckpointError, ConfigError
from brainreel.models.tff import TFFAutoencoderConfig, TFFConfig, TFFLabelConfig
from brainreel.shapes import DataSpec

GRID = (6, 9, 7)  # 1 x 2 x 1 at the coarsest, so 4 numbers in two channels
SIZES = {"widths": (4, 8, 16, 32), "blocks": (1, 2, 2, 4), "embedding": 8}
OVER_TIME = {"heads": 2, "layers": 1, "hidden": 12, "max_trs": 7}
PHASES = {
    "tff_autoencoder": TFFAutoencoderConfig.parse(SIZES),
    "tff": TFFConfig.parse(SIZES | OVER_TIME),
    "tff_label": TFFLabelConfig.parse(SIZES | OVER_TIME),
}
OPTIONS = {"grid": list(GRID), "heads": 2}
HALVES = {
    "first.norm": "group_norm0", "first.conv": "conv0",
    "second.norm": "group_norm1", "second.conv": "conv2",
}  # fmt: skip
PARTS = {
    "encoder.enter": "encoder.down_block1.conv0",
    "encoder.squeeze.norm": "into_bert.reduce_dimension.group_normR",
    "encoder.squeeze.conv": "into_bert.reduce_dimension.convR0",
    "encoder.project": "into_bert.into_bert",
    "decoder.project": "from_bert.out_of_bert",
    "decoder.widen.norm": "from_bert.expand_dimension.group_normR",
    "decoder.widen.conv": "from_bert.expand_dimension.convR0",
    "decoder.refine": "decoder.decode_block.blue_block",
    "decoder.leave": "decoder.decode_block.output_block",
    "transformer.class_token": "transformer.cls_embedding.0",
    "transformer.norm": "transformer.bert.embeddings.LayerNorm",
    "pool": "transformer.bert.pooler.dense",
    "head": "regression_head.0",
}
LAYER = {
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feedforward.expand": "intermediate.dense",
    "feedforward.contract": "output.dense",
    "feedforward_norm": "output.LayerNorm",
}


def ours(phase: str, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    config = PHASES[phase].model_copy(update=changes)
    model = config.build(DataSpec(grid=GRID))
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def renamed(name: str) -> str:
    """Their name of a part, without `.weight`."""
    if name in PARTS:
        return PARTS[name]
    if match := re.fullmatch(r"encoder\.halve\.(\d)", name):
        return f"encoder.down_block{int(match[1]) + 1}.downsize_{match[1]}"
    if match := re.fullmatch(r"encoder\.levels\.(\d)\.(\d)\.(.*)", name):
        level, place = int(match[1]), match[2]
        block = "final_block" if level == 3 else f"down_block{level + 1}"
        green = "green0" if level == 0 else f"green{level}{place}"
        return f"encoder.{block}.{green}.block.{HALVES[match[3]]}"
    match = re.fullmatch(r"decoder\.grow\.(\d)\.(reduce|block\.(.*))", name)
    assert match, name
    part = "conv" if match[2] == "reduce" else f"green.block.{HALVES[match[3]]}"
    return f"decoder.decode_block.upgreen{match[1]}.{part}"


def theirs(model: nn.Module) -> dict[str, Tensor]:
    """The state as the published implementation names it, one tensor after the other."""
    found: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        part, _, end = name.rpartition(".")
        if name == "transformer.positions":
            found["transformer.bert.embeddings.position_embeddings.weight"] = value
        elif name == "transformer.token_type":
            table = torch.stack([value, torch.zeros_like(value)])
            found["transformer.bert.embeddings.token_type_embeddings.weight"] = table
            found["transformer.bert.embeddings.word_embeddings.weight"] = value[None]
        elif part.startswith("transformer.transformer.blocks."):
            number, rest = part.removeprefix("transformer.transformer.blocks.").split(".", 1)
            layer = f"transformer.bert.encoder.layer.{number}"
            if rest == "attention.qkv":
                for role, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    found[f"{layer}.attention.self.{role}.{end}"] = third
            else:
                found[f"{layer}.{LAYER[rest]}.{end}"] = value
        else:
            found[f"{renamed(part)}.{end}"] = value
    return {name: value.clone().contiguous() for name, value in found.items()}


def published(path: Path, state: dict[str, Tensor]) -> Path:
    """A checkpoint as their training leaves it: weights beside optimiser, scores and places."""
    content = {
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []},
        "epoch": 2.5,
        "loss_value": np.float64(0.25),
        "accuracy": np.float64(0.75),
        "schedule_state_dict": {"step_size": 500, "_last_lr": [1e-3]},
        "lr": 1e-3,
        "loaded_model_weights_path": None,
    }
    torch.save(content, path)
    return path


def volumes() -> Tensor:
    return torch.randn(2, 3, 2, *GRID, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_is_read_with_every_tensor_used(phase: str, tmp_path: Path) -> None:
    model = ours(phase)
    imported = read_tff(published(tmp_path / "tff.pth", theirs(model)), OPTIONS)
    words = "transformer.bert.embeddings.word_embeddings.weight"
    assert set(imported.dropped) == ({words} if phase != "tff_autoencoder" else set())
    assert imported.config == PHASES[phase]
    assert imported.spec == DataSpec(grid=GRID)
    assert bool(imported.notes) == (phase == "tff_label")
    again = imported.build(where="test").eval()
    torch.testing.assert_close(again(volumes()), model(volumes()), rtol=1e-6, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("phase", PHASES)
def test_a_grid_whose_vector_needs_no_linear_layer(phase: str, tmp_path: Path) -> None:
    """As 75 x 93 x 81: identity on the way in, a linear layer on the way out."""
    model = ours(phase, embedding=4)
    state = theirs(model)
    assert not any(name.startswith("into_bert.into_bert") for name in state)
    assert any(name.startswith("from_bert.out_of_bert") for name in state) == (phase != "tff_label")
    imported = read_tff(published(tmp_path / "tff.pth", state), OPTIONS)
    again = imported.build(where="test").eval()
    torch.testing.assert_close(again(volumes()), model(volumes()), rtol=1e-6, atol=1e-6)


def test_a_head_of_several_classes_tells_how_many(tmp_path: Path) -> None:
    state = theirs(ours("tff_label"))
    state |= {
        "regression_head.0.weight": torch.zeros(3, 8),
        "regression_head.0.bias": torch.ones(3),
    }
    save_file(state, tmp_path / "tff.safetensors")
    imported = read_tff(tmp_path / "tff.safetensors", OPTIONS)
    assert imported.spec.classes == {"label": 3}
    assert imported.build(where="test").eval()(volumes()).shape == (2, 3)


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not any(p in name for p in parts)}


BROKEN = {
    "unknown": (lambda s: {**s, "transformer.extra": torch.zeros(1)}, "not known: transformer.ex"),
    "no encoder": (lambda s: without(s, "encoder.down", "encoder.final"), "no TFF checkpoint"),
    "no squeeze": (lambda s: without(s, "reduce_dimension"), "becomes encoder.squeeze.conv.bias"),
    "no key": (lambda s: without(s, "self.key.bias"), "lacks its companions"),
    "no layers": (lambda s: without(s, "bert.encoder"), "becomes transformer.transformer.blocks.0"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_told_apart(tmp_path: Path, fault: str) -> None:
    broken, words = BROKEN[fault]
    save_file(broken(theirs(ours("tff"))), tmp_path / "tff.safetensors")
    with pytest.raises(CheckpointError, match=words):
        read_tff(tmp_path / "tff.safetensors", OPTIONS)


def test_what_no_file_tells_is_asked_for(tmp_path: Path) -> None:
    file = published(tmp_path / "tff.pth", theirs(ours("tff")))
    with pytest.raises(CheckpointError, match=r"come to 4 numbers .* to 2640\. Give grid="):
        read_tff(file, {"heads": 2})
    with pytest.raises(ConfigError, match="import tff: unknown key 'grids'"):
        read_tff(file, {"grids": [1, 1, 1]})
    with pytest.raises(ConfigError, match="a width of 8 cannot be shared by 3 heads"):
        read_tff(file, OPTIONS | {"heads": 3}).build(where="test")
    assert ORIGINS["tff"].read is read_tff
