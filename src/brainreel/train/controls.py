"""Negative controls of models that predict a brain from a film: what of the score is the film's?

Each withholds one thing and leaves all else as it was. A model that looks at the film loses its
score with `film_shuffled` and `film_noise`; one that looks at the person, with `reference_other`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainreel.data.strips import FilmStrip
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_references import next_person

Control = Literal["film_shuffled", "film_noise", "reference_other"]

# Different pictures, and steps of sound, of which noise is made: enough that none comes back soon.
_N_NOISE = 64
# Frames and steps from which the level and the deviation of a film are taken.
_N_SAMPLED = 200


def withhold(data: VolumeModule, control: Control, seed: int) -> None:
    """Change what a data module shows, in place.

    Parameters
    ----------
    data
        The module; it is set up, if it was not.
    control
        film_shuffled: the TRs of every film in random order; film_noise: white noise of each
        film's own level and deviation; reference_other: the volume of the next person.
    seed
        Of order and noise.
    """
    data.setup()
    if control == "reference_other":
        data.whose = next_person(data.spec.subjects)
        return
    change = shuffled if control == "film_shuffled" else replaced_by_noise
    rng = np.random.default_rng([seed, 9])
    data.strips = tuple(change(strip, rng) for strip in data.strips)


def shuffled(strip: FilmStrip, rng: np.random.Generator) -> FilmStrip:
    """Return a strip whose TRs come in random order, each with its own pictures and sound.

    The numbers of the frames stay those of the moment, so that a model that only counts them sees
    no change.
    """
    index, steps = strip.index, strip.steps
    n_trs = len(index if index is not None else _of(steps))
    order = rng.permutation(n_trs)
    return replace(
        strip,
        index=None if index is None else index[order],
        steps=None if steps is None else steps[order],
        numbers=_numbers(strip),
    )


def replaced_by_noise(strip: FilmStrip, rng: np.random.Generator) -> FilmStrip:
    """Return a strip of white noise with the mean and deviation of the film, sense by sense."""
    frames, index, sound, steps = strip.frames, strip.index, strip.sound, strip.steps
    if frames is not None and index is not None:
        seen = frames[np.linspace(0, len(frames) - 1, _N_SAMPLED).astype(int)]
        noise = rng.normal(seen.mean(), seen.std(), (_N_NOISE, *frames.shape[1:]))
        frames = np.clip(np.round(noise), 0, 255).astype(np.uint8)
        index = rng.integers(_N_NOISE, size=index.shape)
    if sound is not None and steps is not None:
        heard = sound[np.linspace(0, len(sound) - 1, _N_SAMPLED).astype(int)]
        noise = rng.normal(heard.mean(), heard.std(), (_N_NOISE, *sound.shape[1:]))
        sound = noise.astype(np.float32)
        steps = rng.integers(_N_NOISE, size=steps.shape)
    return FilmStrip(frames, index, sound, steps, _numbers(strip))


def _numbers(strip: FilmStrip) -> NDArray[np.int64] | None:
    """Return the numbers that the frames of a strip are told to have."""
    return strip.index if strip.numbers is None else strip.numbers


def _of(value: NDArray[np.int64] | None) -> NDArray[np.int64]:
    assert value is not None, "a strip has frames or sound"
    return value
