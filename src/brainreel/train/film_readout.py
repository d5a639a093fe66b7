"""A new film through a fitted encoding model: the mean BOLD of a person it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from brainreel.data.known_people import KnownPeople, Person
from brainreel.data.module import FilmModule
from brainreel.errors import DataError
from brainreel.fmri.normalize import Moments
from brainreel.layers.film_windows import FilmWindows
from brainreel.models.encoding import EncodingModel
from brainreel.train.film_prediction import Asked, PredictedTrs


@dataclass(eq=False)
class FilmReadout:
    """The readout of one person.

    Attributes
    ----------
    network
        On its device, in evaluation.
    row
        Position of the person among those of the network.
    n_voxels
        Their voxels.
    """

    network: EncodingModel
    row: int
    n_voxels: int

    def __call__(self, film: FilmWindows, start_tr: int) -> PredictedTrs:
        """Predict the TRs after the context of one window."""
        device = next(self.network.parameters()).device
        given = film.to(device)
        predicted = self.network(
            given.frames,
            torch.zeros(1, dtype=torch.long, device=device),
            torch.full((1,), self.row, device=device),
            shown=given.shown,
            sound=given.sound,
            frame_numbers=given.frame_numbers,
        )
        return PredictedTrs(predicted[0, :, : self.n_voxels].float().cpu().numpy())


def person_of(data: FilmModule, moments: Mapping[str, Moments], asked: Asked) -> Person:
    """Return the person whom a user names.

    Raises
    ------
    DataError
        If nobody is named, the fit does not know them, or what the model cannot give is asked.
    """
    if asked.reference is not None:
        raise DataError(
            "an encoding model predicts the people that it was fitted on, and takes no reference. "
            "Name one of them: --subject sub-01."
        )
    if asked.spread or asked.samples:
        raise DataError(
            "an encoding model predicts a mean alone; --samples and --spread need a run of task "
            "film_vae. Leave them out."
        )
    if asked.subject is None:
        raise DataError(f"whose BOLD? Give --subject, one of {', '.join(moments)}.")
    people = KnownPeople(data.series, data.fold.train, moments)
    return people.person(f"sub-{asked.subject.removeprefix('sub-')}")
