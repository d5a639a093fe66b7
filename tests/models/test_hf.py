"""Hugging Face backbones from local folders: against the library itself, and the contracts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from brainreel.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from brainreel.layers.clip import Clip
from brainreel.models.encoding import EncodingConfig
from brainreel.models.hf import HFConfig
from brainreel.shapes import DataSpec

from ..contracts import test_models as contracts
from ..contracts.cases import Case, noise

SMALL = {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8,
}  # fmt: skip
SPEC = DataSpec(
    subjects=("sub-01",),
    n_voxels=(4,),
    tr_s=2.0,
    frame_shape=(3, 16, 16),
    frames_per_tr=2,
    clip_frames=4,
    sound_shape=(1, 24, 16),
)


@pytest.fixture(scope="module")
def hub() -> Any:
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def save(hub: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Save a tiny random network of a kind, once, and return its folder."""
    made: dict[str, str] = {}
    options: dict[str, dict[str, Any]] = {
        "ViT": {"image_size": 16, "patch_size": 8, **SMALL},
        "VideoMAE": {
            "image_size": 16, "patch_size": 8, "num_frames": 4, "tubelet_size": 2, **SMALL,
        },
        "AST": {
            "max_length": 32, "num_mel_bins": 16, "patch_size": 8,
            "frequency_stride": 8, "time_stride": 8, **SMALL,
        },
        "ConvNext": {"hidden_sizes": [4, 8, 8, 8], "depths": [1, 1, 1, 1]},
        "CLIP": {
            "text_config": {**SMALL, "vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2},
            "vision_config": {"image_size": 16, "patch_size": 8, **SMALL},
        },
        "Wav2Vec2": {
            "conv_dim": [8] * 7, "num_conv_pos_embeddings": 4,
            "num_conv_pos_embedding_groups": 2, **SMALL,
        },
    }  # fmt: skip

    def saved(kind: str) -> str:
        if kind not in made:
            torch.manual_seed(0)
            folder = tmp_path_factory.mktemp(kind)
            config = getattr(hub, f"{kind}Config")(**options[kind])
            hub.AutoModel.from_config(config).save_pretrained(folder)
            made[kind] = str(folder)
        return made[kind]

    return saved


def clip() -> Clip:
    return Clip(frames=noise(3, 4, 3, 16, 16), sound=noise(3, 1, 24, 16) * 5 - 8)


def build(path: str, **options: Any) -> Any:
    return HFConfig(path=path, **options).build(SPEC).eval()


@torch.no_grad()
def test_pictures_equal_the_library(hub: Any, save: Callable[..., str]) -> None:
    path = save("ViT")
    reference = hub.AutoModel.from_pretrained(path).eval()
    pixels = (clip().frames[:, 0] - 0.5) / 0.5
    out = reference(pixel_values=pixels, output_hidden_states=True)
    for options, expected in (
        ({}, out.last_hidden_state.mean(dim=1)),
        ({"pooling": "class"}, out.last_hidden_state[:, 0]),
        ({"pooling": "pooler"}, out.pooler_output),
        ({"layer": 1}, out.hidden_states[1].mean(dim=1)),
    ):
        network = build(path, **options)
        torch.testing.assert_close(network.embed(clip().frames[:, 0]), expected)
        assert network.width == 8


@torch.no_grad()
def test_video_and_sound_equal_the_library(hub: Any, save: Callable[..., str]) -> None:
    video = hub.AutoModel.from_pretrained(save("VideoMAE")).eval()
    expected = video(pixel_values=(clip().frames - 0.5) / 0.5).last_hidden_state.mean(dim=1)
    found = build(save("VideoMAE"), takes="video").features(clip())
    torch.testing.assert_close(found, expected)
    listener = hub.AutoModel.from_pretrained(save("AST")).eval()
    padded = torch.zeros(3, 32, 16)
    padded[:, :24] = clip().sound[:, 0]
    out = listener(input_values=(padded + 4.27) / 9.14)
    found = build(save("AST"), takes="sound", pooling="pooler").features(clip())
    torch.testing.assert_close(found, out.pooler_output)


@torch.no_grad()
def test_convolutional_networks_and_those_with_text_can_see(
    hub: Any, save: Callable[..., str]
) -> None:
    large = noise(3, 3, 32, 32)
    conv = hub.AutoModel.from_pretrained(save("ConvNext")).eval()
    expected = conv(pixel_values=(large - 0.5) / 0.5).last_hidden_state.mean(dim=(2, 3))
    seeing = HFConfig(path=save("ConvNext")).build(replace(SPEC, frame_shape=(3, 32, 32))).eval()
    torch.testing.assert_close(seeing.embed(large), expected)
    pixels = (clip().frames[:, 0] - 0.5) / 0.5
    both = hub.AutoModel.from_pretrained(save("CLIP")).eval()
    expected = both.vision_model(pixel_values=pixels).pooler_output
    found = build(save("CLIP"), pooling="pooler").embed(clip().frames[:, 0])
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_pixels_are_on_the_scale_that_lies_beside_the_weights(
    save: Callable[..., str], tmp_path: Path
) -> None:
    for file in Path(save("ViT")).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    told = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.3, 0.2, 0.1]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    own = build(str(tmp_path)).embed(clip().frames[:, 0])
    given = build(save("ViT"), pixel_mean=(0.1, 0.2, 0.3), pixel_std=(0.3, 0.2, 0.1))
    torch.testing.assert_close(own, given.embed(clip().frames[:, 0]))
    plain = build(str(tmp_path), pixel_mean=0.5, pixel_std=0.5)
    torch.testing.assert_close(
        plain.embed(clip().frames[:, 0]), build(save("ViT")).embed(clip().frames[:, 0])
    )


