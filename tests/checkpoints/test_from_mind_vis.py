from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.from_mind_vis import read_mind_vis
from brainreel.errors import CheckpointError, ConfigError
from brainreel.models.sc_mbm import SCMBM, SCMBMConfig
from brainreel.shapes import DataSpec

SIZES = {
    "patch": 4,
    "width": 12,
    "depth": 2,
    "heads": 2,
    "mlp_ratio": 1.0,
    "decoder_width": 8,
    "decoder_depth": 1,
    "decoder_heads": 4,
}
TOLD = {"num_heads": 2, "decoder_num_heads": 4, "mask_ratio": 0.5, "focus_range": None}
HEADS = {"heads": 2, "decoder_heads": 4}
LAYER = {
    "attention_norm": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "feedforward_norm": "norm2",
    "feedforward.expand": "mlp.fc1",
    "feedforward.contract": "mlp.fc2",
}
PLACES = {"encoder": "", "decoder": "decoder_", "picture_decoder": "nature_img_decoder_"}


def ours(**options: Any) -> SCMBM:
    torch.manual_seed(0)
    model = SCMBMConfig.parse(SIZES | options).build(DataSpec(("all",), (32,)))
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def theirs(model: SCMBM) -> dict[str, Tensor]:
    """The state as the published implementation names it, one tensor after the other."""
    found: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        place, _, rest = name.partition(".")
        start = PLACES.get(place, "")
        part, _, end = rest.rpartition(".")
        if name == "class_token":
            found["cls_token"] = value
        elif rest == "mask_token":
            found[start.replace("decoder_", "") + "mask_token"] = value
        elif rest == "positions.table":
            none = torch.zeros(1, value.shape[1])
            found[f"{start}pos_embed"] = torch.cat([none, value])[None]
        elif match := re.fullmatch(r"transformer\.blocks\.(\d+)\.(.*)", part):
            found[f"{start}blocks.{match[1]}.{LAYER[match[2]]}.{end}"] = value
        elif part == "embed":
            found[f"patch_embed.proj.{end}"] = value[:, None] if end == "weight" else value
        elif part == "mix":
            found[f"{start}pred.0.{end}"] = value[..., None] if end == "weight" else value
        else:
            picture = place == "picture_decoder"
            known = {"enter": "embed", "norm": "norm", "leave": "pred.1" if picture else "pred"}
            found[f"{start}{known[part]}.{end}"] = value
    return {name: value.clone().contiguous() for name, value in found.items()}


def published(path: Path, state: dict[str, Tensor], told: dict[str, Any]) -> Path:
    """A checkpoint as their training leaves it, its options an object of a class of theirs."""
    module = ModuleType("config")
    kind = type("Config_MBM_fMRI", (), {"__module__": "config"})
    module.Config_MBM_fMRI = kind
    options = kind()
    vars(options).update({"lr": 2.5e-4, "roi": "VC", "root_path": ".", **told})
    content = {
        "model": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []},
        "epoch": 499,
        "scaler": {"scale": 65536.0},
        "config": options,
    }
    sys.modules["config"] = module
    try:
        torch.save(content, path)
    finally:
        del sys.modules["config"]
    return path


