"""Encoding model: any backbone, a vector for each TR, delayed, and read out for each person."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import DataError
from brainreel.layers.film_windows import FilmWindows
from brainreel.models.film_reader import FilmReader, FilmReaderOptions
from brainreel.shapes import DataSpec, check_shape


class EncodingConfig(FilmReaderOptions):
    """Film -> backbone -> TR features -> delays -> the voxels of each person."""

    name: Literal["encoding"] = "encoding"

    def build(self, spec: DataSpec) -> EncodingModel:
        """Return the network with fresh weights."""
        if not spec.subjects or spec.tr_s <= 0:
            raise DataError("the data has no people or no TR. An 'encoding' model needs both.")
        return EncodingModel(self, spec)


class EncodingModel(FilmReader):
    """y_p(t) = W_p [z(t), z(t-1), ..., z(t-delays)] + b_p, z(t) = P g(film up to and in TR t).

    z is what a `FilmReader` makes of the film, W_p the readout of person p: each voxel has its
    own haemodynamics.

    Attributes
    ----------
    context_trs
        TRs at the head of a window that are looked at, not predicted.
    n_voxels
        Voxels of each person.
    """

    def __init__(self, config: EncodingConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.subjects = spec.subjects
        self.n_voxels = spec.n_voxels
        delayed = self.width * (self.delay_trs + 1)
        self.readouts = nn.ModuleDict(
            {_key(who): nn.Linear(delayed, n) for who, n in spec.voxels_of.items()}
        )
        self.train()

    def forward(
        self,
        frames: Tensor | None,
        film: Tensor,
        subject: Tensor,
        shown: Tensor | None = None,
        sound: Tensor | None = None,
        frame_numbers: Tensor | None = None,
    ) -> Tensor:
        """Predict BOLD; a film window that several people saw is encoded once.

        Parameters
        ----------
        frames
            (U, T, F, C, H, W) uint8, or float in [0, 1]: U different film windows; None for a
            backbone that only listens.
        film
            (B,) which film window each row saw.
        subject
            (B,) which person each row is, as a position in `subjects`.
        shown
            (U, T) False at TRs before the run began; None if all were shown.
        sound
            (U, T, C, S, M) log-mel energies, for a backbone that listens.
        frame_numbers
            (U, T, F) numbers of the frames in their film.

        Returns
        -------
        Tensor
            (B, T - context_trs, V) with V the most voxels of a person; 0 beyond a person's own.
        """
        windows = FilmWindows(frames, sound, frame_numbers, shown)
        return self.read_out(self.delay(self.tr_features(windows)), film, subject)

    def read_out(self, delayed: Tensor, film: Tensor, subject: Tensor) -> Tensor:
        """(U, S, D') to (B, S, V) by the readout of each row's person."""
        n_rows = check_shape(film, "B", name="film")["B"]
        check_shape(subject, "B", name="subject", B=n_rows)
        delayed = self.dropout(delayed[film])
        most = max(self.n_voxels)
        rows: list[Tensor] = []
        values: list[Tensor] = []
        # People without a row take part with none, so that every rank has every gradient.
        for number, readout in enumerate(self.readouts.values()):
            mine = (subject == number).nonzero().squeeze(1)
            predicted = readout(delayed[mine])
            rows.append(mine)
            values.append(functional.pad(predicted, (0, most - predicted.shape[-1])))
        order = torch.cat(rows)
        if len(order) != n_rows:
            raise DataError(f"subject holds a number outside 0 to {len(self.subjects) - 1}.")
        return torch.cat(values)[order.argsort()]


def _key(subject: str) -> str:
    """A module name may hold no dot."""
    return subject.replace(".", "_")
