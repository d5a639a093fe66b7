"""Files of MinD-Vis's stage B and of latent diffusion, written as their trainings write them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.from_dc_ldm import read_dc_ldm
from brainreel.checkpoints.from_mind_vis_ldm import read_latent_diffusion
from brainreel.errors import CheckpointError
from brainreel.models.brain_diffusion import BrainDiffusion, BrainDiffusionConfig
from brainreel.models.first_stage import VQOptions
from brainreel.shapes import DataSpec

from ..contracts.cases_diffusion import TINY, UNET, VQ

SMALL = {"heads": 2, "norm_groups": 2}
OPTIONS = {**SMALL, "encoder_heads": 2, "picture_size": (8, 8)}
BLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
LAYER = {
    "attention_norm": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "feedforward_norm": "norm2",
    "feedforward.expand": "mlp.fc1",
    "feedforward.contract": "mlp.fc2",
}
N_LEVELS, N_BLOCKS = 2, 1


def ours(**changes: Any) -> BrainDiffusion:
    torch.manual_seed(0)
    content = {**TINY, "first_stage": {**VQ, "attention": (2,), "scale": 1}, **changes}
    spec = DataSpec(("all",), (12,), picture_shape=(3, 8, 8))
    model = BrainDiffusionConfig.parse(content).build(spec)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def unet_name(name: str) -> str:
    fixed = {
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
    }
    stem, _, end = name.rpartition(".")
    if stem in fixed:
        return f"{fixed[stem]}.{end}"
    kind, level, part, place, rest = re.fullmatch(
        r"(down|up|mid)_block(?:s\.(\d+))?\.(\w+)\.(\d+)\.(.*)", name
    ).groups()  # type: ignore[union-attr]
    stem, _, end = rest.rpartition(".")
    tail = f"{BLOCK[stem]}.{end}" if part == "resnets" else rest
    if kind == "mid":
        return f"middle_block.{1 if part == 'attentions' else 2 * int(place)}.{tail}"
    if part == "downsamplers":
        return f"input_blocks.{(int(level) + 1) * (N_BLOCKS + 1)}.0.op.{end}"
    if part == "upsamplers":
        number = int(level) * (N_BLOCKS + 1) + N_BLOCKS
        return f"output_blocks.{number}.{2 if int(level) == 0 else 1}.conv.{end}"
    slot = int(part == "attentions")
    if kind == "down":
        return f"input_blocks.{1 + int(level) * (N_BLOCKS + 1) + int(place)}.{slot}.{tail}"
    return f"output_blocks.{int(level) * (N_BLOCKS + 1) + int(place)}.{slot}.{tail}"


def stage_name(name: str, value: Tensor) -> tuple[str, Tensor]:
    changed = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    changed = re.sub(r"down_blocks\.(\d+)", r"down.\1", changed)
    changed = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{N_LEVELS - 1 - int(m[1])}", changed)
    middle = "mid_block." in changed
    if middle:
        changed = re.sub(
            r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", changed
        )
        changed = changed.replace("mid_block.attentions.0", "mid.attn_1")
    if "attn_1" in changed or ".attentions." in changed:
        value = value[:, :, None, None] if value.dim() == 2 else value
        changed = re.sub(r"\.to_([qkv])\.", r".\1.", changed)
        changed = changed.replace("to_out.0", "proj_out").replace("group_norm", "norm")
    changed = changed.replace(".resnets.", ".block.").replace(".attentions.", ".attn.")
    return re.sub(r"(down|up)samplers\.0", r"\1sample", changed), value


def encoder_name(name: str, value: Tensor) -> tuple[str, Tensor]:
    if name == "embed.weight":
        return "patch_embed.proj.weight", value[:, None]
    if name == "positions.table":
        return "pos_embed", torch.cat([torch.zeros(1, value.shape[1]), value])[None]
    changed = name.replace("embed.bias", "patch_embed.proj.bias").replace("transformer.", "")
    for own, their in LAYER.items():
        changed = changed.replace(own, their)
    return changed, value


def theirs(model: BrainDiffusion) -> dict[str, Tensor]:
    """The state as the published implementation names it, one tensor after the other."""
    found: dict[str, Tensor] = {"betas": torch.zeros(3), "scale_factor": torch.ones(())}
    for name, value in model.state_dict().items():
        part, _, rest = name.partition(".")
        stem, _, end = rest.rpartition(".")
        number = 2 if stem == "over_width" else stem[-1]
        if part == "unet":
            own = unet_name(rest.removeprefix("network."))
            found[f"model.diffusion_model.{own}"] = value
        elif part == "first_stage":
            own, kernel = stage_name(rest.removeprefix("network."), value)
            found[f"first_stage_model.{own}"] = kernel
        elif part == "encoder":
            own, kernel = encoder_name(rest, value)
            found[f"cond_stage_model.mae.{own}"] = kernel
        elif part == "conditioner":
            over = "dim_mapper" if number == 2 else f"channel_mapper.{number}"
            found[f"cond_stage_model.{over}.{end}"] = value
        else:
            found[f"model.diffusion_model.time_embed_condtion.{number}.{end}"] = value
    found["cond_stage_model.mae.cls_token"] = torch.zeros(1, 1, 8)
    found["cond_stage_model.mae.mask_token"] = torch.zeros(1, 1, 8)
    return found


@pytest.fixture
def finetuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with an object of the training script's own class beside the weights."""
    module = ModuleType("config")
    module.Config_Generative_Model = type(  # type: ignore[attr-defined]
        "Config_Generative_Model", (), {"__module__": "config"}
    )
    monkeypatch.setitem(sys.modules, "config", module)
    told = module.Config_Generative_Model()
    told.dataset, told.num_epoch = "GOD", 500
    content = {
        "model_state_dict": theirs(ours()),
        "config": told,
        "state": torch.random.get_rng_state(),
    }
    torch.save(content, tmp_path / "finetuned.pth")
    monkeypatch.delitem(sys.modules, "config")
    return tmp_path / "finetuned.pth"


