import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.simulate import brain as module
from brainreel.simulate.brain import REGION_NAMES, make_brain


@pytest.fixture(scope="module")
def place_mm() -> np.ndarray:
    brain = make_brain(12)
    indices = np.argwhere(brain.mask.inside)
    return indices @ brain.mask.affine[:3, :3].T + brain.mask.affine[:3, 3]


def test_brain_is_a_brain_with_all_regions() -> None:
    brain = make_brain(12)
    volume_cm3 = brain.mask.n_voxels * 1.2**3
    assert 1500 < volume_cm3 < 2200
    assert set(brain.regions) == set(REGION_NAMES)
    assert np.count_nonzero(brain.regions == "none") >= 200
    assert brain.visual.sum() == sum(
        np.count_nonzero(brain.regions == name) for name in ("luminance", "contrast", "motion")
    )


def test_regions_are_compact_and_lie_where_they_should(place_mm: np.ndarray) -> None:
    regions = make_brain(12).regions
    middle = {name: place_mm[regions == name].mean(axis=0) for name in REGION_NAMES}
    assert middle["luminance"][1] < -70
    assert middle["motion"][1] < -50
    assert abs(middle["pitch"][1] + 14) < 15
    for name in REGION_NAMES[1:]:
        part = place_mm[regions == name]
        one_side = np.stack([np.abs(part[:, 0]), part[:, 1], part[:, 2]], axis=1)
        assert one_side.std(axis=0).max() < 25
        assert {-1.0, 1.0} <= set(np.sign(place_mm[regions == name][:, 0]))


def test_mask_is_cropped_to_one_voxel_of_margin() -> None:
    inside = make_brain(12).mask.inside
    for axis in range(3):
        touched = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        assert touched[0] <= 1
        assert touched[-1] >= inside.shape[axis] - 2


def test_a_brain_too_small_for_its_regions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {name: (middle, 0.001) for name, (middle, _) in module._REGIONS.items()}
    monkeypatch.setattr(module, "_REGIONS", small)
    with pytest.raises(DataError, match="Give a smaller voxel_size_mm"):
        make_brain(25)
