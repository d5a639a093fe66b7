from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from brainreel.checkpoints.from_tubevit import read_tubevit
from brainreel.checkpoints.store import save_weights
from brainreel.errors import CheckpointError, ConfigError
from brainreel.layers.clip import Clip
from brainreel.layers.tubes import Tube, tube_positions

from ..parity.conftest import close

WIDTH, HEADS, HIDDEN, DEPTH, CLASSES = 12, 3, 20, 2, 5
TUBES = (
    Tube(kernel=(2, 4, 4), stride=(2, 4, 4)),
    Tube(kernel=(4, 2, 2), stride=(2, 6, 6), offset=(0, 1, 1)),
    Tube(kernel=(1, 6, 6), stride=(6, 6, 6)),
)
SIZE = (6, 12, 12)
OPTIONS: dict[str, Any] = {
    "tubes": [tube.to_dict() for tube in TUBES],
    "frames": 6,
    "size": [12, 12],
    "heads": HEADS,
    "label": "action",
}


def port_state(size: tuple[int, int, int] = SIZE) -> dict[str, Tensor]:
    """Random weights under the port's names."""
    shapes: dict[str, tuple[int, ...]] = {
        "class_token": (1, 1, WIDTH),
        "sparse_tubes_tokenizer.conv_proj_weight": (WIDTH, 3, 2, 4, 4),
        "sparse_tubes_tokenizer.conv_proj_bias": (3, WIDTH),
        "attention_pooling.W.weight": (1, WIDTH),
        "attention_pooling.W.bias": (1,),
    }
    linears = {"heads.head": (CLASSES, WIDTH)}
    norms = ["encoder.ln"]
    for i in range(DEPTH):
        layer = f"encoder.layers.encoder_layer_{i}."
        shapes[layer + "self_attention.in_proj_weight"] = (3 * WIDTH, WIDTH)
        shapes[layer + "self_attention.in_proj_bias"] = (3 * WIDTH,)
        linears[layer + "self_attention.out_proj"] = (WIDTH, WIDTH)
        linears[layer + "mlp.0"] = (HIDDEN, WIDTH)
        linears[layer + "mlp.3"] = (WIDTH, HIDDEN)
        norms += [layer + "ln_1", layer + "ln_2"]
    shapes |= {f"{name}.weight": shape for name, shape in linears.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in linears.items()}
    shapes |= {f"{name}.{part}": (WIDTH,) for name in norms for part in ("weight", "bias")}
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.3 * torch.randn(s, generator=generator) for name, s in shapes.items()}
    codes = tube_positions(TUBES, size, WIDTH)
    return state | {"pos_embedding": torch.cat([torch.zeros(1, WIDTH), codes])}


def port_logits(state: dict[str, Tensor], video: Tensor) -> Tensor:
    """What the port computes, by convolutions and torch's multi-head attention."""
    x, tokens = video.transpose(1, 2), [state["class_token"].expand(len(video), -1, -1)]
    learned = state["sparse_tubes_tokenizer.conv_proj_weight"]
    for i, tube in enumerate(TUBES):
        kernel = functional.interpolate(learned, size=tube.kernel, mode="trilinear")
        t, h, w = tube.offset
        bias = state["sparse_tubes_tokenizer.conv_proj_bias"][i]
        made = functional.conv3d(x[:, :, t:, h:, w:], kernel, bias, tube.stride)
        tokens.append(made.flatten(2).transpose(1, 2))
    z = (torch.cat(tokens, dim=1) + state["pos_embedding"]).transpose(0, 1)
    for i in range(DEPTH):
        own = {
            name.removeprefix(f"encoder.layers.encoder_layer_{i}."): value
            for name, value in state.items()
        }
        y = norm(z, own, "ln_1")
        y, _ = functional.multi_head_attention_forward(
            y, y, y, WIDTH, HEADS, own["self_attention.in_proj_weight"],
            own["self_attention.in_proj_bias"], None, None, False, 0.0,
            own["self_attention.out_proj.weight"], own["self_attention.out_proj.bias"],
        )  # fmt: skip
        z = z + y
        y = functional.gelu(linear(norm(z, own, "ln_2"), own, "mlp.0"))
        z = z + linear(y, own, "mlp.3")
    z = norm(z, state, "encoder.ln").transpose(0, 1)
    share = linear(z, state, "attention_pooling.W").softmax(dim=1)
    return linear((share * z).sum(dim=1), state, "heads.head")


def norm(z: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return functional.layer_norm(z, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def linear(z: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return functional.linear(z, state[f"{name}.weight"], state[f"{name}.bias"])


def saved(folder: Path, state: dict[str, Tensor]) -> Path:
    return save_weights(folder / "port.safetensors", state)


def test_it_computes_what_the_port_computes(tmp_path: Path) -> None:
    state = port_state()
    imported = read_tubevit(saved(tmp_path, state), OPTIONS)
    assert imported.spec.classes == {"action": CLASSES}
    assert imported.notes == ()
    video = torch.rand(2, 6, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    scaled = (video - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    net = imported.build(where="port")
    close(net(Clip(frames=video)), port_logits(state, scaled))


def test_a_tensor_that_is_not_known_or_missing_is_named(tmp_path: Path) -> None:
    state = port_state()
    with pytest.raises(CheckpointError, match=r"not known: heads\.pre_logits\.weight"):
        read_tubevit(saved(tmp_path, {**state, "heads.pre_logits.weight": torch.ones(2)}), OPTIONS)
    del state["encoder.layers.encoder_layer_1.ln_2.bias"]
    imported = read_tubevit(saved(tmp_path, state), OPTIONS)
    with pytest.raises(CheckpointError, match=r"missing: transformer\.blocks\.1\.feedforward_norm"):
        imported.build(where="port")
    del state["sparse_tubes_tokenizer.conv_proj_bias"]
    with pytest.raises(CheckpointError, match="no tensor gives sparse_tubes_tokenizer"):
        read_tubevit(saved(tmp_path, state), OPTIONS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tubes": OPTIONS["tubes"][:2]}, "was trained with 3 tubes, not 2"),
        ({"frames": 8}, "holds 40 positions, the tubes give 57"),
        ({"frames": 3}, "a clip of 3 frames is too short"),
        ({"tau": 1000.0}, "holds other positions than the tubes give"),
        ({"heads": None}, "a width of 12 is none of 768, 1024, 1280"),
    ],
)
def test_options_that_do_not_fit_the_weights_are_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(CheckpointError, match=told):
        read_tubevit(saved(tmp_path, port_state()), {**OPTIONS, **change})


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'head'. Did you mean 'heads'"):
        read_tubevit(saved(tmp_path, port_state()), {"head": 3})


def test_scrambled_positions_of_oblong_frames_are_told(tmp_path: Path) -> None:
    state = port_state((6, 12, 18))
    oblong = {**OPTIONS, "size": [12, 18]}
    assert read_tubevit(saved(tmp_path, state), oblong).notes == ()
    state["pos_embedding"][1:] = state["pos_embedding"][1:].flip(0)
    (note,) = read_tubevit(saved(tmp_path, state), oblong).notes
    assert "The port scrambles the positions of grids that are not square" in note
