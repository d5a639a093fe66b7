"""Film set `motion`: the class is how a texture drifts, which frames too far apart cannot tell."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from pydantic import Field

from brainreel.simulate.drift import DRIFTS, draw_drift, told_apart
from brainreel.simulate.film_set import FilmSetConfig, Progress, ShortFilm, write_film_set
from brainreel.timebase import exact


class MotionConfig(FilmSetConfig):
    """A silent set whose class is in neighbouring frames; made in a quarter of a minute."""

    duration_s: float = Field(2.0, gt=0)
    """Length of a film in seconds; whole seconds hold whole periods of every motion."""


def simulate_motion(
    out: Path, config: MotionConfig | None = None, *, progress: Progress | None = None
) -> dict[str, float]:
    """Write films of drifting textures whose class is the drift; return the exact ceilings.

    Four drifts: to the right or left, slowly or quickly. Network tokens of one frame each that
    lie n frames apart tell them no better than `told_apart` says, whatever is done with them
    afterwards: at 8 frames a second 1 for n = 1, 1/2 for n = 2, and chance, 1/4, for n = 4, 8, 16.

    Parameters
    ----------
    out
        The folder to make; see `write_film_set`.
    config
        Sizes and noise; the default set without.
    progress
        Called with (part, films done, films in all).

    Returns
    -------
    dict
        `chance`, `whole` (all frames), and `frames_<n>_apart` for n = 1, 2, 4, ... up to the
        length of a film.
    """
    config = config or MotionConfig()
    names = list(DRIFTS)

    def draw(index: int, rng: np.random.Generator) -> ShortFilm:
        name = names[index % len(names)]
        frames = draw_drift(
            DRIFTS[name],
            config.n_frames,
            config.frame_size,
            rng,
            frame_rate_hz=config.frame_rate_hz,
            noise=config.pixel_noise,
        )
        return ShortFilm(name, {"motion": name}, frames)

    ceilings = motion_ceilings(config)
    seen = {"pictures": ceilings["whole"], "pictures and sound": ceilings["whole"]}
    truth = {
        "set": "motion",
        "ceilings": ceilings,
        "ceiling_of_senses": {**seen, "sound": ceilings["chance"]},
        "classes": names,
    }
    write_film_set(out, config, draw, truth, progress=progress)
    return ceilings


def motion_ceilings(config: MotionConfig) -> dict[str, float]:
    """Return the best accuracies from frames 1, 2, 4, ... apart; one frame alone gives chance."""
    rate, drifts = exact(config.frame_rate_hz), DRIFTS.values()
    ceilings = {"chance": 1 / len(DRIFTS), "whole": float(told_apart(drifts, 1 / rate))}
    apart = 1
    while apart < config.n_frames:
        ceilings[f"frames_{apart}_apart"] = float(told_apart(drifts, Fraction(apart) / rate))
        apart *= 2
    return ceilings
