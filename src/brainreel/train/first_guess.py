"""First guesses of pictures by ridge: of training trials, from fits that did not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import StoredPictures, number_equal
from brainreel.errors import DataError
from brainreel.models.picture_ridge import PictureRidge, PictureRidgeConfig

Float32 = NDArray[np.float32]
_GUESS = "guess/"
# Of imitated guesses: most principal components, and the penalty of their map as a share of the
# components' mean variance, so that a map of some hundred trials does not fit their noise.
_AXES, _SHRUNK = 60, 0.1
_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class FirstGuess:
    """Ridge from voxels to pictures for each person of some trials.

    Attributes
    ----------
    config
        Options of ridge.
    trials
        Voxels with their pictures.
    models
        One fitted ridge for each person's name.
    """

    config: PictureRidgeConfig
    trials: Trials
    models: Mapping[str, PictureRidge]

    @classmethod
    def fit(
        cls, config: PictureRidgeConfig, trials: Trials, rows: Sequence[int], seed: int
    ) -> FirstGuess:
        """Fit some trials, person by person.

        Raises
        ------
        DataError
            If a person has a single training trial.
        """
        models = {}
        for person, own in _people(trials, rows):
            if len(own) < 2:
                raise DataError(
                    f"{trials.subjects[person]}: a first guess needs 2 training trials or more. "
                    "Set model.first_guess=false, or leave the person out."
                )
            model = config.build(trials.spec())
            models[trials.subjects[person]] = model.fit(
                trials.own_voxels(person, own), _pictures(trials)[own], rng=_rng(seed, person)
            )
        return cls(config, trials, models)

    @classmethod
    def from_state(
        cls, config: PictureRidgeConfig, trials: Trials, state: Mapping[str, Float32]
    ) -> FirstGuess:
        """Take the fits that `state` wrote."""
        models = {}
        for name in trials.subjects:
            own = f"{_GUESS}{name}/"
            arrays = {k.removeprefix(own): v for k, v in state.items() if k.startswith(own)}
            if arrays:
                models[name] = config.build(trials.spec()).from_state(arrays)
        return cls(config, trials, models)

    def state(self) -> dict[str, Float32]:
        """Return the arrays of all fits by name."""
        return {
            f"{_GUESS}{who}/{name}": values
            for who, model in self.models.items()
            for name, values in model.state().items()
        }

    def guesses(self, rows: Sequence[int]) -> Float32:
        """Return (B, C, H, W) first guesses of some trials, in their order.

        Raises
        ------
        DataError
            If a person took no part in training.
        """
        found = np.zeros((len(rows), *_pictures(self.trials).shape[1:]), dtype=np.float32)
        places = np.asarray(rows, dtype=np.int64)
        for person, own in _people(self.trials, rows):
            who = self.trials.subjects[person]
            if who not in self.models:
                raise DataError(f"{who}: took no part in training, so there is no first guess.")
            own_guesses = self.models[who].predict(self.trials.own_voxels(person, own))
            found[self.trials.person[places] == person] = own_guesses
        return found

    def unseen(self, rows: Sequence[int], n_parts: int, seed: int) -> Float32:
        """Return (B, C, H, W) guesses of training trials, each from a fit without its picture.

        Trials are parted at random, those of one picture together; the number of components and
        the penalty stay those of the whole fit. So guesses of training trials are as wrong as
        those of new ones, and a network cannot learn to trust them too much.
        """
        found = np.zeros((len(rows), *_pictures(self.trials).shape[1:]), dtype=np.float32)
        places = np.asarray(rows, dtype=np.int64)
        for person, own in _people(self.trials, rows):
            whole = self.models[self.trials.subjects[person]].fitted
            fixed = {"n_components": [len(whole.components)], "alphas": [float(whole.alpha)]}
            chosen = PictureRidgeConfig.parse(self.config.to_dict() | fixed)
            voxels, pictures = self.trials.own_voxels(person, own), _pictures(self.trials)[own]
            part = _parts(pictures, n_parts, _rng(seed, person))
            guesses = np.zeros_like(pictures)
            for number in range(part.max() + 1):
                out = part == number
                model = chosen.build(self.trials.spec())
                model.fit(voxels[~out], pictures[~out], rng=_rng(seed, person))
                guesses[out] = model.predict(voxels[out])
            found[self.trials.person[places] == person] = guesses
        return found

    def imitated(
        self, pictures: Float32, rows: Sequence[int], unseen: Float32, seed: int
    ) -> Float32:
        """Return guesses of pictures that nobody saw, as ridge would make them if they were seen.

        g' = m + (p' - m) W^T M + r,  M = argmin |(G - m) - (P - m) W^T M|^2 + a |M|^2

        W are the principal components of the training pictures P, G what was guessed of them
        unseen, and r the residual of a training trial drawn at random: the guesses are as blurred,
        and as wrong, as those that a network meets.

        Parameters
        ----------
        pictures
            (N, C, H, W) in [0, 1].
        rows
            Training trials.
        unseen
            (B, C, H, W) guesses of them by `unseen`.
        seed
            Of the drawn residuals.
        """
        seen = np.asarray(_pictures(self.trials)[np.asarray(rows, np.int64)])
        true, guessed = (part.reshape(len(part), -1).astype(np.float64) for part in (seen, unseen))
        mean = true.mean(axis=0)
        _, sizes, axes = np.linalg.svd(true - mean, full_matrices=False)
        axes = axes[: min(_AXES, len(true) - 1)]
        scores = (true - mean) @ axes.T
        penalty = _SHRUNK * np.mean(sizes[: len(axes)] ** 2)
        kernel = scores.T @ scores + penalty * np.eye(len(axes))
        blur = np.linalg.solve(kernel, scores.T @ (guessed - mean))
        residuals = guessed - mean - scores @ blur
        drawn = np.random.default_rng([seed, 11]).integers(len(true), size=len(pictures))
        found = np.empty_like(pictures)
        for first in range(0, len(pictures), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            flat = pictures[part].reshape(len(pictures[part]), -1)
            made = mean + (flat - mean) @ axes.T @ blur + residuals[drawn[part]]
            found[part] = np.clip(made, 0, 1).reshape(pictures[part].shape)
        return found


def _parts(pictures: Float32, n_parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Number trials by the part that they are left out with; equal pictures share a part."""
    items = number_equal(pictures)
    n_items = int(items.max()) + 1
    if n_items < 2:
        raise DataError("a first guess needs 2 different training pictures or more.")
    order = rng.permutation(n_items) % min(n_parts, n_items)
    return np.asarray(order[items], dtype=np.int64)


def _people(trials: Trials, rows: Sequence[int]) -> list[tuple[int, NDArray[np.int64]]]:
    chosen = np.asarray(rows, dtype=np.int64)
    people = trials.person[chosen]
    return [(int(person), chosen[people == person]) for person in np.unique(people)]


def _pictures(trials: Trials) -> Float32 | StoredPictures:
    assert trials.pictures is not None  # ridge has asked for them
    return trials.pictures


def _rng(seed: int, person: int) -> np.random.Generator:
    return np.random.default_rng([seed, person, 7])
