from __future__ import annotations

import pytest
import torch
from torch import Tensor

from brainreel.errors import ShapeError
from brainreel.layers.rollout import Look, rollout


def weights(*shape: int, seed: int) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.softmax(dim=-1)


def matrices(layers: list[list[Look]], n_tokens: int, row: int) -> list[Tensor]:
    """The N x N step of each layer, entry by entry."""
    found = []
    for looks in layers:
        step = torch.zeros(n_tokens, n_tokens, dtype=torch.float64)
        for i in range(n_tokens):
            mine = [look for look in looks if i in look.asking.tolist()]
            if not mine:
                step[i, i] = 1
            for look in mine:
                at = look.asking.tolist().index(i)
                for column, j in enumerate(look.answering.tolist()):
                    share = look.maps[row, :, at, column].mean()
                    step[i, j] += (share / 2) / len(mine)
                step[i, i] += 0.5 / len(mine)
        found.append(step)
    return found


def graph() -> list[list[Look]]:
    """Tokens 0 to 2 and 3 to 4 apart, then through tokens 5 and 6, then one look at all."""
    first, second = torch.arange(3), torch.arange(3, 5)
    between, every = torch.arange(5, 7), torch.arange(5)
    one, two = torch.cat([first, between]), torch.cat([second, between])
    return [
        [Look(weights(2, 3, 3, 3, seed=0), first, first),
         Look(weights(2, 3, 2, 2, seed=1), second, second)],
        [Look(weights(2, 3, 5, 5, seed=2), one, one), Look(weights(2, 3, 4, 4, seed=3), two, two)],
        [Look(weights(2, 3, 5, 5, seed=4), every, every)],
        [Look(weights(2, 3, 1, 5, seed=5), torch.tensor([3]), every)],
    ]  # fmt: skip


def test_one_row_backwards_is_the_product_of_all_matrices() -> None:
    start = torch.zeros(2, 7, dtype=torch.float64)
    start[:, 0], start[:, 3] = 0.25, 0.75
    found = rollout(graph(), start)
    for row in range(2):
        product = torch.eye(7, dtype=torch.float64)
        for step in matrices(graph(), 7, row):
            product = step @ product
        torch.testing.assert_close(found[row], start[row] @ product, rtol=1e-12, atol=1e-12)


def test_what_is_explained_is_shared_out() -> None:
    start = weights(2, 7, seed=6)
    found = rollout(graph(), start)
    assert bool((found >= 0).all())
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_without_layers_nothing_moves() -> None:
    start = weights(2, 7, seed=6)
    assert torch.equal(rollout([], start), start)


def test_maps_of_another_graph_are_refused() -> None:
    look = Look(weights(2, 3, 3, 3, seed=0), torch.arange(3), torch.arange(4))
    with pytest.raises(ShapeError, match="attention maps has 3 along axis M"):
        rollout([[look]], torch.zeros(2, 5, dtype=torch.float64))
