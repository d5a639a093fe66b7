"""Windows of volumes as batches, written straight from disk into their place in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from brainreel.data.loading import Draw, mixed_seed
from brainreel.data.recorded_volumes import RecordedVolumes
from brainreel.data.strips import FilmStrip
from brainreel.data.volume_references import References
from brainreel.data.volume_windows import VolumeBatch, VolumeWindow
from brainreel.layers.film_windows import FilmWindows

_Row = tuple[VolumeWindow, int, bool, int]  # window, recording, does it count, seed of its draws


class VolumeDataset(Dataset[VolumeBatch]):
    """Windows of volumes; several at once are one batch, in memory that is taken once.

    Parameters
    ----------
    windows
        From `plan_training` or `plan_prediction`.
    volumes
        The recordings as volumes.
    subject_of
        Position of each recording's person in the spec.
    window_trs
        Volumes T of a window.
    strips
        Film strips; empty without film.
    context_trs
        TRs of film before the volumes.
    references
        Where reference volumes come from; None for none.
    seed
        Seed of training, in which windows move and references are drawn; None otherwise.
    stride_trs
        TRs over which training windows move, from epoch to epoch.
    """

    def __init__(
        self,
        windows: Sequence[VolumeWindow],
        volumes: RecordedVolumes,
        subject_of: Sequence[int],
        *,
        window_trs: int,
        strips: Sequence[FilmStrip] = (),
        context_trs: int = 0,
        references: References | None = None,
        seed: int | None = None,
        stride_trs: int = 1,
    ) -> None:
        self.windows, self.volumes, self.subject_of = tuple(windows), volumes, tuple(subject_of)
        self.window_trs, self.context_trs = window_trs, context_trs
        self.strips, self.references, self.seed = strips, references, seed
        self.offsets = [0]
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            self.offsets = torch.randperm(stride_trs, generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, draw: Draw | int) -> VolumeBatch:
        """Return one window as a batch; `~index` is the same window with nothing that counts."""
        return self.__getitems__([draw])

    def __getitems__(self, draws: Sequence[Draw | int]) -> VolumeBatch:
        """Return the batch of several windows."""
        rows = [row for draw in draws for row in self._rows(draw)]
        x, y, z = (side.stop - side.start for side in self.volumes.box)
        # numpy asks the system for large pages, torch does not: four times faster on this much.
        views = np.empty((len(rows), self.window_trs, 2, x, y, z), np.float32)
        counted = torch.zeros(len(rows), self.window_trs, dtype=torch.bool)
        inside = torch.empty(len(rows), x, y, z, dtype=torch.bool)
        for place, (window, recording, counts, _) in enumerate(rows):
            self._write(views[place], window, recording)
            inside[place] = torch.from_numpy(self.volumes.mask(recording).inside)
            first, last = window.counted_tr - window.start_tr, window.stop_tr - window.start_tr
            counted[place, first:last] = counts
        film, row = self._film([window for window, *_ in rows])
        return VolumeBatch(
            views=torch.from_numpy(views),
            inside=inside,
            counted=counted,
            subject=torch.tensor([self.subject_of[recording] for _, recording, *_ in rows]),
            recording=torch.tensor([recording for _, recording, *_ in rows]),
            start_tr=torch.tensor([window.start_tr for window, *_ in rows]),
            row=row,
            film=film,
            reference=self._reference(rows),
        )

    def _rows(self, draw: Draw | int) -> list[_Row]:
        """Return the people of a window, each with a seed that epoch and window alone decide."""
        index, epoch = draw if isinstance(draw, tuple) else (draw, 0)
        counts = index >= 0
        number = index if counts else ~index
        window = self.windows[number]
        if self.seed is not None:
            window = window.moved(self.offsets[epoch % len(self.offsets)])
        seed = 0 if self.seed is None else self.seed
        return [
            (window, recording, counts, mixed_seed(seed, epoch, number, place))
            for place, recording in enumerate(window.recordings)
        ]

    def _write(self, views: NDArray[Any], window: VolumeWindow, recording: int) -> None:
        n_trs = window.stop_tr - window.start_tr
        data = self.volumes.data(recording)[window.start_tr : window.stop_tr]
        self.volumes.views(recording).write(data, views[:n_trs])
        views[n_trs:] = views[n_trs - 1]

    def _reference(self, rows: Sequence[_Row]) -> Tensor | None:
        if self.references is None:
            return None
        found = []
        for window, recording, _, seed in rows:
            trs = window.start_tr, window.stop_tr
            if self.seed is None:
                found.append(self.references.fixed(recording, *trs))
            else:
                rng = np.random.default_rng(seed)
                found.append(self.references.drawn(recording, *trs, rng))
        return torch.from_numpy(np.stack(found))

    def _film(self, windows: Sequence[VolumeWindow]) -> tuple[FilmWindows | None, Tensor]:
        """Return the different windows of film, and which of them each row belongs to."""
        if not self.strips:
            return None, torch.zeros(len(windows), dtype=torch.long)
        places = [(window.strip, window.start_tr, window.stop_tr) for window in windows]
        order = list(dict.fromkeys(places))
        cut = [
            self.strips[strip].window(
                slice(start, stop), n_before=self.context_trs, n_trs=self.window_trs
            )
            for strip, start, stop in order
        ]
        held = {name: np.stack([parts[name] for parts, _ in cut]) for name in cut[0][0]}
        film = FilmWindows(
            shown=torch.from_numpy(np.stack([shown for _, shown in cut])),
            **{name: torch.from_numpy(values) for name, values in held.items()},
        )
        return film, torch.tensor([order.index(place) for place in places])


def as_loaded(batch: VolumeBatch) -> VolumeBatch:
    """Return a batch as the data set has made it: nothing is left to join."""
    return batch
