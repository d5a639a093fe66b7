from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from brainreel.checkpoints.from_vit import read_vit
from brainreel.checkpoints.store import save_weights
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.clip import Clip

from ..parity.conftest import close
from .published import (
    CLASSES,
    WIDTH,
    State,
    as_timm,
    drawn,
    exact,
    hugging_face,
    linear,
    norm,
    tanh,
    timm,
    tokens_of,
)

VIT = {
    "model_type": "vit", "num_attention_heads": 3, "image_size": [16, 24], "patch_size": 8,
    "layer_norm_eps": 1e-12, "hidden_act": "gelu",
}  # fmt: skip
AST = {
    "model_type": "audio-spectrogram-transformer", "num_attention_heads": 3, "max_length": 40,
    "num_mel_bins": 24, "time_stride": 5, "frequency_stride": 4, "layer_norm_eps": 1e-12,
}  # fmt: skip


def folder(path: Path, state: State, told: dict[str, Any], shown: Any = None) -> Path:
    path.mkdir()
    save_weights(path / "model.safetensors", state)
    (path / "config.json").write_text(json.dumps(told))
    if shown is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(shown))
    return path


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("act", "gelu"), [("gelu", exact), ("gelu_new", tanh)])
def test_a_hugging_face_vit_gives_the_loops_logits(tmp_path: Path, act: str, gelu: Any) -> None:
    body = hugging_face("", (3, 8, 8), 6, distilled=False)
    head = drawn(linear("classifier", CLASSES, WIDTH), seed=1)
    state = {f"vit.{name}": value for name, value in body.items()} | head
    shown = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    imported = read_vit(folder(tmp_path / "hf", state, {**VIT, "hidden_act": act}, shown))
    assert imported.spec.frame_shape == (3, 16, 24)
    assert imported.spec.classes == {"label": CLASSES}
    assert (imported.dropped, imported.notes) == ({}, ())
    x = pictures(2, 3, 16, 24)
    logits = imported.build(where="hf").eval()(Clip(frames=x[:, None]))
    mean, std = (torch.tensor(shown[key]).reshape(3, 1, 1) for key in ("image_mean", "image_std"))
    for i in range(2):
        token = tokens_of(body, (x[i] - mean) / std, (8, 8), 1e-12, gelu)[0]
        close(logits[i], token @ head["classifier.weight"].T + head["classifier.bias"])


def test_the_pooler_is_dropped_by_name_or_kept_on_request(tmp_path: Path) -> None:
    body = hugging_face("", (3, 8, 8), 6, distilled=False)
    pooler = drawn(linear("pooler.dense", WIDTH, WIDTH), seed=1)
    path = folder(tmp_path / "hf", body | pooler, VIT)
    x = pictures(1, 3, 16, 24)
    token = tokens_of(body, (x[0] - 0.5) / 0.5, (8, 8), 1e-12, exact)[0]
    plain = read_vit(path)
    assert sorted(plain.dropped) == sorted(pooler)
    assert "pooler=true" in plain.dropped["pooler.dense.weight"]
    assert "scale of the pixels" in plain.notes[0]
    close(plain.build(where="hf").embed(x)[0], token)
    pooled = (token @ pooler["pooler.dense.weight"].T + pooler["pooler.dense.bias"]).tanh()
    close(read_vit(path, {"pooler": True}).build(where="hf").embed(x)[0], pooled)


