"""A set of short labelled films on disk: the films, their lists, and the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.errors import DataError
from brainreel.files import new_folder, read_json, write_aside, write_json, write_text
from brainreel.simulate.drift import FRAME_RATE_HZ
from brainreel.simulate.film import write_film

Progress = Callable[[str, int, int], None]

TRUTH_FILE = "truth.json"
FILMS_FOLDER = "films"


class FilmSetConfig(Config):
    """Sizes of a set of short films."""

    n_train: int = Field(1024, ge=1)
    """Films to learn from."""
    n_validation: int = Field(256, ge=1)
    """Films to choose settings and the epoch by."""
    n_test: int = Field(512, ge=1)
    """Films to score: the standard error of an accuracy is at most 2.2 %."""
    duration_s: float = Field(1.0, gt=0)
    """Length of a film in seconds; whole seconds hold whole periods of every motion and sound."""
    frame_size: tuple[int, int] = (32, 32)
    """Height and width of a frame in pixels, both even."""
    frame_rate_hz: float = Field(FRAME_RATE_HZ, gt=6)
    """Frames per second; more than twice the highest temporal frequency, 3 per second."""
    pixel_noise: float = Field(0.03, ge=0, le=1)
    """Standard deviation of the noise of each pixel in each frame, of values in [0, 1]."""
    seed: int = Field(0, ge=0)
    """Draws everything."""

    @property
    def n_frames(self) -> int:
        """Frames of a film."""
        return round(self.duration_s * self.frame_rate_hz)

    @property
    def parts(self) -> dict[str, int]:
        """Number of films of each part."""
        return {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}


@dataclass(frozen=True, eq=False)
class ShortFilm:
    """One film before it is encoded.

    Attributes
    ----------
    label
        Name of its class.
    known
        What else is known of it, for the truth.
    frames
        (F, H, W, 3) uint8.
    samples
        (S,) float32 sound at 16 kHz, None for a silent film.
    """

    label: str
    known: Mapping[str, Any]
    frames: NDArray[np.uint8]
    samples: NDArray[np.float32] | None = None


def write_film_set(
    out: Path,
    config: FilmSetConfig,
    draw: Callable[[int, np.random.Generator], ShortFilm],
    truth: Mapping[str, Any],
    *,
    progress: Progress | None = None,
) -> None:
    """Draw and write all films, `train.csv`, `validation.csv`, `test.csv` and `truth.json`.

    The lists are in the style of Kinetics: path, label, start, end (seconds).

    Parameters
    ----------
    out
        The folder to make; it must not hold anything. It appears when all is written.
    config
        Sizes and seed.
    draw
        Makes film i of a part from i and a generator of its own.
    truth
        What is known of the whole set; what is known of each film is added under `films`.
    progress
        Called with (part, films done, films in all).

    Raises
    ------
    OutputError
        If the folder is in use or cannot be written.
    DataError
        If a film would have no two frames, or frames of an odd size.
    """
    if config.n_frames < 2:
        raise DataError(
            f"a film of {config.duration_s:g} s at {config.frame_rate_hz:g} frames a second shows "
            "no motion. Give a longer duration_s."
        )
    new_folder(out).rmdir()
    report = progress or (lambda *_: None)
    n_films, done = sum(config.parts.values()), 0
    known: dict[str, Any] = {}
    with write_aside(Path(out)) as root:
        for number, (part, count) in enumerate(config.parts.items()):
            lines = ["path,label,start,end"]
            for index in range(count):
                report(part, done, n_films)
                film = draw(index, np.random.default_rng([config.seed, number, index]))
                path = f"{FILMS_FOLDER}/{part}-{index:05d}.mp4"
                write_film(
                    root / path,
                    film.frames,
                    film.samples,
                    frame_rate_hz=config.frame_rate_hz,
                    size=config.frame_size,
                )
                lines.append(f"{path},{film.label},0,{config.duration_s:g}")
                known[path] = {"label": film.label, **film.known}
                done += 1
            write_text(root / f"{part}.csv", "\n".join(lines) + "\n")
        write_json(root / TRUTH_FILE, {**truth, "config": config.to_dict(), "films": known})
    report("done", n_films, n_films)


def read_set_truth(root: Path) -> dict[str, Any]:
    """Read what is known of a simulated set of films; for scoring, never for fitting.

    Raises
    ------
    DataError
        If the folder is no simulated set of films.
    """
    truth: Any = read_json(Path(root) / TRUTH_FILE)
    for part in ("ceilings", "ceiling_of_senses", "films"):
        if not isinstance(truth, dict) or not isinstance(truth.get(part), dict):
            raise DataError(
                f"{root}: no simulated set of films, or of another version: {TRUTH_FILE} has no "
                f"{part}. Make it again by brainreel simulate --what pairs or motion."
            )
    return dict(truth)
