"""Windows of film paired with the BOLD of all people who saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from brainreel.data.samples import Fold, Segment, Series
from brainreel.data.strips import FilmStrip
from brainreel.errors import DataError

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """The TRs [start_tr, stop_tr) of a film strip, and the recordings whose BOLD they predict.

    Attributes
    ----------
    strip
        Which film strip (same film, same clock).
    start_tr, stop_tr
        Predicted TRs; context TRs before `start_tr` are shown, not predicted.
    recordings
        Positions of the recordings, one a person.
    """

    strip: int
    start_tr: int
    stop_tr: int
    recordings: tuple[int, ...]


def plan_windows(
    segments: Sequence[Segment],
    strip_of: Sequence[int],
    window_trs: int,
    *,
    context_trs: int,
    own_context: bool,
) -> tuple[Window, ...]:
    """Cut segments into windows; people who saw the same TRs of the same strip share a window.

    Parameters
    ----------
    segments
        Parts of recordings.
    strip_of
        Film strip of each recording.
    window_trs
        Predicted TRs of a window; the last of a segment may be shorter.
    context_trs
        TRs that the model looks back.
    own_context
        True for training: the film before a segment may belong to the test, so the first
        `context_trs` TRs of a segment that begins inside a run are not predicted but serve as
        context. False for prediction: every TR of the segment is predicted.

    Returns
    -------
    tuple of Window
        In order of strip and time.

    Raises
    ------
    DataError
        If no TR is left to predict.
    """
    people: dict[tuple[int, int, int], list[int]] = {}
    for segment in segments:
        skipped = context_trs if own_context and segment.start_tr > 0 else 0
        for start in range(segment.start_tr + skipped, segment.stop_tr, window_trs):
            stop = min(start + window_trs, segment.stop_tr)
            place = (strip_of[segment.recording], start, stop)
            people.setdefault(place, []).append(segment.recording)
    if segments and not people:
        raise DataError(
            f"no segment is longer than the {context_trs} TRs of context before a prediction. "
            "Use longer segments, or a shorter hrf_window_s."
        )
    return tuple(Window(*place, tuple(people[place])) for place in sorted(people))


@dataclass
class WindowBatch:
    """Windows side by side. Not frozen: Lightning moves it by rebuilding it field by field.

    Attributes
    ----------
    shown
        (U, T) False at TRs before the run or after its end.
    film
        (B,) the film window of each row.
    subject
        (B,) the person of each row, as a position in the spec's subjects.
    bold
        (B, S, V) BOLD in standard deviations of the training part; 0 where padded.
    counted
        (B, S, V) True at a person's own voxels and a window's own TRs.
    frames
        (U, T, F, C, H, W) uint8: U different film windows of context + predicted TRs. None where
        the network only listens.
    frame_numbers
        (U, T, F) int64 numbers of the frames in their film.
    sound
        (U, T, 1, S, M) log-mel energies; None where the network only sees.
    """

    shown: Tensor
    film: Tensor
    subject: Tensor
    bold: Tensor
    counted: Tensor
    frames: Tensor | None = None
    frame_numbers: Tensor | None = None
    sound: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> WindowBatch:
        """Return the batch on another device."""
        held = [getattr(self, item.name) for item in fields(self)]
        moved: list[Any] = [v if v is None else v.to(*args, **kwargs) for v in held]
        return WindowBatch(*moved)

    def inputs(self) -> dict[str, Tensor | None]:
        """Return what the model is called with."""
        return {
            "frames": self.frames,
            "film": self.film,
            "subject": self.subject,
            "shown": self.shown,
            "sound": self.sound,
            "frame_numbers": self.frame_numbers,
        }


class WindowDataset(Dataset[WindowBatch]):
    """Film windows with the BOLD of their people; item i is a batch of one window.

    Parameters
    ----------
    windows
        From `plan_windows`.
    strips
        The film strips.
    bold
        (T, V) BOLD of each recording in standard deviations of the training part.
    subject_of
        Position of each recording's person in `n_voxels`.
    n_voxels
        Voxels of each person.
    window_trs, context_trs
        Predicted TRs and those before them.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        strips: Sequence[FilmStrip],
        bold: Mapping[int, Float32],
        subject_of: Sequence[int],
        n_voxels: Sequence[int],
        *,
        window_trs: int,
        context_trs: int,
    ) -> None:
        self.windows, self.strips, self.bold = tuple(windows), strips, bold
        self.subject_of, self.n_voxels = tuple(subject_of), tuple(n_voxels)
        self.window_trs, self.context_trs = window_trs, context_trs

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> WindowBatch:
        """Return window `index`; `~index` is the same window with nothing that counts."""
        copy = index < 0
        window = self.windows[~index if copy else index]
        strip = self.strips[window.strip]
        trs = slice(window.start_tr, window.stop_tr)
        held, shown = strip.window(trs, n_before=self.context_trs, n_trs=self.window_trs)
        people = window.recordings
        bold = np.zeros((len(people), self.window_trs, max(self.n_voxels)), np.float32)
        counted = np.zeros(bold.shape, np.bool_)
        for row, recording in enumerate(people):
            signal = self.bold[recording][window.start_tr : window.stop_tr]
            bold[row, : signal.shape[0], : signal.shape[1]] = signal
            counted[row, : signal.shape[0], : signal.shape[1]] = not copy
        return WindowBatch(
            shown=torch.from_numpy(shown)[None],
            film=torch.zeros(len(people), dtype=torch.long),
            subject=torch.tensor([self.subject_of[r] for r in people]),
            bold=torch.from_numpy(bold),
            counted=torch.from_numpy(counted),
            **{name: torch.from_numpy(values)[None] for name, values in held.items()},
        )


def collate_windows(items: Sequence[WindowBatch]) -> WindowBatch:
    """Join batches of one window; each row keeps pointing at its own film window."""
    joined = {
        item.name: torch.cat([getattr(batch, item.name) for batch in items])
        for item in fields(WindowBatch)
        if getattr(items[0], item.name) is not None
    }
    joined["film"] = torch.cat([item.film + number for number, item in enumerate(items)])
    return WindowBatch(**joined)


def train_segments_of(series: Series, fold: Fold) -> dict[str, list[Segment]]:
    """Return the training segments of each person, refusing one who is tested without any.

    A readout, and the mean and deviation of a voxel, can only be learned from a person's own
    training data. People who take no part in the fold are left out.
    """
    by_person: dict[str, list[Segment]] = {}
    for segment in fold.train:
        who = series.recordings[segment.recording].subject
        by_person.setdefault(who, []).append(segment)
    for segment in fold.validation + fold.test:
        who = series.recordings[segment.recording].subject
        if who not in by_person:
            raise DataError(
                f"{who} has no training data in this fold, and a readout cannot be learned "
                "without. Split by film instead, or leave the person out with data.subjects."
            )
    return by_person