def same(model: SCMBM, again: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    voxels, noise = torch.randn(3, 32, generator=generator), model.noise(3, generator)
    found, expected = again.eval()(voxels, noise), model(voxels, noise)
    torch.testing.assert_close(found.predicted, expected.predicted, rtol=1e-6, atol=1e-6)
    if expected.pictures is not None:
        torch.testing.assert_close(found.pictures, expected.pictures, rtol=1e-6, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("features", [None, (5, 3, 2)])
def test_a_checkpoint_is_read_with_its_options(tmp_path: Path, features: Any) -> None:
    model = ours(picture_features=features, mask_ratio=0.5)
    file = published(tmp_path / "fmri_encoder.pth", theirs(model), TOLD)
    imported = read_mind_vis(file, {"picture_size": (3, 2)})
    assert imported.dropped == {}
    assert imported.config == SCMBMConfig.parse(
        SIZES | {"mask_ratio": 0.5, "picture_features": features}
    )
    assert imported.spec == DataSpec(("all",), (32,))
    assert "config" not in sys.modules
    assert imported.notes[-1] == "It was trained on voxels of VC."
    same(model, imported.build(where="test"))


@torch.no_grad()
def test_the_focus_and_what_the_user_says_count(tmp_path: Path) -> None:
    model = ours()
    told = TOLD | {"focus_range": [8, 16], "focus_rate": 0.7, "num_heads": 3}
    state = {f"module.{name}": value for name, value in theirs(model).items()}
    imported = read_mind_vis(published(tmp_path / "a.pth", state, told), {"heads": 2})
    assert imported.config.focus == (8, 16)
    assert (imported.config.focus_rate, imported.config.heads) == (0.7, 2)
    imported.build(where="test")


@torch.no_grad()
def test_a_place_of_the_class_token_becomes_a_part_of_it(tmp_path: Path) -> None:
    state = theirs(ours())
    state["pos_embed"][0, 0], state["cls_token"] = 1.0, state["cls_token"] - 1
    save_file(state, tmp_path / "a.safetensors")
    same(ours(), read_mind_vis(tmp_path / "a.safetensors", HEADS).build(where="test"))


def test_without_options_in_the_file_the_published_heads_are_taken(tmp_path: Path) -> None:
    save_file(theirs(ours()), tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match="a width of 12 cannot be shared by 16 heads"):
        read_mind_vis(tmp_path / "a.safetensors").build(where="test")
    with pytest.raises(ConfigError, match="import mind-vis: unknown key 'headz'"):
        read_mind_vis(tmp_path / "a.safetensors", {"headz": 2})


@torch.no_grad()
def test_it_is_an_origin_of_import(tmp_path: Path) -> None:
    model = ours(picture_features=(5, 3, 2), mask_ratio=0.5)
    file = published(tmp_path / "fmri_encoder.pth", theirs(model), TOLD)
    imported = ORIGINS["mind-vis"].read(file, {"feature_size": (3, 2)})
    assert imported.config == read_mind_vis(file, {"picture_size": (3, 2)}).config
    same(model, imported.build(where="test"))
    with pytest.raises(ConfigError, match="import mind-vis: unknown key 'headz'"):
        ORIGINS["mind-vis"].read(file, {"headz": 2})


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not any(p in name for p in parts)}


BROKEN: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "unknown": (lambda s: {**s, "extra": torch.zeros(1)}, r"1 of \d+ tensors are not known: extra"),
    "no patches": (lambda s: without(s, "patch_embed"), "is no masked autoencoder of MinD-Vis"),
    "flat places": (lambda s: {**s, "pos_embed": s["pos_embed"][0]}, "no tensor 'pos_embed' of"),
    "no class token": (lambda s: without(s, "cls_token"), "lacks its companions"),
    "no layers": (lambda s: without(s, "blocks"), r"becomes encoder\.transformer\.blocks\.0"),
    "a place": (lambda s: {**s, "decoder_pos_embed": s["decoder_pos_embed"] + 1}, "for its own"),
    "half a layer": (lambda s: without(s, "blocks.1.mlp.fc1"), r"blocks\.1\.feedforward"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_told_apart(tmp_path: Path, fault: str) -> None:
    broken, words = BROKEN[fault]
    save_file(broken(theirs(ours())), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=words):
        read_mind_vis(tmp_path / "a.safetensors", HEADS).build(where="a.safetensors")


class Malicious:
    """Unpickling it makes a file: the sign that code ran."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sign,))


def test_options_that_would_run_code_are_refused(tmp_path: Path) -> None:
    sign = tmp_path / "code-ran"
    file = published(tmp_path / "a.pth", theirs(ours()), {"roi": Malicious(sign)})
    with pytest.raises(CheckpointError, match="such a file can run code"):
        read_mind_vis(file)
    assert not sign.exists()
