"""Published weights by the command."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.imported import load_imported
from brainreel.checkpoints.run_network import read_network
from brainreel.checkpoints.store import save_weights

from ..checkpoints import test_from_mind_vis as mind_vis
from ..checkpoints import test_from_tff as tff
from ..checkpoints.published import WIDTH, drawn, hugging_face, linear, timm
from .breaking import cut, full_disk, tree


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny ViT of timm with five classes."""
    state = timm("", (3, 8, 8), 6, distilled=False) | drawn(linear("head", 5, WIDTH))
    return save_weights(tmp_path / "vit.safetensors", state)


GIVEN = ("heads=3", "size=[16, 24]", "mean=[0.4, 0.5, 0.6]", "std=0.25")


def test_weights_are_imported_and_read_back(brainreel, checkpoint, tmp_path):
    out = tmp_path / "vit"
    told = brainreel("import", "vit", checkpoint, *GIVEN, "--out", out).output
    assert told.splitlines() == [
        "vit: width 12, depth 2, heads 3, patch [8, 8]",
        "  4,857 weights in 32 tensors",
        "  frames (C, H, W): (3, 16, 24)",
        "  classes: label 5",
        f"Imported into {out}",
    ]
    assert tree(out) == [
        "config.yaml", "import.json", "spec.json", "versions.json", "weights.safetensors"
    ]  # fmt: skip
    imported = load_imported(out)
    assert imported.config.pixel_mean == (0.4, 0.5, 0.6)
    assert imported.build(where="vit").eval().head.out_features == 5
    digests = json.loads((out / "versions.json").read_text())["digests"]
    assert digests.keys() == {"vit.safetensors", "weights"}


def test_mind_vis_by_the_command(brainreel, tmp_path):
    state = mind_vis.theirs(mind_vis.ours())
    file = mind_vis.published(tmp_path / "fmri_encoder.pth", state, mind_vis.TOLD)
    told = brainreel("import", "mind-vis", file, "--out", tmp_path / "out").output
    assert told.startswith("sc_mbm: width 12, depth 2, heads 2, patch 4\n")
    assert "  voxels: 32\n" in told
    assert "  It was trained on voxels of VC.\n" in told
    assert read_network(tmp_path / "out").config.mask_ratio == 0.5


@pytest.mark.parametrize("phase", tff.PHASES)
def test_each_phase_of_tff_by_the_command(brainreel, tmp_path, phase):
    file = tff.published(tmp_path / "phase.pth", tff.theirs(tff.ours(phase)))
    out = tmp_path / "tff"
    told = brainreel("import", "tff", file, "grid=[6, 9, 7]", "heads=2", "--out", out).output
    assert told.startswith(f"{phase}: widths [4, 8, 16, 32], blocks [1, 2, 2, 4], embedding 8")
    assert "  volumes (X, Y, Z): (6, 9, 7)" in told
    assert ("word_embeddings.weight (a table of words" in told) == (phase != "tff_autoencoder")
    assert read_network(out).config == tff.PHASES[phase]
    error = brainreel("import", "tff", file, "--out", tmp_path / "other").error
    assert "Give grid=[X,Y,Z], the size of the volumes" in error
    assert not (tmp_path / "other").exists()


def test_what_is_not_used_is_said_with_the_reason(brainreel, tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    state = hugging_face("", (3, 8, 8), 4, distilled=False)
    state |= drawn(linear("pooler.dense", WIDTH, WIDTH))
    save_weights(folder / "model.safetensors", state)
    (folder / "config.json").write_text('{"model_type": "vit", "num_attention_heads": 3}')
    told = brainreel("import", "vit", folder, "--out", tmp_path / "out").output
    assert (
        "  not used: pooler.dense.bias, pooler.dense.weight "
        "(a layer for pre-training; pooler=true puts it after the token)"
    ) in told
    assert "  No file tells the scale of the pixels" in told
    assert load_imported(tmp_path / "out").dropped.keys() == {
        "pooler.dense.weight", "pooler.dense.bias"
    }  # fmt: skip


def test_bad_input_is_one_sentence_and_leaves_nothing(brainreel, checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def error(*args: object, origin: str = "vit") -> str:
        told = brainreel("import", origin, *args, "--out", out).error
        assert not out.exists()
        return str(told)

    assert error(checkpoint, origin="vitt") == (
        "nothing is imported from 'vitt'. Did you mean 'vit'?"
    )
    assert error(checkpoint, "head=3") == ("import vit: unknown key 'head'. Did you mean 'heads'?")
    assert error(checkpoint, "heads=0").startswith("import vit: 'heads' should be greater")
    assert error(checkpoint, "heads=5", *GIVEN[1:]).startswith(
        "a width of 12 cannot be shared by 5"
    )
    assert "positions for 6 patches, not for a grid of 2 x 2. Give size=" in error(checkpoint)
    assert error(tmp_path / "gone.pt").endswith("no such file or folder of weights.")
    with monkeypatch.context() as patched:
        patched.setattr("brainreel.checkpoints.store.save_file", full_disk)
        assert error(checkpoint, *GIVEN).startswith(f"{out}/weights.safetensors: cannot be written")
    cut(checkpoint)
    assert error(checkpoint, *GIVEN).startswith(f"{checkpoint}: truncated or damaged")


def test_weights_of_another_origin_are_named(brainreel, tmp_path):
    state = {f"layer{i}.conv.weight": torch.zeros(1) for i in range(15)} | {
        "cls_token": torch.zeros(1, 1, 4)
    }
    path = save_weights(tmp_path / "w.safetensors", state)
    told = brainreel("import", "vit", path, "--out", tmp_path / "out").error
    assert told.startswith(f"{path}: 15 of 16 tensors are not known: layer0.conv.weight, ")
    assert told.count("conv.weight") == 10
    assert "and 5 more. Check that the file is of the origin that was named." in told
    assert not (tmp_path / "out").exists()


def test_a_pickle_that_would_run_code_is_not_loaded(brainreel, tmp_path):
    sign, path = tmp_path / "code-ran", tmp_path / "w.pt"

    class Malicious:
        def __reduce__(self):
            return (Path.touch, (sign,))

    torch.save({"model": Malicious()}, path)
    for origin in ("vit", "tff"):
        told = brainreel("import", origin, path, "--out", tmp_path / "out").error
        assert "was not loaded because such a file can run code. Give a .safetensors file." in told
    path.write_bytes(pickle.dumps({"model": Malicious()}))
    assert "can run code" in brainreel("import", "vit", path, "--out", tmp_path / "out").error
    assert not sign.exists()
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone(brainreel, checkpoint):
    folder = checkpoint.parent
    before = tree(folder)
    told = brainreel("import", "vit", checkpoint, *GIVEN, "--out", folder).error
    assert told == f"{folder}: already in use. Choose another --out, or remove it first."
    assert tree(folder) == before


def test_every_origin_says_whose_weights_and_what_its_options_mean(brainreel):
    listed = brainreel("describe").output
    for name, origin in ORIGINS.items():
        assert f"import-{name}" in listed
        assert origin.title in " ".join(listed.split())
        told = brainreel("describe", f"import-{name}").output
        assert told.startswith(f"import-{name}: ")
        for key in origin.options.model_fields:
            assert f"\n{key}" in told
        for key, info in origin.options.model_fields.items():
            assert info.description, f"{name}: {key}"
