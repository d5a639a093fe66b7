"""Pictures drawn of brains: seeds of each, and the one that stands for all."""

from __future__ import annotations

import numpy as np
import pytest

from brainreel.data.samples import Fold, Trials
from brainreel.data.voxel_rows import ScoredVoxels
from brainreel.errors import ShapeError
from brainreel.train.drawing import chosen, seeds_of
from brainreel.train.picture_controls import brains_of_class, other_brains


def test_seeds_of_a_trial_are_its_own() -> None:
    both, one = seeds_of(3, [7, 9], 4), seeds_of(3, [9], 2)
    assert both.shape == (2, 4)
    assert both[1, :2].tolist() == one[0].tolist()
    assert len({int(seed) for seed in both.flatten()}) == 8
    assert not (seeds_of(4, [7, 9], 4) == both).any()


def test_one_picture_stands_for_all_by_a_rule() -> None:
    samples = np.random.default_rng(0).uniform(size=(5, 6, 3, 4, 4)).astype(np.float32)
    for brain, own in enumerate(samples):
        mean = sum(own[1:], own[0]) / 6
        nearest = min(own, key=lambda one: float(((one - mean) ** 2).sum()))
        np.testing.assert_array_equal(chosen(samples, "first")[brain], own[0])
        np.testing.assert_allclose(chosen(samples, "average")[brain], mean, atol=1e-6)
        np.testing.assert_array_equal(chosen(samples, "consensus")[brain], nearest)
    with pytest.raises(ShapeError, match="samples"):
        chosen(samples[0], "first")


@pytest.mark.parametrize("n", [2, 3, 10])
def test_nobody_keeps_the_own_brain_and_every_brain_is_used(n: int) -> None:
    order = other_brains(np.arange(n), seed=5)
    assert order is not None
    assert sorted(order.tolist()) == list(range(n))
    assert (order != np.arange(n)).all()


@pytest.mark.parametrize("shown", [[4, 4, 7, 7], [1, 2, 1, 3, 1, 5], [0, 0, 0, 1, 1, 2, 3]])
def test_nobody_gets_a_brain_that_saw_the_same_picture(shown: list[int]) -> None:
    pictures = np.array(shown)
    for seed in range(20):
        order = other_brains(pictures, seed)
        assert order is not None
        assert sorted(order.tolist()) == list(range(len(pictures)))
        assert (pictures[order] != pictures).all()


def test_there_is_no_control_where_no_other_picture_is_left() -> None:
    for shown in ([], [3], [3, 3], [1, 1, 2]):
        assert other_brains(np.array(shown, dtype=np.int64), seed=5) is None


def test_a_class_is_told_by_the_brain_and_shown_by_another_of_it() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    voxels = rng.normal(size=(60, 8)) + 4 * np.eye(8)[labels]
    fold = Fold("s", "s", train_trials=tuple(range(40)), test_trials=tuple(range(40, 60)))
    data = Trials(voxels.astype(np.float32), None, labels, (fold,))
    scored = ScoredVoxels(data, fold)
    found = brains_of_class(data, scored, range(40), range(40, 60), seed=0)
    assert set(found) <= set(range(40))
    assert len(set(found)) > 6
    assert np.mean(labels[found] == labels[40:]) > 0.9
    wrong = labels.copy()
    wrong[40:] = rng.permutation(labels[40:])  # the classes of the test are not looked at
    other = Trials(data.voxels, None, wrong, (fold,))
    np.testing.assert_array_equal(
        brains_of_class(other, scored, range(40), range(40, 60), seed=0), found
    )
