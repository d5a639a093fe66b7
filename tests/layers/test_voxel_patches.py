from __future__ import annotations

import numpy as np
import pytest
import torch

from brainreel.errors import ShapeError
from brainreel.layers.voxel_patches import count_patches, cut, joined_patches, padded


@pytest.mark.parametrize("length", [5, 6, 8, 10, 13])
@pytest.mark.parametrize("padding", ["wrap", "constant"])
def test_padding_is_that_of_numpy(length: int, padding: str) -> None:
    voxels = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    theirs = np.pad(voxels.numpy(), ((0, 0), (0, length - 5)), mode=padding)
    assert np.array_equal(padded(voxels, length, padding).numpy(), theirs)


def test_no_patch_is_added_where_none_is_needed() -> None:
    assert [count_patches(n, 4) for n in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


def test_patches_become_the_same_voxels_again() -> None:
    voxels = torch.arange(14.0).reshape(2, 7)
    patches = cut(padded(voxels, 9), 3)
    assert patches[0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 1]]
    assert torch.equal(joined_patches(patches, 7), voxels)


def test_vectors_that_are_too_long_or_empty_are_refused() -> None:
    with pytest.raises(ShapeError, match="vectors of 5 voxels cannot be padded to 4"):
        padded(torch.zeros(1, 5), 4)
    with pytest.raises(ShapeError, match="vectors of 0 voxels"):
        padded(torch.zeros(1, 0), 4)
