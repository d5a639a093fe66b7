import numpy as np
import pytest

from brainreel.errors import DataError, ShapeError
from brainreel.shapes import DataSpec, check_shape


def test_sizes_come_back_by_name() -> None:
    assert check_shape(np.zeros((2, 7, 3)), "B T 3", name="x") == {"B": 2, "T": 7}


@pytest.mark.parametrize(
    ("shape", "axes", "sizes", "told"),
    [
        ((4, 5), "T V", {"V": 6}, r"bold has 5 along axis V .* should have 6"),
        ((4, 5), "T V X", {}, r"bold has 2 axes \(4, 5\); it should have 3: \(T, V, X\)"),
        ((4, 5), "N N", {}, r"bold has 5 along axis N .* should have 4"),
        ((4, 5), "T 3", {}, r"bold has 5 along axis 3"),
    ],
)
def test_wrong_axis_is_named(
    shape: tuple[int, ...], axes: str, sizes: dict[str, int], told: str
) -> None:
    with pytest.raises(ShapeError, match=told):
        check_shape(np.zeros(shape), axes, name="bold", **sizes)


def test_spec_survives_json() -> None:
    spec = DataSpec(("a", "b"), (3, 4), 1.5, {"luminance": 2}, (3, 8, 8), 4, grid=(2, 3, 4))
    assert DataSpec.from_json(spec.to_json()) == spec
    assert spec.voxels_of == {"a": 3, "b": 4}


def test_unknown_fact_suggests_the_near_one() -> None:
    with pytest.raises(DataError, match="unknown fact 'n_voxel'. Did you mean 'n_voxels'"):
        DataSpec.from_json({"n_voxel": [3]})
