import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.metrics.pairings import classification_pairs, identification_pairs
from brainreel.metrics.ranking import n_way_classification, n_way_identification


@pytest.mark.parametrize("tied", [False, True])
def test_identification_of_every_pairing_is_that_of_the_reordered_matrix(rng, tied):
    similarity = rng.standard_normal((7, 7))
    if tied:
        similarity = similarity.round()
    found = identification_pairs(similarity, 4, top_k=2)
    order = rng.permutation(7)
    expected = n_way_identification(similarity[:, order], 4, top_k=2).per_item
    np.testing.assert_allclose(found[np.arange(7), order], expected)


def test_class_scores_of_every_pairing_are_those_one_by_one(rng):
    scores, classes = rng.random((6, 20)).round(1), rng.integers(20, size=5)
    found = classification_pairs(scores, classes, 8, top_k=2)
    for j, label in enumerate(classes):
        expected = n_way_classification(scores, np.full(6, label), 8, top_k=2)
        np.testing.assert_allclose(found[:, j], expected)


def test_drawn_trials_of_the_published_loop_come_to_the_expectation(rng):
    """The published score: draw n - 1 other classes, 1000 times, and see whether the true wins."""
    scores, classes = rng.dirichlet(np.full(40, 0.3), size=3), np.array([3, 11, 20])
    exact = classification_pairs(scores, classes, 10).diagonal()
    for row, label, expected in zip(scores, classes, exact, strict=True):
        others = np.delete(np.arange(40), label)
        drawn = [rng.choice(others, 9, replace=False) for _ in range(1000)]
        won = np.mean([row[label] > row[picked].max() for picked in drawn])
        assert won == pytest.approx(expected, abs=5 * np.sqrt(0.25 / 1000))


def test_what_cannot_be_asked_is_refused(rng):
    with pytest.raises(DataError, match="as many candidates"):
        identification_pairs(np.zeros((3, 4)), 2)
    with pytest.raises(DataError, match="classes 0 to 3"):
        classification_pairs(rng.random((2, 4)), np.array([0, 4]), 2)
    with pytest.raises(DataError, match="5-way"):
        classification_pairs(rng.random((2, 4)), np.array([0, 1]), 5)
