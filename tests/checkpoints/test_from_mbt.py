from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.from_mbt import read_mbt
from brainreel.checkpoints.imported import load_imported, save_imported
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.clip import Clip
from brainreel.models.mbt import MBT, MBTConfig
from brainreel.shapes import DataSpec

SPEC = DataSpec(frame_shape=(3, 8, 12), clip_frames=4, sound_shape=(3, 6, 8), classes={"label": 5})
OPTIONS = {"size": (8, 12), "bands": 8, "fusion_layer": 1}
SUFFIX = {"pictures": "", "sound": "_spectrogram", "shared": ""}


def build(**options: Any) -> MBT:
    small = {"width": 8, "depth": 2, "heads": 2, "patch": 4, "sound_patch": (3, 4)}
    scale = {"sound_mean": 1.102, "sound_std": 2.762}
    torch.manual_seed(0)
    return MBTConfig.parse({**small, **scale, **options}).build(SPEC).eval()


def scenic(net: MBT) -> dict[str, Tensor]:
    """The weights of a network under Scenic's names and in its layout."""
    state = net.state_dict()
    found: dict[str, Tensor] = {}
    for tower, stack in net.transformer.towers.items():
        for i in range(len(stack.blocks)):
            ours = f"transformer.towers.{tower}.blocks.{i}."
            theirs = f"Transformer/encoderblock_{i}{SUFFIX[tower]}/"
            attention = theirs + "MultiHeadDotProductAttention_0/"
            for n, norm in enumerate(("attention_norm", "feedforward_norm")):
                found[f"{theirs}LayerNorm_{n}/scale"] = state[f"{ours}{norm}.weight"]
                found[f"{theirs}LayerNorm_{n}/bias"] = state[f"{ours}{norm}.bias"]
            for n, part in enumerate(("query", "key", "value")):
                rows = slice(8 * n, 8 * n + 8)
                kernel = state[f"{ours}attention.qkv.weight"][rows]
                found[f"{attention}{part}/kernel"] = kernel.t().reshape(8, 2, 4)
                bias = state[f"{ours}attention.qkv.bias"][rows]
                found[f"{attention}{part}/bias"] = bias.reshape(2, 4)
            found[f"{attention}out/kernel"] = (
                state[f"{ours}attention.out.weight"].t().reshape(2, 4, 8)
            )
            found[f"{attention}out/bias"] = state[f"{ours}attention.out.bias"]
            for n, part in enumerate(("expand", "contract")):
                dense = f"{theirs}MlpBlock_0/Dense_{n}/"
                found[dense + "kernel"] = state[f"{ours}feedforward.{part}.weight"].t()
                found[dense + "bias"] = state[f"{ours}feedforward.{part}.bias"]
    for sense in net.senses:
        ours, suffix = f"tokens.{sense}.", SUFFIX[sense]
        kernel = state[ours + "patches.project.weight"]
        kernel = kernel.permute(*range(2, kernel.dim()), 1, 0)
        flat = sense == "pictures" and len(kernel) == 1
        found[f"embedding{suffix}/kernel"] = kernel[0] if flat else kernel
        found[f"embedding{suffix}/bias"] = state[ours + "patches.project.bias"]
        table = state[ours + "positions.table"].reshape(1, -1, 8)
        if ours + "class_token" in state:
            # Their class token and its position are our class token.
            name = "cls" + ("" if len(net.senses) == 1 else suffix.removeprefix("_"))
            found[name] = state[ours + "class_token"] - 1
            table = torch.cat([torch.ones(1, 1, 8), table], dim=1)
        found[f"Transformer/posembed_input{suffix}/pos_embedding"] = table
    if net.transformer.bottleneck is not None:
        found["bottleneck"] = state["transformer.bottleneck"]
    found["Transformer/encoder_norm/scale"] = state["norm.weight"]
    found["Transformer/encoder_norm/bias"] = state["norm.bias"]
    heads = {"head": "output_projection"}
    if "head.0.weight" in state:
        heads = {"head.0": "pre_logits", "head.2": "output_projection"}
    for ours, theirs in heads.items():
        found[f"{theirs}/kernel"] = state[f"{ours}.weight"].t()
        found[f"{theirs}/bias"] = state[f"{ours}.bias"]
    return {name: value.contiguous() for name, value in found.items()}


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    save_file({name: value.clone() for name, value in state.items()}, path)
    return path


