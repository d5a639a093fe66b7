"""BOLD of a film that nobody was scanned with: window by window, without seams."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainreel.data.known_people import Person
from brainreel.data.reference_images import ReferenceChoice
from brainreel.data.strips import FilmStrip, WindowsConfig, open_strip
from brainreel.errors import DataError
from brainreel.layers.film_windows import FilmWindows
from brainreel.shapes import Sense
from brainreel.stimulus.film import FilmInfo, probe_film
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """What is asked of a prediction beside its mean, and of whom.

    Attributes
    ----------
    subject
        Whose volumes; None where the reference tells.
    reference
        The image of the person, or None.
    samples
        Draws that are given one by one.
    spread
        Whether the deviation of each voxel is wanted.
    scratch
        Folder for intermediate files; to be removed afterwards.
    """

    subject: str | None
    reference: ReferenceChoice | None
    samples: int
    spread: bool
    scratch: Path


@dataclass(frozen=True, eq=False)
class PredictedTrs:
    """Some TRs of a prediction, (T, V) each, in deviations of each voxel.

    Attributes
    ----------
    mean
        The prediction.
    spread
        Its standard deviation, or None.
    samples
        Draws.
    """

    mean: Float32
    spread: Float32 | None = None
    samples: tuple[Float32, ...] = ()


@dataclass(frozen=True, eq=False)
class FilmPredictor:
    """A fitted model and a person, ready for any film.

    Attributes
    ----------
    person
        Whose volumes are predicted.
    tr_s
        Repetition time in seconds.
    windows
        How the fit cut its films.
    senses
        What of a film is taken in.
    context_trs
        TRs of film before a TR's own that its prediction depends on; on no other does it.
    predict
        Film of the context and some TRs, and the number of the first of these TRs in the film, to
        the prediction of these TRs. It does not depend on where windows are cut.
    told
        What a reader of the images must know, by the names of sidecars.
    cache
        Folder of decoded films, or None.
    """

    person: Person
    tr_s: Fraction
    windows: WindowsConfig
    senses: frozenset[Sense]
    context_trs: int
    predict: Callable[[FilmWindows, int], PredictedTrs]
    told: Mapping[str, Any] = field(default_factory=dict)
    cache: Path | None = None

    def grid(self, film: Path, n_volumes: int | None, film_start_s: Fraction) -> TrGrid:
        """Return the TRs that are predicted: those of the film, or the first of them.

        Parameters
        ----------
        film
            The film; it is read once, to find a truncated one before any work.
        n_volumes
            How many; None for all that show some of the film.
        film_start_s
            Time at which the film begins, in seconds after the onset of the first volume.

        Raises
        ------
        DataError
            If the film cannot be read, lacks a sense that the model needs, is shorter than what a
            prediction depends on, or has fewer TRs than are asked for.
        """
        info = probe_film(film)
        _check_senses(info, self.senses)
        # The last TR may show the film in part.
        until_s = info.duration_s + film_start_s
        in_film = math.ceil(until_s / self.tr_s)
        if in_film <= self.context_trs:
            later = ", or a later --film-start-s" if film_start_s < 0 else ""
            raise DataError(
                f"{film}: ends {float(until_s):.1f} s after the first volume's onset, and a "
                f"prediction depends on the {float(self.context_trs * self.tr_s):.1f} s of film "
                f"before it. Give a longer film{later}."
            )
        if n_volumes is not None and not 1 <= n_volumes <= in_film:
            raise DataError(
                f"{film}: {n_volumes} volumes cannot be predicted; it shows {in_film} TRs of "
                f"{float(self.tr_s):g} s. Give --volumes from 1 to {in_film}."
            )
        return TrGrid.of_scan(self.tr_s, n_volumes or in_film, film_start_s=film_start_s)

    def strip(self, film: Path, grid: TrGrid, scratch: Path) -> FilmStrip:
        """Decode a film to a file, and place it in the TRs."""
        return open_strip(film, grid, self.windows, self.cache or scratch, self.senses)

    def predicted(
        self, strip: FilmStrip, n_trs: int, *, window_trs: int | None = None
    ) -> Iterator[PredictedTrs]:
        """Yield the prediction of TRs 0 to `n_trs`, window after window.

        Each window is shown with the TRs of context before it, so that neighbouring windows
        overlap by those and the predictions have no seams. Nothing is kept from one window to the
        next: memory does not grow with the film.

        Parameters
        ----------
        strip
            The film on the grid of those TRs.
        n_trs
            TRs to predict.
        window_trs
            TRs of a window; by default as many as in training.
        """
        step = window_trs or self.windows.window_trs
        for start in range(0, n_trs, step):
            stop = min(start + step, n_trs)
            held, shown = strip.window(
                slice(start, stop), n_before=self.context_trs, n_trs=stop - start
            )
            film = FilmWindows(
                shown=torch.from_numpy(shown)[None],
                **{name: torch.from_numpy(values)[None] for name, values in held.items()},
            )
            with torch.no_grad():
                yield self.predict(film, start)


def _check_senses(info: FilmInfo, senses: frozenset[Sense]) -> None:
    if "pictures" in senses and not info.has_pictures:
        raise DataError(f"{info.path}: the film has no pictures, and the model sees. Give a film.")
    if "sound" in senses and not info.has_sound:
        raise DataError(
            f"{info.path}: the film has no sound, and the model hears. Give a film with sound, or "
            "a run of a model that only sees."
        )
