from __future__ import annotations

import pytest
import torch

from brainreel.data.loading import ResumableLoader, ShardedBatches, mixed_seed


@pytest.mark.parametrize("n_items", [1, 5, 7, 12])
@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_ranks_together_see_each_item_once_an_epoch(n_items: int, n_ranks: int) -> None:
    ranks = [
        ShardedBatches(n_items, 2, seed=1, rank=rank, n_ranks=n_ranks) for rank in range(n_ranks)
    ]
    assert len({len(list(rank)) for rank in ranks}) == 1
    seen = [index for rank in ranks for batch in rank for index in batch]
    assert sorted(index for index in seen if index >= 0) == list(range(n_items))
    copies = [index for index in seen if index < 0]
    assert len(copies) == -n_items % n_ranks
    assert len(list(ranks[0])) == len(ranks[0])


def test_ranks_join_into_the_batches_of_one_process() -> None:
    one = list(ShardedBatches(9, 4, seed=3))
    two = [list(ShardedBatches(9, 2, seed=3, rank=rank, n_ranks=2)) for rank in range(2)]
    for batch, *parts in zip(one, *two, strict=True):
        assert sorted(batch) == sorted(i for part in parts for i in part if i >= 0)


def test_each_epoch_has_its_own_order_whatever_ran_before() -> None:
    batches = ShardedBatches(50, 50, seed=0)
    first, second = batches.epoch(0), batches.epoch(1)
    assert first != second
    assert batches.epoch(0) == first
    assert ShardedBatches(50, 50, seed=1).epoch(0) != first
    assert ShardedBatches(50, 50, seed=None).epoch(3) == [list(range(50))]


def test_a_loader_goes_on_in_the_middle_of_an_epoch() -> None:
    def make() -> ResumableLoader:
        dataset = torch.arange(10)
        return ResumableLoader(dataset, ShardedBatches(10, 3, seed=2), collate=list)

    whole = make()
    seen = [batch for _ in range(2) for batch in whole]
    broken = make()
    batches = iter(broken)
    for _ in range(2):
        next(batches)
    state = broken.state_dict()
    assert state == {"position": 2}
    resumed = make()
    resumed.load_state_dict(state)
    rest = [batch for _ in range(2) for batch in resumed]
    assert rest == seen[2:]
    assert resumed.state_dict() == whole.state_dict() == {"position": 8}


def test_loading_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    list(ResumableLoader(torch.arange(4), ShardedBatches(4, 2, seed=0), collate=list))
    assert torch.equal(torch.rand(1), expected)


def test_mixed_seeds_differ_and_fit_a_generator() -> None:
    seeds = {mixed_seed(a, b) for a in range(100) for b in range(100)}
    assert len(seeds) == 10000
    assert mixed_seed(1, 2) != mixed_seed(2, 1)
    assert all(0 <= seed < 1 << 63 for seed in seeds)
