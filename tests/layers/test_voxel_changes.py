from __future__ import annotations

import pytest
import torch

from brainreel.errors import ConfigError, ShapeError
from brainreel.layers.voxel_changes import drop_voxels, mix_vectors


def test_a_share_of_the_voxels_of_each_vector_is_dropped() -> None:
    generator = torch.Generator().manual_seed(0)
    voxels = torch.rand(2000, 10) + 1
    found = drop_voxels(voxels, 0.2, generator)
    dropped = found == 0
    assert (dropped.sum(dim=1) == 2).all()
    assert torch.equal(found[~dropped], voxels[~dropped])
    # Each voxel as often as any other: 400 times of 2000, give or take 4 deviations.
    assert (dropped.sum(dim=0) - 400).abs().max() < 4 * (2000 * 0.2 * 0.8) ** 0.5
    assert drop_voxels(voxels, 0.0, generator) is voxels
    with pytest.raises(ConfigError, match="share of 1 of the voxels cannot be dropped"):
        drop_voxels(voxels, 1.0, generator)


def test_mixed_vectors_lie_between_the_two() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(500, 6), torch.randn(500, 6)
    mixed = mix_vectors(one, other, generator)
    weight = (mixed - other) / (one - other)
    torch.testing.assert_close(weight, weight[:, :1].expand_as(weight), rtol=1e-2, atol=1e-2)
    assert 0 <= weight.min() <= weight.max() <= 1.01
    assert weight[:, 0].mean() == pytest.approx(0.5, abs=0.06)
    with pytest.raises(ShapeError, match="cannot be mixed; give two of one person"):
        mix_vectors(one, other[:, :5], generator)
