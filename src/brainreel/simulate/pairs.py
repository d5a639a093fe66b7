"""Film set `pairs`: the class is a pairing of what moves how and what sounds how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from brainreel.simulate.drift import DRIFTS, draw_drift
from brainreel.simulate.film_set import FilmSetConfig, Progress, ShortFilm, write_film_set
from brainreel.simulate.glides import GLIDES, draw_glide
from brainreel.simulate.pair_table import PairTable

_SAMPLE_RATE_HZ = 16000


class PairsConfig(FilmSetConfig):
    """A set whose class needs both senses; the defaults are made in half a minute."""

    n_train: int = Field(2048, ge=1)
    """Films to learn from: enough that a small network reaches the ceilings and stays there."""
    label_noise: float = Field(0.02, ge=0, le=1)
    """Share of films whose class is drawn at random, so that no model can be right on all."""


def simulate_pairs(
    out: Path, config: PairsConfig | None = None, *, progress: Progress | None = None
) -> dict[str, float]:
    """Write films of drifting textures with gliding tones; return the exact ceilings.

    Four motions and four sounds, all 16 pairs equally often, make eight classes (`CUBE`). One
    sense alone leaves four classes equally likely, and the two senses' evidence added up leaves
    two; both together tell the class.

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
        The best accuracies of `PairTable.ceilings`, as they stand in `truth.json`.

    Examples
    --------
    >>> PairTable().ceilings()
    {'chance': 0.125, 'picture': 0.25, 'sound': 0.25, 'late': 0.5, 'both': 1.0}
    """
    config = config or PairsConfig()
    table = PairTable(label_noise=config.label_noise)
    names = [f"pairing-{c + 1}" for c in range(table.n_classes)]
    motions, sounds = list(DRIFTS), list(GLIDES)

    def draw(index: int, rng: np.random.Generator) -> ShortFilm:
        motion, sound = table.cell(index)
        frames = draw_drift(
            DRIFTS[motions[motion]],
            config.n_frames,
            config.frame_size,
            rng,
            frame_rate_hz=config.frame_rate_hz,
            noise=config.pixel_noise,
        )
        duration_s = config.n_frames / config.frame_rate_hz
        samples = draw_glide(GLIDES[sounds[sound]], duration_s, _SAMPLE_RATE_HZ, rng)
        known = {"motion": motions[motion], "sound": sounds[sound]}
        return ShortFilm(names[table.draw(motion, sound, rng)], known, frames, samples)

    ceilings = table.ceilings()
    truth = {
        "set": "pairs",
        "ceilings": ceilings,
        "ceiling_of_senses": {
            "pictures": ceilings["picture"],
            "sound": ceilings["sound"],
            "pictures and sound": ceilings["both"],
        },
        "classes": names,
        "motions": motions,
        "sounds": sounds,
        "class_of_motion_and_sound": [[names[c] for c in row] for row in table.classes],
    }
    write_film_set(out, config, draw, truth, progress=progress)
    return ceilings
