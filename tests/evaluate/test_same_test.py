"""Two runs are of the same test where people, moments and voxels are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainreel.evaluate.bold import PersonScores
from brainreel.evaluate.bold_card import falls_card
from brainreel.evaluate.parts import Measured
from brainreel.evaluate.same_test import facts_of_pictures, facts_of_test
from brainreel.train.predictions import PicturePrediction, Prediction


def person(subject: str, starts: tuple[float, ...] = (30.0, 60.0), n_voxels: int = 4) -> Prediction:
    values = np.zeros((5 * len(starts), n_voxels), np.float32)
    return Prediction(
        "s", "s", subject, values, values,
        np.repeat(np.arange(len(starts)), 5),
        np.concatenate([start + 1.5 * np.arange(5) for start in starts]),
        recordings=tuple(f"{subject} run-{int(start) // 30}" for start in starts),
        stimuli=("film",) * len(starts),
    )  # fmt: skip


def test_the_same_test_in_another_order_and_of_another_model() -> None:
    people = [person("sub-01"), person("sub-02")]
    told = facts_of_test(people)
    assert {key: told[key] for key in ("n_people", "n_trs", "n_voxels")} == {
        "n_people": 2, "n_trs": 20, "n_voxels": 8,
    }  # fmt: skip
    turned = person("sub-01", (60.0, 30.0))
    predicted = replace(people[1], predicted=people[1].predicted + 1, split="t", fold="t")
    late = replace(predicted, film_time_s=predicted.film_time_s + 1e-9)
    assert facts_of_test([late, turned])["digest"] == told["digest"]


@pytest.mark.parametrize(
    "other",
    [
        [person("sub-01")],
        [person("sub-01"), person("sub-03")],
        [person("sub-01"), person("sub-02", (30.0,))],
        [person("sub-01"), person("sub-02", (30.0, 61.5))],
        [person("sub-01"), person("sub-02", n_voxels=5)],
    ],
)
def test_another_person_moment_or_brain_is_another_test(other: list[Prediction]) -> None:
    told = facts_of_test([person("sub-01"), person("sub-02")])
    assert facts_of_test(other)["digest"] != told["digest"]


def seen(subject: str, trials: list[int], side: int = 8) -> PicturePrediction:
    pictures = np.zeros((len(trials), 1, side, side), np.float32)
    numbers = np.array(trials)
    return PicturePrediction(
        "s", f"s-{trials[0]}", subject, pictures, pictures, numbers, numbers, pictures[0]
    )


def test_tests_on_pictures_are_of_the_same_trials_at_the_same_size() -> None:
    told = facts_of_pictures({"a": [seen("a", [3, 1]), seen("a", [2])], "b": [seen("b", [5])]})
    assert (told["n_people"], told["n_trials"], told["picture_shape"]) == (2, 4, [1, 8, 8])
    turned = {"b": [seen("b", [5])], "a": [seen("a", [2, 1]), seen("a", [3])]}
    assert facts_of_pictures(turned)["digest"] == told["digest"]
    for other in (
        {"a": [seen("a", [1, 2, 3])]},
        {"a": [seen("a", [1, 2, 4])], "b": [seen("b", [5])]},
        {"a": [seen("a", [1, 2, 3], side=4)], "b": [seen("b", [5], side=4)]},
    ):
        assert facts_of_pictures(other)["digest"] != told["digest"]


def scores_of(seed: int, level: float) -> PersonScores:
    rng = np.random.default_rng(seed)
    both = np.random.default_rng(5).normal(0, 1, 400)  # what accidents of the film do to all
    resamples = level + both + rng.normal(0, 0.01, 400)
    coverage = Measured(0.4, resamples, 8, target=0.5)
    counts = {"n_without_variance": 0, "n_voxels": 3}
    return PersonScores({"r_median": Measured(level, resamples, 8), "c": coverage}, counts=counts)


def test_a_fall_is_resampled_with_both_sides_together() -> None:
    real = {"a": scores_of(0, 0.5), "b": scores_of(1, 0.3), "mean": scores_of(2, 9.0)}
    held = {"a": scores_of(3, 0.1), "b": scores_of(4, 0.0), "mean": scores_of(5, 0.0)}
    card = falls_card(real, held, ["mean"], level=0.9, prefix="new:")
    assert card.scores == {}
    assert card.falls == {"new:r_median": pytest.approx((0.4 + 0.3) / 2)}
    low, high = card.intervals["new:r_median|fall"]
    # The film's accidents are a hundred times larger than what is left of them in the fall.
    assert 0.3 < low < 0.35 < high < 0.4
