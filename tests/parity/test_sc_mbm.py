"""SC-MBM: masking, filling, both losses and their gradients are those of the published code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from brainreel.checkpoints.from_mind_vis import RULES, encoder_rules, read_mind_vis
from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.remap import Drop, remap
from brainreel.fmri.normalize import Moments
from brainreel.layers.masking import keep_lowest, put_last
from brainreel.layers.positions import nearest
from brainreel.layers.voxel_patches import count_patches, padded
from brainreel.models.sc_mbm import SCMBM, FilledPatches, SCMBMConfig
from brainreel.models.voxel_encoder import VoxelEncoder
from brainreel.shapes import DataSpec
from brainreel.train.masked_losses import picture_feature_error, removed_error

from .conftest import close

Given = Mapping[str, Tensor]
MODELS = ("mindvis_mae", "mindvis_mae_natimg")


def load(folder: Path) -> tuple[Imported, Given, dict[str, Any]]:
    config = json.loads((folder / "config.json").read_text())
    heads = {
        "heads": config["cfg"]["num_heads"],
        "decoder_heads": config["cfg"]["decoder_num_heads"],
    }
    imported = read_mind_vis(folder / "state.safetensors", heads)
    return imported, load_file(folder / "io.safetensors"), config


def network_of(imported: Imported, ratio: float) -> SCMBM:
    config = imported.config.model_copy(update={"mask_ratio": ratio})
    network = Imported(config, imported.spec, imported.state).build(where="golden")
    assert isinstance(network, SCMBM)
    return network


def filling_loss(out: FilledPatches) -> Tensor:
    total, n = removed_error(out.predicted, out.measured, out.removed)
    return total / n.clamp_min(1)


def picture_loss(out: FilledPatches, given: Given) -> Tensor:
    assert out.pictures is not None
    total, n = picture_feature_error(out.pictures, given["input.img_features"])
    return total / n


def loss_of(out: FilledPatches, given: Given, weight: float) -> Tensor:
    loss = filling_loss(out)
    return loss if out.pictures is None else loss + weight * picture_loss(out, given)


def corner(whole: Tensor, like: Tensor) -> Tensor:
    return whole[tuple(slice(n) for n in like.shape)]


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_outputs_and_all_that_lies_between(model: str, golden: Callable[[str], Path]) -> None:
    imported, given, config = load(golden(model))
    assert not imported.dropped
    network = network_of(imported, config["mask_ratio"])
    noise, voxels = given["input.noise"], given["input.fmri"][:, 0]
    out = network(voxels, noise, given.get("input.valid_idx"))
    unmasked = network_of(imported, 0.0)(voxels, noise)
    found = {
        "inter.patch_embed": lambda: network.encoder.embed(out.measured),
        "inter.ids_restore": lambda: noise.argsort(dim=1).argsort(dim=1),
        "inter.latent": lambda: out.latent,
        "output.pred": lambda: out.predicted,
        "output.mask": lambda: out.removed,
        "output.loss": lambda: loss_of(out, given, config["img_recon_weight"]),
        "output.pred_ratio0": lambda: unmasked.predicted,
        "output.mask_ratio0": lambda: unmasked.removed,
        # Made without the pictures.
        "output.loss_ratio0": lambda: filling_loss(unmasked),
        "inter.nat_recon_mean": lambda: out.pictures.mean(),
        "inter.nat_recon_corner": lambda: corner(out.pictures, given["inter.nat_recon_corner"]),
        "inter.nat_loss": lambda: picture_loss(out, given),
    }
    wanted = [name for name in given if not name.startswith(("input.", "grad."))]
    assert wanted
    for name in wanted:
        close(found[name](), given[name])


@pytest.mark.parametrize("model", MODELS)
def test_gradients(model: str, golden: Callable[[str], Path]) -> None:
    imported, given, config = load(golden(model))
    network = network_of(imported, config["mask_ratio"])
    out = network(given["input.fmri"][:, 0], given["input.noise"], given.get("input.valid_idx"))
    loss_of(out, given, config["img_recon_weight"]).backward()
    named = dict(network.named_parameters())
    theirs = {n.removeprefix("grad."): t for n, t in given.items() if n.startswith("grad.")}
    assert theirs
    # A place that the class token does not have adds nothing to its gradient.
    alone = {**theirs, "cls_position": torch.zeros_like(theirs["cls_token"])}
    for name, gradient in remap(alone, RULES, where="golden").state.items():
        found = named[name].grad
        assert found is not None
        close(found, gradient)


def test_focus_masking(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_mae")
    config = json.loads((folder / "config.json").read_text())
    given = load_file(folder / "focus_masking.safetensors")
    masking = keep_lowest(
        put_last(given["input.noise"], given["input.ids_mask"]), config["mask_ratio"]
    )
    close(masking.removed, given["output.mask"])
    close(masking.seen(given["input.x"]), given["output.x_masked"])
    focus = {"focus": config["focus"]["focus_range"], "focus_rate": config["focus"]["focus_rate"]}
    cfg, rate = config["cfg"], focus["focus_rate"]
    sizes = {"patch": cfg["patch_size"], "width": 8, "depth": 1, "heads": 1, "decoder_width": 8}
    options = SCMBMConfig.parse({**sizes, "decoder_heads": 1, "decoder_depth": 1, **focus})
    weights = options.build(DataSpec(("all",), (cfg["num_voxels"],))).weights
    first, last = (voxel // cfg["patch_size"] for voxel in focus["focus"])
    assert weights is not None
    for patch, weight in enumerate(weights.tolist()):
        assert weight == pytest.approx(rate if first <= patch < last else 1 - rate)


@pytest.mark.parametrize("variant", ["gp0", "gp1"])
@torch.no_grad()
def test_the_encoder_of_the_conditioner(variant: str, golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_cond_stage")
    config = json.loads((folder / "config.json").read_text())
    given = load_file(folder / f"io_{variant}.safetensors")
    state = load_file(folder / f"state_{variant}.safetensors")
    mine = {name: value for name, value in state.items() if name.startswith("mae.")}
    unread = Drop(r"mae\.(cls|mask)_token", "not used by the encoder alone")
    made = remap(mine, [*encoder_rules(r"mae\.", ""), unread], where="golden")
    cfg = config["mae_cfg"]
    options = SCMBMConfig.parse(
        {
            "patch": cfg["patch_size"],
            "width": cfg["embed_dim"],
            "depth": cfg["depth"],
            "heads": cfg["num_heads"],
            "mlp_ratio": cfg["mlp_ratio"],
        }
    )
    encoder = VoxelEncoder(options, DataSpec(("all",), (config["enc_num_voxels"],)))
    encoder.load_state_dict(made.state)
    call = encoder.pooled if config["variants"][variant]["global_pool"] else encoder
    close(call(given["input.fmri"][:, 0]), given["inter.mae_latent"])
    first = given["input.fmri"][:1, 0]
    close(call(first), given["inter.mae_latent_2d_input"])
    # Codes of the patches it was pretrained on, moved to as many as it now has.
    before = VoxelEncoder(options, DataSpec(("all",), (cfg["num_voxels"],))).positions()
    close(nearest(before, (encoder.n_patches,)), given["inter.pos_embed_after_load"][0, 1:])


def test_padding_and_scaling_of_voxels(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_preproc")
    config = json.loads((folder / "config.json").read_text())
    given = load_file(folder / "io.safetensors")
    x, patch = given["input.x"], config["patch"]
    whole = count_patches(x.shape[1], patch) * patch
    close(padded(x, whole), given["output.pad_to_patch_size"])
    longer = given["output.pad_to_length"]
    close(padded(x[:, None], longer.shape[-1]), longer)
    moments = Moments.of([x.numpy()])
    scaled = (x.numpy() - moments.global_mean) / moments.global_std
    close(torch.from_numpy(scaled), given["output.normalize"])
    parts = np.array_split(given["input.ts"].numpy(), len(given["output.process_voxel_ts"]))
    means = [part.mean(axis=0) for part in parts]
    wrapped = padded(torch.from_numpy(np.stack(means)), whole).numpy()
    scaled = (wrapped - wrapped.mean()) / wrapped.std()
    close(torch.from_numpy(scaled), given["output.process_voxel_ts"])