def test_a_finetuned_file_becomes_the_model(finetuned: Path) -> None:
    imported = read_dc_ldm(finetuned, OPTIONS)
    again, model = imported.build(where="file"), ours()
    assert isinstance(again, BrainDiffusion)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    brain, latents = torch.randn(2, 12), torch.randn(2, 3, 4, 4)
    times = torch.tensor([3, 800])
    torch.testing.assert_close(again(brain, latents, times), model(brain, latents, times))
    dropped = {name.rpartition(".")[2] for name in imported.dropped}
    assert dropped == {"betas", "scale_factor", "cls_token", "mask_token"}
    assert "It was trained on GOD." in imported.notes
    assert imported.config.encoder.heads == 2  # type: ignore[attr-defined]


def test_it_is_an_origin_of_import(finetuned: Path) -> None:
    options = {"unet_heads": 2, "norm_groups": 2, "heads": 2, "picture_size": (8, 8)}
    found, again = ORIGINS["mind-vis"].read(finetuned, options), read_dc_ldm(finetuned, OPTIONS)
    assert (found.config, found.spec, found.notes) == (again.config, again.spec, again.notes)
    assert found.state.keys() == again.state.keys()
    assert all(torch.equal(found.state[name], again.state[name]) for name in again.state)


def test_latent_diffusion_without_a_brain_is_a_start(tmp_path: Path) -> None:
    state = {n: v for n, v in theirs(ours()).items() if "cond" not in n}
    state["cond_stage_model.embedding.weight"] = torch.zeros(5, 6)
    averages = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): value + 1
        for name, value in state.items()
        if name.startswith("model.")
    }
    state |= averages | {"model_ema.decay": torch.ones(())}
    torch.save({"state_dict": state, "global_step": 7}, tmp_path / "model.ckpt")
    found = read_latent_diffusion(tmp_path / "model.ckpt", SMALL)
    unet, stage = found.options.unet, found.options.first_stage
    assert unet.model_dump(include=set(UNET)) == UNET
    assert isinstance(stage, VQOptions)
    assert (stage.multiples, stage.attention, stage.codes) == ((1, 2), (2,), 8)
    assert found.n_tokens is None
    assert not found.encoder
    assert not found.options.time_condition
    averaged = read_latent_diffusion(tmp_path / "model.ckpt", {**SMALL, "weights": "averaged"})
    for name, value in found.state.items():
        moved = 1 if name.startswith("unet.") else 0
        torch.testing.assert_close(averaged.state[name], value + moved)
    with pytest.raises(CheckpointError, match="has no encoder of brains"):
        read_dc_ldm(tmp_path / "model.ckpt", OPTIONS)


def test_a_first_stage_alone(tmp_path: Path) -> None:
    start = "first_stage_model."
    state = {n.removeprefix(start): v for n, v in theirs(ours()).items() if n.startswith(start)}
    torch.save({"state_dict": state | {"loss.logvar": torch.ones(1)}}, tmp_path / "model.ckpt")
    found = read_latent_diffusion(tmp_path / "model.ckpt", SMALL)
    assert all(name.startswith("first_stage.network.") for name in found.state)
    assert set(found.dropped) == {"first_stage_model.loss.logvar"}


def test_foreign_and_missing_tensors_are_named(tmp_path: Path) -> None:
    state = theirs(ours())
    torch.save(state | {"model.extra": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="1 of .* tensors are not known: model.extra"):
        read_dc_ldm(tmp_path / "a.pth", OPTIONS)
    gone = "model.diffusion_model.out.2.bias"
    torch.save({n: v for n, v in state.items() if n != gone}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match=r"unet\.network\.conv_out\.bias"):
        read_dc_ldm(tmp_path / "b.pth", OPTIONS).build(where="b.pth")
    torch.save({"weight": torch.ones(1)}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="has neither a U-Net nor a first stage"):
        read_dc_ldm(tmp_path / "c.pth", OPTIONS)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code of the file runs",))


def test_no_code_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model_state_dict": theirs(ours()), "config": _Runs()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="was not loaded because such a file can run code"):
        read_dc_ldm(tmp_path / "a.pth", OPTIONS)
    assert "runs" not in capsys.readouterr().out