def clip() -> Clip:
    draw = torch.Generator().manual_seed(0)
    return Clip(
        frames=torch.rand(2, 4, 3, 8, 12, generator=draw),
        sound=torch.rand(2, 3, 6, 8, generator=draw),
    )


VARIANTS: dict[str, dict[str, Any]] = {
    "bottleneck": {"bottlenecks": 3},
    "shared": {"shared": True, "fusion": "self_attention"},
    "cross": {"fusion": "cross_attention", "patch_frames": 2},
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "hidden": {"representation": 6, "mlp_ratio": 1.5},
    "pictures": {"inputs": ("pictures",), "fusion": "late", "fusion_layer": 2},
    "sound": {"inputs": ("sound",), "fusion": "late", "fusion_layer": 2},
}


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_sizes_are_deduced_and_every_tensor_arrives(name: str, tmp_path: Path) -> None:
    net = build(**VARIANTS[name])
    path = saved(tmp_path / "mbt.safetensors", scenic(net))
    pooling = {"max": {"pooling": "max"}}.get(name, {})
    made = read_mbt(path, {**OPTIONS, **pooling})
    again = made.build(where="test").eval()
    torch.testing.assert_close(again(clip()), net(clip()), rtol=1e-5, atol=1e-6)
    assert made.dropped == {}
    assert made.spec.classes == {"label": 5}
    assert made.config.fusion_layer == VARIANTS[name].get("fusion_layer", 1)
    if "sound" in made.config.inputs:
        assert made.spec.sound_shape == (3, 6, 8)
        assert made.config.sound_mean == 1.102
        assert "one_channel=true" in made.notes[0]
    if "pictures" in made.config.inputs:
        assert (*made.spec.frame_shape, made.spec.clip_frames) == (3, 8, 12, 4)


def tree(state: dict[str, Tensor]) -> dict[str, Any]:
    """Nested as Flax keeps it, arrays as its extension 1."""
    root: dict[str, Any] = {}
    for name, value in state.items():
        *above, last = name.split("/")
        place = root
        for key in above:
            place = place.setdefault(key, {})
        array = value.numpy()
        content = msgpack.packb((array.shape, array.dtype.name, array.tobytes()))
        place[last] = msgpack.ExtType(1, content)
    return root


@torch.no_grad()
@pytest.mark.parametrize("form", ["msgpack", "npz", "prefix"])
def test_any_form_of_file_with_the_training_beside_it(form: str, tmp_path: Path) -> None:
    net = build()
    state = scenic(net)
    momentum = {
        "state/param_states/bottleneck/momentum": torch.zeros(2),
        "state/step": torch.ones(()),
    }
    if form == "msgpack":
        path = tmp_path / "checkpoint_12000"
        training = {**{f"optimizer/target/{k}": v for k, v in state.items()},
                    **{f"optimizer/{k}": v for k, v in momentum.items()}}  # fmt: skip
        path.write_bytes(msgpack.packb({**tree(training), "global_step": 12000}))
    elif form == "npz":
        path = tmp_path / "mbt.npz"
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    else:
        path = saved(
            tmp_path / "mbt.safetensors",
            {**{f"params/{k}": v for k, v in state.items()}, "opt_state/0": torch.ones(1)},
        )
    made = read_mbt(path, OPTIONS)
    torch.testing.assert_close(
        made.build(where="test").eval()(clip()), net(clip()), rtol=1e-5, atol=1e-6
    )
    assert all("training" in why for why in made.dropped.values())
    assert bool(made.dropped) == (form != "npz")


