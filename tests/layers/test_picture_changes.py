"""Random changes of pictures: what each does to a picture, against plain ways of doing it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from brainreel.layers.picture_changes import PictureChanges

STILL = {"crop_rate": 0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slope(n: int = 6) -> Tensor:
    """Pictures whose value is 10 times the row, plus the column."""
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    return (10 * rows + columns).expand(n, 1, 20, 20).clone()


def test_nothing_asked_is_nothing_changed() -> None:
    changes = PictureChanges.parse(STILL)
    assert changes.none
    grid = changes.grid(6, 20, 20, generator())
    assert torch.allclose(changes.apply(slope(), grid), slope(), atol=1e-3)
    assert not PictureChanges().none


def test_crops_are_a_part_of_the_picture_at_its_full_size() -> None:
    changes = PictureChanges.parse({"crop": 0.5, "crop_rate": 1})
    grid = changes.grid(200, 20, 20, generator())
    found = changes.apply(slope(200), grid)
    rows = found[:, 0, :, 0].div(10)
    # Half the rows over all of the height: 19 steps of half a row each.
    step = (rows[:, -2] - rows[:, 1]) / 17
    assert torch.allclose(step, torch.full_like(step, 0.5), atol=0.05)
    assert found.min() >= -1e-3
    assert found.max() <= 209 + 1e-3
    first = grid[:, 0, 0]
    assert first[:, 0].min() < -0.9  # some at the left edge
    assert grid[:, -1, -1, 0].max() > 0.9  # some at the right one


def test_a_share_of_pictures_is_cropped() -> None:
    changes = PictureChanges.parse({"crop_rate": 0.3})
    grid = changes.grid(2000, 8, 8, generator())
    width = grid[:, 0, -1, 0] - grid[:, 0, 0, 0]
    cropped = width < 0.9 * width.max()
    assert cropped.float().mean() == pytest.approx(0.3, abs=0.04)
    assert torch.allclose(width[cropped], 0.8 * width.max(), atol=1e-5)


@pytest.mark.parametrize(
    ("option", "value", "measure"),
    [
        # A grid goes from -1 to 1, so that a share s of the side is 2 s.
        ("shift", 0.1, lambda grid: grid.mean(dim=(1, 2))[:, 0] / 2),
        ("turn_deg", 10.0, lambda grid: torch.rad2deg(torch.atan2(*direction(grid)))),
        ("stretch", 0.1, lambda grid: (grid[:, -1, 0, 1] - grid[:, 0, 0, 1]) / (2 * 15 / 16) - 1),
    ],
)
def test_draws_have_the_deviation_that_was_asked(option, value, measure) -> None:  # type: ignore[no-untyped-def]
    changes = PictureChanges.parse(STILL | {option: value})
    found = measure(changes.grid(4000, 16, 16, generator()))
    assert found.mean().item() == pytest.approx(0, abs=0.08 * value)
    assert found.std().item() == pytest.approx(value, rel=0.08)


def direction(grid: Tensor) -> tuple[Tensor, Tensor]:
    """Where the first row of a grid points."""
    along = grid[:, 0, -1] - grid[:, 0, 0]
    return along[:, 1], along[:, 0]


def test_bends_move_places_apart_and_guesses_move_with_their_pictures() -> None:
    changes = PictureChanges.parse(STILL | {"bend": 0.05})
    grid = changes.grid(3, 20, 20, generator())
    still = PictureChanges.parse(STILL).grid(3, 20, 20, generator())
    moved = (grid - still).norm(dim=-1)
    assert moved.std(dim=(1, 2)).min() > 0.02
    pictures = slope(3)
    both = changes.apply(torch.cat([pictures, 2 * pictures], dim=1), grid)
    assert torch.allclose(both[:, :1] * 2, both[:, 1:], atol=1e-3)


def test_draws_come_from_the_generator_alone() -> None:
    changes = PictureChanges.parse({"bend": 0.05, "turn_deg": 5, "crop_rate": 0.5})
    one, two = (changes.grid(3, 8, 8, generator(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, changes.grid(3, 8, 8, generator(5)))
