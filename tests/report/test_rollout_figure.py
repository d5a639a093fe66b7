from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from brainreel.errors import DataError
from brainreel.layers.clip import Clip
from brainreel.models.mbt import MBT, MBTConfig
from brainreel.report.rollout_figure import figure_rollout
from brainreel.shapes import DataSpec


def build(channels: int = 3, **options: Any) -> MBT:
    torch.manual_seed(0)
    config = MBTConfig.parse({"width": 8, "heads": 2, "patch": 4, "sound_patch": 4, **options})
    spec = DataSpec(frame_shape=(channels, 8, 12), clip_frames=10, sound_shape=(1, 12, 8))
    return config.build(spec).eval()


def clip(channels: int = 3) -> Clip:
    draw = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 10, channels, 8, 12), generator=draw, dtype=torch.uint8)
    return Clip(frames=frames, sound=torch.randn(2, 1, 12, 8, generator=draw))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patch_frames": 4},
        {"sampled_frames": (1, 5, 9)},
        {"inputs": ("pictures",)},
        {"inputs": ("sound",)},
        {"channels": 1},
    ],
)
def test_whatever_it_takes_in_is_drawn(options: dict[str, Any], tmp_path: Path) -> None:
    given = clip(options.get("channels", 3))
    picture = imread(figure_rollout(build(**options), given, tmp_path / "a.png", row=1))
    assert picture.shape[1] == 1180
    inputs = options.get("inputs", ("pictures", "sound"))
    assert (picture.shape[0] > 240) == ("pictures" in inputs)
    assert np.ptp(picture[..., :3]) > 0.9


def test_the_overlay_is_where_the_answer_looks(tmp_path: Path) -> None:
    """The patch that the roll-out favours is tinted most, seen on one grey frame."""
    net = build(inputs=("pictures",), sampled_frames=(0,))
    grey = Clip(frames=torch.full((1, 10, 3, 8, 12), 0.5))
    net.rollout = lambda _: {"pictures": torch.tensor([[[[0, 0, 0], [0, 0, 1.0]]]])}  # type: ignore[method-assign]
    picture = imread(figure_rollout(net, grey, tmp_path / "a.png"))[..., :3]
    tinted = np.argwhere(picture[:, :, 0] - picture[:, :, 2] > 0.3)  # orange
    low, high = tinted.min(axis=0), tinted.max(axis=0)
    # The frame is 180 high and 270 wide; its overlay begins at 68 + 180 + 10, 30 from the left.
    assert low == pytest.approx([258 + 90, 30 + 180], abs=3)
    assert high == pytest.approx([258 + 180, 30 + 270], abs=3)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"End its name in \.png"):
        figure_rollout(build(), clip(), tmp_path / "a.svg")
    with pytest.raises(DataError, match="there is no clip 2 among 2"):
        figure_rollout(build(), clip(), tmp_path / "a.png", row=2)
