"""Sequences of brain volumes, with the film that was shown: which TRs belong to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from brainreel.data.samples import Segment
from brainreel.data.strips import WindowsConfig
from brainreel.errors import DataError
from brainreel.layers.film_windows import FilmWindows


class VolumeWindowsConfig(WindowsConfig):
    """How recordings are cut into sequences of brain volumes, and their films with them."""

    window_trs: int = Field(20, ge=1)
    """Volumes T in a sequence (published: 20; 1 learns single volumes)."""
    stride_trs: int | None = Field(None, ge=1)
    """TRs from one training sequence to the next; none: window_trs. Each epoch begins so many TRs
    later that all sequences there are come in turn."""
    batch_windows: int = Field(4, ge=1)
    """Sequences per batch and device, or film windows with all their people."""
    people_per_window: int = Field(1, ge=1)
    """People who saw one film window that share it in a batch, so that the network on film looks
    once for all of them."""
    crop: Literal["mask"] | None = "mask"
    """mask: volumes are cut to the smallest box that holds everybody's mask; none: the whole grid,
    as weights of another data set need it."""


@dataclass(frozen=True)
class VolumeWindow:
    """T volumes from `start_tr` on, the same TRs of one film strip for all `recordings`.

    Attributes
    ----------
    recordings
        Positions of the recordings, one a person.
    strip
        Which film strip (same film, same clock); 0 without film.
    start_tr, stop_tr
        The TRs; fewer than T where the segment is shorter.
    counted_tr
        First TR that counts: those before it count in the window before.
    latest_tr
        How far a training epoch may move the start.
    """

    recordings: tuple[int, ...]
    strip: int
    start_tr: int
    stop_tr: int
    counted_tr: int
    latest_tr: int

    def moved(self, offset: int) -> VolumeWindow:
        """Return the window that begins `offset` TRs later, or as late as it may."""
        by = min(offset, self.latest_tr - self.start_tr)
        start, stop = self.start_tr + by, self.stop_tr + by
        return VolumeWindow(self.recordings, self.strip, start, stop, start, self.latest_tr)


def plan_training(
    segments: Sequence[Segment],
    strip_of: Sequence[int],
    window_trs: int,
    *,
    stride_trs: int,
    context_trs: int,
    n_people: int,
) -> tuple[VolumeWindow, ...]:
    """Cut segments into windows that begin every `stride_trs` TRs and are whole.

    A window that `VolumeWindow.moved` moves by 0 .. stride_trs - 1 reaches every start there is,
    the last included. The film before a segment may belong to the test, so the first `context_trs`
    TRs of a segment that begins inside a run serve as context alone. A segment shorter than a
    window is one window.

    Parameters
    ----------
    segments
        Parts of recordings.
    strip_of
        Film strip of each recording.
    window_trs
        Volumes T of a window.
    stride_trs
        TRs from one start to the next.
    context_trs
        TRs of film that the model looks back.
    n_people
        Most people that share a window.

    Raises
    ------
    DataError
        If no TR is left to learn from.
    """
    starts = []
    for segment in segments:
        first = segment.start_tr + (context_trs if segment.start_tr > 0 else 0)
        latest = max(segment.stop_tr - window_trs, first)
        for start in range(first, min(latest + 1, segment.stop_tr), stride_trs):
            stop = min(start + window_trs, segment.stop_tr)
            place = (strip_of[segment.recording], start, stop, start, latest)
            starts.append((place, segment.recording))
    if segments and not starts:
        raise DataError(
            f"no segment is longer than the {context_trs} TRs of context before a window. Use "
            "longer segments, or a model that looks back less."
        )
    return _shared(starts, n_people)


def plan_prediction(
    segments: Sequence[Segment], strip_of: Sequence[int], window_trs: int, *, n_people: int
) -> tuple[VolumeWindow, ...]:
    """Cut segments so that every TR counts once; the last window begins earlier, to be whole."""
    starts = []
    for segment in segments:
        latest = max(segment.stop_tr - window_trs, segment.start_tr)
        for counted in range(segment.start_tr, segment.stop_tr, window_trs):
            start = min(counted, latest)
            stop = min(start + window_trs, segment.stop_tr)
            place = (strip_of[segment.recording], start, stop, counted, start)
            starts.append((place, segment.recording))
    return _shared(starts, n_people)


_Place = tuple[int, int, int, int, int]


def _shared(starts: Sequence[tuple[_Place, int]], n_people: int) -> tuple[VolumeWindow, ...]:
    """Let up to `n_people` who saw the same TRs of the same strip share a window."""
    people: dict[_Place, list[int]] = {}
    for place, recording in starts:
        people.setdefault(place, []).append(recording)
    return tuple(
        VolumeWindow(tuple(people[place][first : first + n_people]), *place)
        for place in sorted(people)
        for first in range(0, len(people[place]), n_people)
    )


@dataclass
class VolumeBatch:
    """Sequences of volumes. Not frozen: Lightning moves it by rebuilding it field by field.

    Attributes
    ----------
    views
        (B, T, 2, X, Y, Z) volumes, normalised over everything and voxel by voxel. In a segment
        shorter than T its last volume stands in for those that are missing.
    inside
        (B, X, Y, Z) True at a person's own voxels.
    counted
        (B, T) True at the volumes that count.
    subject
        (B,) the person of each row, as a position in the spec's subjects.
    recording, start_tr
        (B,) which recording, and which TR of it the row begins with.
    row
        (B,) the film window of each row; 0 without film.
    film
        U windows of film: the TRs of context, then those of the volumes. None without film.
    reference
        (B, 2, X, Y, Z) one more volume of the person, from outside the row's TRs; None where it was
        not asked for.
    """

    views: Tensor
    inside: Tensor
    counted: Tensor
    subject: Tensor
    recording: Tensor
    start_tr: Tensor
    row: Tensor
    film: FilmWindows | None = None
    reference: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> VolumeBatch:
        """Return the batch on another device."""
        held = {item.name: getattr(self, item.name) for item in fields(self)}
        moved: dict[str, Any] = {
            k: v if v is None else v.to(*args, **kwargs) for k, v in held.items()
        }
        return VolumeBatch(**moved)
