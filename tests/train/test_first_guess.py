"""First guesses: each from a fit that did not see the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainreel.data.samples import Trials
from brainreel.errors import DataError
from brainreel.models.picture_ridge import PictureRidgeConfig
from brainreel.train.first_guess import FirstGuess

RIDGE = PictureRidgeConfig(n_components=(2, 6), alphas=(1.0, 30.0), n_folds=3)


def trials(n: int = 24, people: int = 1) -> Trials:
    """Every picture is seen twice in a row; voxels are mixtures of its pixels."""
    rng = np.random.default_rng(0)
    pictures = np.repeat(rng.uniform(size=(n // 2, 1, 3, 4)), 2, axis=0).astype(np.float32)
    voxels = pictures.reshape(n, -1) @ rng.normal(size=(12, 9)) + 0.3 * rng.normal(size=(n, 9))
    names = tuple(f"sub-{i + 1:02d}" for i in range(people))
    person = np.arange(n) // (n // people)
    return Trials(voxels.astype(np.float32), pictures, None, (), names, person=person)


def test_new_trials_are_guessed_by_ridge_person_by_person() -> None:
    data = trials(48, people=2)
    rows = [0, 1, 2, 5, 6, 9, 24, 25, 26, 30, 40, 41]
    guess = FirstGuess.fit(RIDGE, data, rows, seed=4)
    assert set(guess.models) == {"sub-01", "sub-02"}
    again = FirstGuess.from_state(RIDGE, data, guess.state())
    asked = [33, 3, 7, 44]
    found = again.guesses(asked)
    for place, trial in enumerate(asked):
        own = guess.models[data.subjects[data.person[trial]]]
        np.testing.assert_allclose(found[place], own.predict(data.voxels[[trial]])[0], atol=1e-6)


def test_a_training_trial_is_guessed_without_all_trials_of_its_picture() -> None:
    data = trials()
    rows = list(range(20))
    guess = FirstGuess.fit(RIDGE, data, rows, seed=0)
    found = guess.unseen(rows, 100, seed=0)  # as many parts as there are pictures
    whole = guess.models["sub-01"].fitted
    fixed = PictureRidgeConfig(n_components=(len(whole.components),), alphas=(float(whole.alpha),))
    assert data.pictures is not None
    pictures = np.asarray(data.pictures)
    for trial in rows:
        others = [t for t in rows if t // 2 != trial // 2]
        alone = fixed.build(data.spec())
        alone.fit(data.voxels[others], pictures[others], rng=np.random.default_rng(0))
        np.testing.assert_allclose(found[trial], alone.predict(data.voxels[[trial]])[0], atol=1e-5)


def test_guesses_of_training_trials_are_as_wrong_as_those_of_new_ones() -> None:
    data = trials(160)
    rows, new = list(range(100)), list(range(100, 160))
    guess = FirstGuess.fit(RIDGE, data, rows, seed=0)
    assert data.pictures is not None
    pictures = np.asarray(data.pictures)

    def error(found: np.ndarray, of: list[int]) -> float:
        return float(np.mean((found - pictures[of]) ** 2))

    unseen = error(guess.unseen(rows, 10, seed=0), rows)
    assert unseen == pytest.approx(error(guess.guesses(new), new), rel=0.25)
    assert error(guess.guesses(rows), rows) < 0.95 * unseen


def test_imitated_guesses_are_as_wrong_as_those_of_pictures_that_were_seen() -> None:
    data = trials(400)
    rows, new = list(range(200)), list(range(200, 400))
    guess = FirstGuess.fit(RIDGE, data, rows, seed=0)
    assert data.pictures is not None
    pictures = np.asarray(data.pictures)
    unseen = guess.unseen(rows, 20, seed=0)
    found = guess.imitated(pictures[new], rows, unseen, seed=3)
    real = guess.guesses(new)
    wrong = np.mean((real - pictures[new]) ** 2)
    assert np.mean((found - pictures[new]) ** 2) == pytest.approx(wrong, rel=0.2)
    assert np.mean((found - real) ** 2) < np.mean((found[::-1] - real) ** 2)
    np.testing.assert_array_equal(found, guess.imitated(pictures[new], rows, unseen, seed=3))
    assert (found != guess.imitated(pictures[new], rows, unseen, seed=4)).any()
    assert found.min() >= 0
    assert found.max() <= 1


def test_who_was_not_trained_and_single_trials_are_told() -> None:
    data = trials(24, people=2)
    guess = FirstGuess.fit(RIDGE, data, range(10), seed=0)
    with pytest.raises(DataError, match="sub-02: took no part in training"):
        guess.guesses([20])
    with pytest.raises(DataError, match="sub-02: a first guess needs 2 training trials"):
        FirstGuess.fit(RIDGE, data, [*range(10), 20], seed=0)
    with pytest.raises(DataError, match="2 different training pictures"):
        guess.unseen([2, 3], 4, seed=0)
    with pytest.raises(DataError, match="needs pictures; the data has none"):
        FirstGuess.fit(RIDGE, replace(data, pictures=None), range(10), seed=0)