@pytest.mark.parametrize("how", ["timm", "hugging_face"])
def test_deits_logits_are_the_mean_of_both_heads(tmp_path: Path, how: str) -> None:
    body = hugging_face("", (3, 8, 8), 4, distilled=True)
    heads = drawn(linear("head", CLASSES, WIDTH) + linear("head_dist", CLASSES, WIDTH), seed=1)
    if how == "timm":
        state, told = as_timm(body) | heads, {}
        eps, options = 1e-6, {"heads": 3}
    else:
        theirs = {"head": "cls_classifier", "head_dist": "distillation_classifier"}
        state = {f"deit.{name}": value for name, value in body.items()}
        state |= {f"{theirs[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in heads.items()}
        told = {**VIT, "model_type": "deit", "image_size": 16}
        eps, options = 1e-12, {}
    imported = read_vit(folder(tmp_path / "w", state, told), options)
    x = pictures(1, 3, 16, 16)
    tokens = tokens_of(body, (x[0] - 0.5) / 0.5, (8, 8), eps, exact)
    by_class = tokens[0] @ heads["head.weight"].T + heads["head.bias"]
    by_teacher = tokens[1] @ heads["head_dist.weight"].T + heads["head_dist.bias"]
    network = imported.build(where="w").eval()
    close(network(Clip(frames=x[:, None]))[0], (by_class + by_teacher) / 2)
    each = network.logits_of(Clip(frames=x[:, None]))
    close(each["class"][0], by_class)
    close(each["distillation"][0], by_teacher)
    close(network.embed(x)[0], tokens[:2].mean(0))


@pytest.mark.parametrize("how", ["authors", "hugging_face"])
def test_ast_hears_time_first_what_it_was_trained_on_mel_first(tmp_path: Path, how: str) -> None:
    body = hugging_face("", (1, 6, 8), 5 * 7, distilled=True)
    head = drawn([*norm("classifier.layernorm"), *linear("classifier.dense", CLASSES, WIDTH)], 1)
    if how == "authors":
        state = {f"module.v.{name}": value for name, value in as_timm(body).items()}
        state |= drawn(linear("module.v.head", 9, WIDTH), seed=2)
        state |= {
            f"module.mlp_head.{number}.{end}": head[f"classifier.{part}.{end}"]
            for number, part in enumerate(("layernorm", "dense"))
            for end in ("weight", "bias")
        }
        path = tmp_path / "ast.pth"
        torch.save(state, path)
        given = {"heads": 3, "size": [40, 24], "stride": [5, 4]}
        imported, eps = read_vit(path, given), 1e-6
        assert sorted(imported.dropped) == ["head.bias", "head.weight"]
    else:
        state = {f"audio_spectrogram_transformer.{name}": v for name, v in body.items()} | head
        shown = {"mean": -4.2677393, "std": 4.5689974}
        imported, eps = read_vit(folder(tmp_path / "hf", state, AST, shown)), 1e-12
    assert imported.spec.sound_shape == (1, 40, 24)
    assert imported.config.name == "ast"
    sound = 9 * torch.randn(2, 1, 40, 24, generator=torch.Generator().manual_seed(4)) - 4
    logits = imported.build(where="ast").eval()(Clip(sound=sound))
    for i in range(2):
        heard = ((sound[i] + 4.2677393) / (2 * 4.5689974)).transpose(1, 2)
        tokens = tokens_of(body, heard, (4, 5), eps, exact)
        normed = functional.layer_norm(
            tokens[:2].mean(0), (WIDTH,), head["classifier.layernorm.weight"],
            head["classifier.layernorm.bias"], eps,
        )  # fmt: skip
        expected = normed @ head["classifier.dense.weight"].T + head["classifier.dense.bias"]
        close(logits[i], expected)


def test_a_timm_vit_tells_its_sizes_by_its_shapes(tmp_path: Path) -> None:
    state = timm("", (1, 4, 4), 9, distilled=False) | drawn(linear("pre_logits.fc", 7, WIDTH))
    path = save_weights(tmp_path / "vit.safetensors", state)
    with pytest.raises(ConfigError, match="width of 12 cannot be shared by 5 heads"):
        read_vit(path, {"heads": 5, "size": [12, 12]}).build(where="vit")
    imported = read_vit(path, {"heads": 3, "mean": 0.1, "std": 0.7})
    config = imported.config
    assert (config.width, config.depth, config.patch, config.pre_logits) == (WIDTH, 2, (4, 4), 7)
    assert (config.pixel_mean, config.pixel_std, config.norm_eps) == (0.1, 0.7, 1e-6)
    assert imported.spec.frame_shape == (1, 12, 12)
    assert imported.build(where="vit").width == 7


def test_what_is_no_vit_is_said_with_the_names(tmp_path: Path) -> None:
    state = timm("", (3, 8, 8), 4, distilled=False)
    path = tmp_path / "w.safetensors"

    def refused(state: State, **options: Any) -> str:
        save_weights(path, state)
        with pytest.raises(CheckpointError) as caught:
            read_vit(path, {"heads": 3, **options}).build(where=str(path))
        return str(caught.value)

    lacking = {name: value for name, value in state.items() if name != "blocks.1.mlp.fc1.bias"}
    assert "1 missing: transformer.blocks.1.feedforward.expand.bias" in refused(lacking)
    assert f"1 of {len(state) + 1} tensors are not known: blocks.0.ls1.gamma" in refused(
        {**state, "blocks.0.ls1.gamma": torch.ones(WIDTH)}
    )
    wrong = {**state, "blocks.0.mlp.fc2.weight": torch.zeros(WIDTH, 3)}
    assert "transformer.blocks.0.feedforward.contract.weight (12, 3) for (12, 20)" in refused(wrong)
    no_kernel = {name: v for name, v in state.items() if name != "patch_embed.proj.weight"}
    assert "is not whole; nothing in it becomes patches.project.weight" in refused(no_kernel)
    assert "positions for 4 patches, not for a grid of 2 x 3" in refused(state, size=[16, 24])
    assert "positions of shape (1, 5, 4) do not fit" in refused(
        {**state, "pos_embed": torch.zeros(1, 5, 4)}
    )
    assert "holds no ViT, DeiT or AST" in refused({"conv1.weight": torch.zeros(3)})


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"hidden_act": "relu"}, "activation 'relu' is no GELU"),
        ({"image_size": "big"}, "a size or scale in it is not what it should be"),
        ([], "should be a mapping"),
        ("{", "not valid JSON"),
    ],
)
def test_a_config_that_is_none_is_refused(tmp_path: Path, told: Any, message: str) -> None:
    state = timm("", (3, 8, 8), 4, distilled=False)
    path = folder(tmp_path / "w", state, told)
    if isinstance(told, str):
        (path / "config.json").write_text(told)
    with pytest.raises(CheckpointError, match=message):
        read_vit(path)
    with pytest.raises(ConfigError, match="unknown key 'head'. Did you mean 'heads'"):
        read_vit(path, {"head": 3})


def test_deit_without_its_teacher_gives_features_alone(tmp_path: Path) -> None:
    body = hugging_face("", (3, 8, 8), 4, distilled=True)
    state = {f"deit.{name}": value for name, value in body.items()}
    state |= drawn(linear("classifier", CLASSES, WIDTH), seed=1)
    imported = read_vit(folder(tmp_path / "w", state, {**VIT, "image_size": 16}))
    assert imported.spec.classes == {}
    assert sorted(imported.dropped) == ["classifier.bias", "classifier.weight"]