CHECKS = (
    contracts.test_gradient_reaches_every_parameter,
    contracts.test_a_row_of_a_batch_equals_that_row_alone,
    contracts.test_it_builds_tiny_and_gives_the_documented_shape,
    contracts.test_a_wrong_shape_names_the_axis,
    contracts.test_every_option_says_what_it_means,
)


@pytest.mark.parametrize(
    ("kind", "takes", "axis"),
    [
        ("ViT", "pictures", "frames has 32 along axis W"),
        ("VideoMAE", "video", "frames has 32 along axis W"),
        ("AST", "sound", "sound has 32 along axis M"),
    ],
)
def test_it_keeps_the_contracts(
    save: Callable[..., str], tmp_path: Path, kind: str, takes: Any, axis: str
) -> None:
    pooling: Any = "mean" if kind == "VideoMAE" else "pooler"
    case = Case(
        config=HFConfig(path=save(kind), takes=takes, pooling=pooling),
        spec=SPEC,
        inputs=lambda: {"clip": clip()},
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, 8),
        wrong=lambda given: {
            "clip": Clip(
                frames=torch.cat([given["clip"].frames] * 2, dim=4),
                sound=torch.cat([given["clip"].sound] * 2, dim=3),
            )
        },
        axis=axis,
    )
    for check in CHECKS:
        check(case)
    contracts.test_saved_and_loaded_it_is_the_same_bit_for_bit(case, tmp_path)
    contracts.test_its_config_survives_yaml_and_refuses_unknown_keys(case, tmp_path)


@torch.no_grad()
def test_it_is_a_backbone_of_an_encoding_model(save: Callable[..., str]) -> None:
    config = EncodingConfig.parse(
        {
            "backbone": {"name": "hf", "path": save("ViT")},
            "listener": {"name": "bands"},
            "frozen": True,
            "hrf_window_s": 4,
        }
    )
    assert config.trs_per_clip() == 1
    model = config.build(SPEC)
    predicted = model(
        frames=noise(1, 5, 2, 3, 16, 16),
        film=torch.tensor([0]),
        subject=torch.tensor([0]),
        sound=noise(1, 5, 1, 24, 16),
    )
    assert predicted.shape == (1, 3, 4)
    assert (
        EncodingConfig.parse(
            {"backbone": {"name": "hf", "path": "x", "takes": "video"}}
        ).trs_per_clip()
        == 2
    )


def test_what_cannot_be_used_is_said(save: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no Hugging Face network could be loaded"):
        build(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="Wav2Vec2Model takes 'input_values', which is not a log"):
        build(save("Wav2Vec2"), takes="sound")
    with pytest.raises(ConfigError, match="ASTModel takes 'input_values'"):
        build(save("AST"))
    large = DataSpec(frame_shape=(3, 32, 32), clip_frames=6, sound_shape=(1, 40, 16))
    with pytest.raises(DataError, match=r"refuses an input of 3 x 32 x 32 \(.*size"):
        HFConfig(path=save("ViT")).build(large)
    with pytest.raises(DataError, match="refuses an input of 6 x 3 x 32 x 32"):
        HFConfig(path=save("VideoMAE"), takes="video").build(large)
    with pytest.raises(DataError, match="spectrograms of at most 32 steps and 16 mel bands"):
        HFConfig(path=save("AST"), takes="sound").build(large)
    with pytest.raises(ConfigError, match="pooling=pooler: the network has none"):
        build(save("VideoMAE"), takes="video", pooling="pooler")


def test_weights_that_could_run_code_or_are_missing_are_refused(
    hub: Any, save: Callable[..., str], tmp_path: Path
) -> None:
    source = Path(save("ViT"))
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    state = hub.AutoModel.from_pretrained(str(source)).state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no Hugging Face network could be loaded"):
        build(str(tmp_path))
    from_safetensors = pytest.importorskip("safetensors.torch")
    some = {k: v.clone() for k, v in state.items() if "layernorm_before" not in k}
    from_safetensors.save_file(some, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"its weights lack 4 tensors of the network \("):
        build(str(tmp_path))


def test_an_unreachable_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch, hub: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"^nobody/nothing: no Hugging Face network could"):
        build("nobody/nothing")


def test_the_extra_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(MissingExtraError, match=r"pip install 'brainreel\[hf\]'"):
        HFConfig(path="any/network").build(SPEC)
