from __future__ import annotations

import numpy as np
import torch

from brainreel.layers.clip import Clip
from brainreel.models.sights import SightsConfig
from brainreel.shapes import DataSpec
from brainreel.stimulus.sights import contrast, luminance

SPEC = DataSpec(frame_shape=(3, 9, 12))


def frames() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 4, 3, 9, 12), generator=generator, dtype=torch.uint8)


def luma() -> np.ndarray:
    weights = np.array([0.299, 0.587, 0.114]).reshape(-1, 1, 1)
    values: np.ndarray = (frames().numpy() / 255 * weights).sum(2)
    return values


def test_it_is_the_luminance_and_contrast_of_the_feature_spaces_and_the_plain_change() -> None:
    network = SightsConfig().build(SPEC)
    found = network.features(Clip(frames=frames())).numpy()
    for row, x in enumerate(luma()):
        expected = [luminance(x, 1).mean(0), contrast(x, 1).mean(0)]
        change = np.abs(np.diff(x, axis=0, prepend=x[:1]))
        cells = change.reshape(4, 3, 3, 3, 4).mean((2, 4)).reshape(4, 9)
        expected.append(np.concatenate([change.mean((1, 2))[:, None], cells], 1).mean(0))
        np.testing.assert_allclose(found[row], np.concatenate(expected), atol=1e-5)
    assert network.spaces == {"luminance": 10, "contrast": 10, "change": 10}


def test_floats_are_the_same_pictures_and_one_frame_does_not_change() -> None:
    network = SightsConfig(cells=1).build(SPEC)
    whole = network.features(Clip(frames=frames()))
    torch.testing.assert_close(network.features(Clip(frames=frames() / 255)), whole)
    assert whole.shape == (2, 3)
    still = network.features(Clip(frames=frames()[:, :1]))
    assert torch.equal(still[:, 2], torch.zeros(2))
    assert (still[:, :2] > 0).all()
