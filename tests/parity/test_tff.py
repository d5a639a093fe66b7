"""TFF: the three phases give what the published code gives for the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from brainreel.checkpoints.from_tff import read_tff
from brainreel.data.volume_views import VolumeViews
from brainreel.errors import CheckpointError
from brainreel.fmri.bold import VoxelMask
from brainreel.train.volume_losses import (
    VGGFront,
    absolute_error,
    intense_voxels,
    perceptual_error,
)

from .conftest import close

PHASES = ("tff_autoencoder", "tff_etd", "tff_finetune")


def load(folder: Path) -> tuple[nn.Module, Mapping[str, Tensor], dict[str, Any]]:
    config = json.loads((folder / "config.json").read_text())
    options = {"grid": config["dim"], "heads": config["heads"]}
    imported = read_tff(folder / "state.safetensors", options)
    return imported.build(where="golden").eval(), load_file(folder / "io.safetensors"), config


def volumes(sequence: Tensor) -> Tensor:
    """Their (B, C, X, Y, Z, T) as our (B, T, C, X, Y, Z)."""
    return sequence.permute(0, 5, 1, 2, 3, 4)


@pytest.mark.parametrize("phase", PHASES)
@torch.no_grad()
def test_outputs_and_all_that_lies_between(phase: str, golden: Callable[[str], Path]) -> None:
    network, given, config = load(golden(phase))
    seen = volumes(given["input.fmri_sequence"])
    out = network(seen)
    vectors = network.encoder(seen.flatten(0, 1))
    inside = {
        "inter.encoder": lambda: network.encoder.maps(seen.flatten(0, 1)),
        "inter.into_bert": lambda: vectors,
        "inter.from_bert": lambda: network.decoder.widen(
            network.decoder.project(vectors).reshape(-1, *network.decoder.coarsest)
        ),
        "inter.sequence": lambda: network.transformer(vectors.reshape(*seen.shape[:2], -1))[1],
        "output.reconstructed": lambda: out.unsqueeze(2),
        "output.binary_classification": lambda: out.sigmoid(),
        "output.regression": lambda: nn.functional.leaky_relu(out, config["leaky_relu"]),
    }
    asked = [name for name in given if not name.startswith("input.") and name != "inter.cls"]
    for name in asked:
        theirs = given[name]
        close(inside[name](), volumes(theirs) if theirs.dim() == 6 else theirs)
    assert asked


def test_a_checkpoint_of_another_grid_says_what_to_give(
    golden: Callable[[str], Path],
) -> None:
    file = golden("tff_autoencoder") / "state.safetensors"
    with pytest.raises(CheckpointError, match=r"come to 24 numbers .* to 36\. Give grid="):
        read_tff(file, {"grid": (20, 24, 16)})


def test_a_foreign_tensor_is_named(golden: Callable[[str], Path], tmp_path: Path) -> None:
    state = load_file(golden("tff_autoencoder") / "state.safetensors")
    save_file({**state, "decoder.extra": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="1 of 127 tensors are not known: decoder.extra"):
        read_tff(tmp_path / "a.safetensors", {"grid": (16, 24, 16)})


@torch.no_grad()
def test_the_three_losses(golden: Callable[[str], Path]) -> None:
    folder = golden("tff_losses")
    config = json.loads((folder / "config.json").read_text())
    given = load_file(folder / "io.safetensors")
    ours = volumes(given["input.reconstructed"])[:, :, 0]
    truth = volumes(given["input.global"].unsqueeze(1))[:, :, 0]
    kinds = [name.split(".")[0] for name in given if name.endswith(".input.per_voxel")]
    assert kinds
    for kind in kinds:
        scores = volumes(given[f"{kind}.input.per_voxel"].unsqueeze(1))[:, :, 0]
        # Their background is the value of the first voxel of each volume.
        mask = intense_voxels(scores, config["quantile"], scores[..., 0, 0, 0])
        assert torch.equal(mask, volumes(given[f"{kind}.output.mask"])[:, :, 0])
        total, n = absolute_error(ours, truth)
        close(total / n, given[f"{kind}.output.reconstruction_l1"])
        total, n = absolute_error(ours, truth, mask)
        close(total / n, given[f"{kind}.output.intensity_l1"])
    vgg = VGGFront.read(folder / "vgg_front.safetensors")
    chosen = given["input.slice_perm"][: config["slices_used"]]
    total, n = perceptual_error(ours, truth, vgg, chosen)
    close(total / n, given["output.perceptual"])


def test_both_normalisations(golden: Callable[[str], Path]) -> None:
    folder = golden("tff_preproc")
    config = json.loads((folder / "config.json").read_text())
    given = load_file(folder / "io.safetensors")
    cut = tuple(
        slice(*(int(end) if end.strip() else None for end in part.split(":")))
        for part in config["crop"].strip("[]").split(",")
    )
    series = given["input.nifti"][cut].permute(3, 0, 1, 2).numpy()
    inside = (series != 0).any(axis=0)
    views = VolumeViews.of(series[:, inside], VoxelMask(inside, np.eye(4)))(series[:, inside])
    for number, name in enumerate(("global", "per_voxel_as_loaded")):
        theirs = given[f"output.{name}"].permute(3, 0, 1, 2)
        close(torch.from_numpy(views[:, number]), theirs)
