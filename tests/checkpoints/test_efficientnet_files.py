from pathlib import Path

import pytest
import torch
from skimage import data
from torch.nn import functional

from brainreel.checkpoints.efficientnet_files import load_efficientnet_lite0
from brainreel.errors import CheckpointError
from brainreel.models.efficientnet import EfficientNetLite0, on_scale


def square(name: str) -> torch.Tensor:
    """The middle of a photograph that scikit-image brings along, as the network takes it."""
    picture = torch.tensor(getattr(data, name)()).permute(2, 0, 1)[None] / 255
    height, width = picture.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = picture[:, :, top : top + side, left : left + side]
    return functional.interpolate(cut, (224, 224), mode="bilinear", antialias=True)


def test_it_knows_a_cat_and_a_coffee() -> None:
    network = load_efficientnet_lite0()
    pictures = torch.cat([square("chelsea"), square("coffee")])
    cat, coffee = network(on_scale(pictures)).softmax(dim=1)
    assert cat.argmax() in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert cat[[281, 282, 285]].sum() > 0.8
    assert coffee.argmax() == 967  # espresso
    assert coffee.max() > 0.9


def test_its_size_is_the_published_one() -> None:
    assert sum(value.numel() for value in EfficientNetLite0().parameters()) == 4_652_008


def test_other_weights_are_refused(tmp_path: Path) -> None:
    state = EfficientNetLite0().state_dict()
    file = tmp_path / "other.pth"
    state.pop("fc.bias")
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"is no EfficientNet-Lite0 .*fc\.bias"):
        load_efficientnet_lite0(file)
    state["fc.bias"] = torch.zeros(3)
    torch.save(state, file)
    with pytest.raises(CheckpointError, match="1 tensors are missing"):
        load_efficientnet_lite0(file)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.pth"
    torch.save({"hook": print}, file)
    with pytest.raises(CheckpointError, match="can run code"):
        load_efficientnet_lite0(file)