def test_late_fusion_of_a_bottleneck_network_names_what_it_leaves_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "mbt.safetensors", scenic(build()))
    made = read_mbt(path, {**OPTIONS, "fusion": "late"})
    assert list(made.dropped) == ["bottleneck"]
    assert made.build(where="test").transformer.bottleneck is None


@torch.no_grad()
def test_one_channel_instead_of_three_copies(tmp_path: Path) -> None:
    path = saved(tmp_path / "mbt.safetensors", scenic(build()))
    three, one = (
        read_mbt(path, {**OPTIONS, "one_channel": x}).build(where="test").eval()
        for x in (False, True)
    )
    given = clip()
    assert given.sound is not None
    single = given.sound[:, :1]
    ours = one(Clip(frames=given.frames, sound=single))
    theirs = three(Clip(frames=given.frames, sound=single.repeat(1, 3, 1, 1)))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_sampled_frames_are_the_published_ones(tmp_path: Path) -> None:
    state = scenic(build())
    path = saved(tmp_path / "mbt.safetensors", state)
    made = read_mbt(path, {**OPTIONS, "frames": 32, "sampled_frames": 4})
    assert made.config.sampled_frames == (6, 13, 19, 26)
    assert made.spec.clip_frames == 32
    with pytest.raises(CheckpointError, match="positions for 4 patches along time, 7 frames give"):
        read_mbt(path, {**OPTIONS, "frames": 32, "sampled_frames": 7})
    with pytest.raises(CheckpointError, match="positions for 4 patches along time, 32 frames give"):
        read_mbt(path, {**OPTIONS, "frames": 32})


def test_a_run_folder_holds_all(tmp_path: Path) -> None:
    path = saved(tmp_path / "mbt.safetensors", scenic(build()))
    made = read_mbt(path, OPTIONS)
    again = load_imported(save_imported(tmp_path / "run", made, origin="mbt"))
    assert again.config == made.config
    assert again.spec == made.spec
    assert ORIGINS["mbt"].read is read_mbt


def changed(**tensors: Tensor | None) -> dict[str, Tensor]:
    state = scenic(build())
    for name, value in tensors.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


QUERY = "Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/kernel"
BAD: dict[str, tuple[dict[str, Tensor | None], dict[str, Any], str]] = {
    "foreign": (
        {"embedding/kernel": None, "embedding_spectrogram/kernel": None}, {}, "holds no MBT"
    ),
    "extra": ({"Transformer/gate": torch.ones(1)}, {}, "1 of .* not known: Transformer/gate"),
    "missing": ({QUERY.replace("_0/M", "_1/M"): None}, {}, "lacks its companions"),
    "no query": ({QUERY: None}, {}, "query/kernel is missing"),
    "flat query": ({QUERY: torch.ones(8, 8)}, {}, r"query/kernel is of shape \(8, 8\)"),
    "no norm": ({"Transformer/encoder_norm/scale": None}, {}, "missing: norm.weight"),
    "head": ({"output_projection/kernel": torch.ones(9, 5)}, {}, "of another shape: head.weight"),
    "positions": (
        {"Transformer/posembed_input/pos_embedding": None}, {}, "no positions for pictures"
    ),
    "size": ({}, {"size": (28, 28)}, "24 positions for pictures, .* Give size="),
    "bands": ({}, {"bands": 128}, "4 positions for sound, .* Give bands="),
    "layer": ({}, {"fusion_layer": 8}, "cannot meet in layer 8. Give fusion_layer="),
    "no bottleneck": ({"bottleneck": None}, {"fusion": "bottleneck"}, "holds no bottleneck tokens"),
    "self": ({}, {"fusion": "self_attention"}, "Give fusion=cross_attention"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_named(name: str, tmp_path: Path) -> None:
    tensors, options, message = BAD[name]
    path = saved(tmp_path / "mbt.safetensors", changed(**tensors))
    with pytest.raises(CheckpointError, match=message):
        read_mbt(path, {**OPTIONS, **options}).build(where=str(path))


def test_an_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fusion_leyer"):
        read_mbt(tmp_path / "mbt.safetensors", {"fusion_leyer": 3})
