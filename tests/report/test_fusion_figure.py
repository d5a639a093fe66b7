from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from brainreel.errors import DataError
from brainreel.report.fusion_figure import figure_fusions, looks_of

# Three tokens of pictures, three of sound, two between them; the senses meet from the second layer.
PICTURES, SOUND, BETWEEN = range(3), range(3, 6), range(6, 8)
APART = {(a, b, "pictures") for a in PICTURES for b in PICTURES} | {
    (a, b, "sound") for a in SOUND for b in SOUND
}


def test_late_fusion_stays_apart() -> None:
    assert looks_of("late") == [APART] * 3


def test_the_bottleneck_is_the_only_way_across() -> None:
    first, second, last = looks_of("bottleneck")
    assert first == APART
    own = {
        (a, b, name)
        for name, mine in (("pictures", [*PICTURES, *BETWEEN]), ("sound", [*SOUND, *BETWEEN]))
        for a in mine
        for b in mine
    }
    assert second == own
    assert last == {look for look in own if look[0] not in BETWEEN}


@pytest.mark.parametrize(("fusion", "owner"), [("cross_attention", 0), ("self_attention", 1)])
def test_all_look_at_all_by_the_weights_of_one_side(fusion: str, owner: int) -> None:
    first, *rest = looks_of(fusion)  # type: ignore[arg-type]
    assert first == APART
    for looks in rest:
        assert {look[:2] for look in looks} == {(a, b) for a in range(6) for b in range(6)}
        for look in looks:
            assert look[2] == ("pictures" if look[owner] in PICTURES else "sound")


def test_four_panels_are_drawn(tmp_path: Path) -> None:
    picture = imread(figure_fusions(tmp_path / "a.png"))[..., :3]
    assert picture.shape[:2] == (350, 1180)
    inked = np.ptp(picture[90:300].min(axis=2), axis=0) > 0.2
    for left in (30, 318, 606, 894):
        assert inked[left : left + 256].sum() > 50
    with pytest.raises(DataError, match=r"End its name in \.png"):
        figure_fusions(tmp_path / "a.svg")
