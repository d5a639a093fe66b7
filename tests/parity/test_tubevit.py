"""TubeViT against the outputs of the PyTorch port for random weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from brainreel.checkpoints.from_tubevit import read_tubevit
from brainreel.checkpoints.imported import Imported
from brainreel.layers.clip import Clip
from brainreel.layers.tubes import Tube, tube_positions
from brainreel.models.tubevit import TubeViT

from .conftest import close


@pytest.fixture(scope="module")
def folder(golden: Callable[[str], Path]) -> Path:
    return golden("tubevit")


@pytest.fixture(scope="module")
def sizes(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


def options_of(sizes: dict[str, Any]) -> dict[str, Any]:
    parts = zip(sizes["kernel_sizes"], sizes["strides"], sizes["offsets"], strict=True)
    _, frames, height, width = sizes["video_shape_CTHW"]
    return {
        "tubes": [{"kernel": k, "stride": s, "offset": o} for k, s, o in parts],
        "frames": frames,
        "size": [height, width],
        "heads": sizes["cfg"]["num_heads"],
        "pixel_mean": 0.0,
        "pixel_std": 1.0,
    }


@pytest.fixture(scope="module")
def imported(folder: Path, sizes: dict[str, Any]) -> Imported:
    return read_tubevit(folder / "state.safetensors", options_of(sizes))


@pytest.fixture(scope="module")
def net(imported: Imported) -> TubeViT:
    built = imported.build(where="golden")
    assert isinstance(built, TubeViT)
    return built.eval()


@pytest.fixture(scope="module")
def theirs(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "io.safetensors")


@pytest.fixture(scope="module")
def video(folder: Path) -> Tensor:
    """Their (B, C, T, H, W) in house order."""
    return load_file(folder / "input.safetensors")["input.video"].float().transpose(1, 2)


def test_sizes_are_read_off_the_tensors(imported: Imported, sizes: dict[str, Any]) -> None:
    config, cfg = imported.config.to_dict(), sizes["cfg"]
    assert config["width"] == cfg["hidden_dim"]
    assert config["depth"] == cfg["num_layers"]
    assert round(config["width"] * config["mlp_ratio"]) == cfg["mlp_dim"]
    assert imported.spec.n_classes == cfg["num_classes"]
    assert set(imported.dropped) == {"attention_pooling.W.bias", "pos_embedding"}


def test_each_tube_has_their_kernel_and_count(
    net: TubeViT, theirs: dict[str, Tensor], sizes: dict[str, Any]
) -> None:
    kernels = {name: t for name, t in theirs.items() if re.fullmatch(r"inter\.kernel\d+", name)}
    assert kernels
    for name, kernel in kernels.items():
        ours = net.tubes.kernels.kernel(int(name.removeprefix("inter.kernel")))
        close(ours[: len(kernel)], kernel)  # the fixture holds the first channels
    _, *size = sizes["video_shape_CTHW"]
    counts = [torch.tensor(tube.grid(tuple(size))).prod().item() for tube in net.tubes.tubes]
    assert counts == sizes["tokens_per_tube"]


@pytest.mark.parametrize("learns", [False, True])
def test_every_tensor_on_the_way_is_theirs(
    net: TubeViT, theirs: dict[str, Tensor], video: Tensor, learns: bool
) -> None:
    """By kept kernels, and by the learned kernel as in training."""
    with torch.set_grad_enabled(learns):
        tokens = net.embed(video)
        close(net.positions(video.shape[1]), theirs["inter.pos_embedding"])
        close(net.tubes(video), theirs["inter.tokens_no_cls"])
        close(tokens, theirs["inter.tokens_before_encoder"])
        close(net.encode(tokens), theirs["inter.encoder_out"])
        close(net.features(Clip(frames=video)), theirs["inter.pooled"])
        close(net(Clip(frames=video)), theirs["output.logits"])


def test_positions_of_non_square_grids_are_not_scrambled(folder: Path) -> None:
    files = list(folder.glob("bug_pos_nonsquare_*.safetensors"))
    assert files
    for file in files:
        t, h, w = map(int, re.findall(r"\d+", file.stem))
        (scrambled,) = load_file(file).values()
        tube = Tube(kernel=(1, 16, 16), stride=(32, 16, 16))
        size = (32 * t, 16 * h, 16 * w)
        assert tube.grid(size) == (t, h, w)
        ours = tube_positions([tube], size, scrambled.shape[1])
        assert not torch.allclose(ours, scrambled, atol=1e-3)
        third = scrambled.shape[1] // 3
        rate = 10000.0 ** (-torch.arange(third // 2) / (third // 2))
        for n, (row, column) in enumerate(torch.cartesian_prod(torch.arange(h), torch.arange(w))):
            for axis, at in ((1, 16 * row + 8), (2, 16 * column + 8)):
                code = torch.cat([(at * rate).sin(), (at * rate).cos()])
                close(ours[n, axis * third : (axis + 1) * third], code)


def test_a_lightning_file_gives_the_same(
    imported: Imported, folder: Path, sizes: dict[str, Any], tmp_path: Path
) -> None:
    state = load_file(folder / "state.safetensors")
    inside = {f"model.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": inside, "hyper_parameters": {"lr": 0.1}},
               tmp_path / "last.ckpt")  # fmt: skip
    again = read_tubevit(tmp_path / "last.ckpt", options_of(sizes))
    assert again.state.keys() == imported.state.keys()
    assert all(torch.equal(again.state[name], value) for name, value in imported.state.items())


def test_separate_kernels_come_one_by_one(
    folder: Path, sizes: dict[str, Any], net: TubeViT, video: Tensor, tmp_path: Path
) -> None:
    """As later versions of the port store them; with the stretched ones all is as before."""
    state = load_file(folder / "state.safetensors")
    del state["sparse_tubes_tokenizer.conv_proj_weight"]
    for i in range(len(net.tubes.tubes)):
        kernel = net.tubes.kernels.kernel(i).detach().contiguous()
        state[f"sparse_tubes_tokenizer.conv_proj_weights.{i}"] = kernel.clone()
    save_file(state, tmp_path / "separate.safetensors")
    read = read_tubevit(tmp_path / "separate.safetensors", options_of(sizes))
    assert read.config.to_dict()["kernels"] == "separate"
    separate = read.build(where="separate").eval()
    close(separate(Clip(frames=video)), net(Clip(frames=video)))
