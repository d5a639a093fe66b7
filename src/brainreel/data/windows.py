"""Windows of film paired with the BOLD of all people who saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from brainreel.config import Config
from brainreel.data.samples import Segment, Series
from brainreel.errors import DataError

Float32 = NDArray[np.float32]


class WindowsConfig(Config):
    """How films are cut into windows for a network."""

    frames_per_tr: int = Field(4, ge=1)
    """Film frames shown to the network in each TR, at the middle of equal steps."""
    height: int = Field(32, ge=1)
    """Height in pixels to which frames are resized."""
    width: int = Field(32, ge=1)
    """Width in pixels to which frames are resized."""
    window_trs: int = Field(16, ge=2)
    """Predicted TRs in one window; the TRs of context come before them."""
    batch_windows: int = Field(4, ge=1)
    """Different film windows per batch and device; each brings all people who saw it."""
    n_workers: int = Field(0, ge=0)
    """Processes that load windows; 0 loads in the main process, enough for memory-mapped frames."""


@dataclass(frozen=True, eq=False)
class FilmStrip:
    """The frames of a film, and which of them each TR shows.

    Attributes
    ----------
    frames
        (N, C, H, W) uint8, all stored frames, memory-mapped.
    index
        (T, F) which of them are shown in each TR.
    """

    frames: NDArray[np.uint8]
    index: NDArray[np.int64]

    def part(self, start_tr: int, stop_tr: int) -> NDArray[np.uint8]:
        """Return the (T, F, C, H, W) frames of the TRs [start_tr, stop_tr)."""
        return np.asarray(self.frames[self.index[start_tr:stop_tr]])


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
    frames
        (U, T, F, C, H, W) uint8: U different film windows of context + predicted TRs.
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
    """

    frames: Tensor
    shown: Tensor
    film: Tensor
    subject: Tensor
    bold: Tensor
    counted: Tensor

    def to(self, *args: Any, **kwargs: Any) -> WindowBatch:
        """Return the batch on another device."""
        moved = (getattr(self, item.name).to(*args, **kwargs) for item in fields(self))
        return WindowBatch(*moved)

    def inputs(self) -> dict[str, Tensor]:
        """Return what the model is called with."""
        return {
            "frames": self.frames,
            "film": self.film,
            "subject": self.subject,
            "shown": self.shown,
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
        frames, shown = self._film(window)
        people = window.recordings
        bold = np.zeros((len(people), self.window_trs, max(self.n_voxels)), np.float32)
        counted = np.zeros(bold.shape, np.bool_)
        for row, recording in enumerate(people):
            signal = self.bold[recording][window.start_tr : window.stop_tr]
            bold[row, : signal.shape[0], : signal.shape[1]] = signal
            counted[row, : signal.shape[0], : signal.shape[1]] = not copy
        return WindowBatch(
            frames=torch.from_numpy(frames)[None],
            shown=torch.from_numpy(shown)[None],
            film=torch.zeros(len(people), dtype=torch.long),
            subject=torch.tensor([self.subject_of[r] for r in people]),
            bold=torch.from_numpy(bold),
            counted=torch.from_numpy(counted),
        )

    def _film(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return (T, F, C, H, W) frames of context and window, and which TRs were shown."""
        strip = self.strips[window.strip]
        first = window.start_tr - self.context_trs
        head = max(0, -first)
        part = strip.part(first + head, window.stop_tr)
        frames = np.zeros((self.context_trs + self.window_trs, *part.shape[1:]), np.uint8)
        frames[head : head + len(part)] = part
        shown = np.zeros(len(frames), np.bool_)
        shown[head : head + len(part)] = True
        return frames, shown


def collate_windows(items: Sequence[WindowBatch]) -> WindowBatch:
    """Join batches of one window; each row keeps pointing at its own film window."""
    joined = {
        name: torch.cat([getattr(item, name) for item in items])
        for name in ("frames", "shown", "subject", "bold", "counted")
    }
    film = torch.cat([item.film + number for number, item in enumerate(items)])
    return WindowBatch(film=film, **joined)


def train_segments_of(series: Series, segments: Sequence[Segment]) -> dict[str, list[Segment]]:
    """Return the segments of each person, refusing a person without any.

    A readout, and the mean and deviation of a voxel, can only be learned from a person's own
    training data.
    """
    by_person: dict[str, list[Segment]] = {who: [] for who in series.subjects}
    for segment in segments:
        by_person[series.recordings[segment.recording].subject].append(segment)
    for who, mine in by_person.items():
        if not mine:
            raise DataError(
                f"{who} has no training data in this fold, and a readout cannot be learned "
                "without. Split by film instead, or leave the person out with data.subjects."
            )
    return by_person
