from __future__ import annotations

import pytest
import torch
from torch import nn

from brainreel.errors import ConfigError
from brainreel.layers.positions import (
    FixedPositions,
    LearnedPositions,
    cut_or_resized,
    fit_positions,
    resized,
)
from brainreel.layers.tokens import grid_centres, sincos_positions


def table(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def cubic(x: float) -> float:
    """Keys' kernel with a = -0.75, PyTorch's choice."""
    a, x = -0.75, abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def by_hand(before: torch.Tensor, counts: tuple[int, int]) -> torch.Tensor:
    """Bicubic interpolation of a table (h, w, D), place by place, edges repeated."""
    h, w, width = before.shape
    out = torch.zeros(*counts, width)
    for i in range(counts[0]):
        for j in range(counts[1]):
            y, x = (i + 0.5) * h / counts[0] - 0.5, (j + 0.5) * w / counts[1] - 0.5
            for a in range(int(y // 1) - 1, int(y // 1) + 3):
                for b in range(int(x // 1) - 1, int(x // 1) + 3):
                    near = before[min(max(a, 0), h - 1), min(max(b, 0), w - 1)]
                    out[i, j] += cubic(y - a) * cubic(x - b) * near
    return out


@pytest.mark.parametrize("counts", [(6, 8), (2, 3), (3, 9), (3, 4)])
def test_a_picture_grid_is_interpolated_bicubically(counts: tuple[int, int]) -> None:
    before = table(3, 4, 5)
    torch.testing.assert_close(resized(before, counts), by_hand(before, counts))
    assert torch.equal(resized(before, (3, 4)), before)


def test_grids_of_one_and_three_axes_are_interpolated_too() -> None:
    line = torch.tensor([[0.0], [1.0]])
    torch.testing.assert_close(resized(line, (4,)), torch.tensor([[0.0], [0.25], [0.75], [1.0]]))
    assert resized(table(2, 3, 4, 5), (4, 3, 2)).shape == (4, 3, 2, 5)
    with pytest.raises(ConfigError, match="a grid of 2 axes cannot become one of 1 axes"):
        resized(table(2, 3, 5), (4,))


def test_a_shorter_sound_takes_the_middle_and_a_longer_one_is_stretched() -> None:
    before = table(5, 4, 3)
    assert torch.equal(cut_or_resized(before, (2, 4)), before[1:3])
    assert torch.equal(cut_or_resized(before, (5, 3)), before[:, :3])
    both = cut_or_resized(before, (10, 2))
    assert both.shape == (10, 2, 3)
    torch.testing.assert_close(both[1], 0.75 * before[0, 1:3] + 0.25 * before[1, 1:3])
    torch.testing.assert_close(both[-1], before[-1, 1:3])
    with pytest.raises(ConfigError, match="cannot become"):
        cut_or_resized(before, (5,))


def test_positions_are_in_c_order_of_the_grid() -> None:
    learned, fixed = LearnedPositions((2, 3), 8), FixedPositions((2, 3), 8)
    assert torch.equal(learned()[4], learned.table[1, 1])
    assert torch.equal(fixed(), sincos_positions(grid_centres((2, 3)), 8))
    assert not fixed.state_dict()


def test_only_tables_of_positions_are_fitted() -> None:
    class Net(nn.Module):
        def __init__(self, counts: tuple[int, int]) -> None:
            super().__init__()
            self.picture = LearnedPositions(counts, 4)
            self.sound = LearnedPositions(counts, 4, cut_or_resized)
            self.other = nn.Linear(2, 2)

    small, large = Net((2, 2)), Net((4, 3))
    state = large.state_dict()
    fitted = fit_positions(small, state)
    assert torch.equal(fitted["picture.table"], resized(state["picture.table"], (2, 2)))
    assert torch.equal(fitted["sound.table"], state["sound.table"][1:3, :2])
    assert fitted["other.weight"] is state["other.weight"]
    small.load_state_dict(fitted)
    alone = LearnedPositions((2,), 4)
    assert fit_positions(alone, {"table": table(4, 4)})["table"].shape == (2, 4)
