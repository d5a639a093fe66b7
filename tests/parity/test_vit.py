"""ViT, DeiT and AST against the published implementations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brainreel.checkpoints.from_vit import ViTImport, read_vit, vit_from_tensors
from brainreel.layers.clip import Clip

from .conftest import close


def test_the_frame_backbone_of_vtn_is_timms_vit(golden: Callable[[str], Path]) -> None:
    folder = golden("vtn")
    sizes = json.loads((folder / "config.json").read_text())
    state = {
        name.removeprefix("backbone."): value.float()
        for name, value in load_file(folder / "state.safetensors").items()
        if name.startswith("backbone.")
    }
    options = ViTImport(
        heads=sizes["vit"]["num_heads"], norm_eps=sizes["ln_eps"]["vit"], mean=0.0, std=1.0
    )
    imported = vit_from_tensors(state, options, where=str(folder))
    assert imported.config.depth == sizes["vit"]["depth"]
    assert imported.spec.frame_shape[1:] == (sizes["vit"]["img_size"],) * 2
    io = load_file(folder / "io.safetensors")
    frames = io["input.frames"].transpose(1, 2)  # (B, C, F, H, W) to (B, F, C, H, W)
    network = imported.build(where=str(folder)).eval()
    with torch.no_grad():
        close(network.embed(frames.flatten(0, 1)), io["inter.backbone"])


@pytest.mark.filterwarnings("ignore")  # other people's package
@pytest.mark.parametrize(
    "name",
    ["ViTModel", "ViTForImageClassification", "DeiTForImageClassificationWithTeacher",
     "ASTForAudioClassification"],
)  # fmt: skip
def test_random_models_of_hugging_face(name: str, tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip(
        "transformers", reason="the second witness needs: pip install transformers"
    )
    sizes: dict[str, Any] = {
        "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 20, "num_labels": 5, "patch_size": 8,
    }  # fmt: skip
    hears = name.startswith("AST")
    if hears:
        sizes |= {"max_length": 40, "num_mel_bins": 24, "frequency_stride": 5, "time_stride": 6}
    else:
        sizes |= {"image_size": (16, 24)}
    config = getattr(transformers, name.split("For")[0].removesuffix("Model") + "Config")(**sizes)
    theirs = getattr(transformers, name)(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    theirs.save_pretrained(tmp_path)
    ours: Any = read_vit(tmp_path).build(where=name).eval()
    x = torch.rand(2, *((40, 24) if hears else (3, 16, 24)), generator=generator)
    with torch.no_grad():
        if hears:
            close(ours(Clip(sound=x[:, None] * 9.1379948 - 4.2677393)), theirs(x).logits)
        elif name.endswith("Model"):
            close(ours.embed(x), theirs((x - 0.5) / 0.5).last_hidden_state[:, 0])
        else:
            close(ours(Clip(frames=x[:, None])), theirs((x - 0.5) / 0.5).logits)
