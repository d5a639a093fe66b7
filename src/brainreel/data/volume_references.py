"""The one volume of a person that tells a model whose brain it is to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from brainreel.data.recorded_volumes import RecordedVolumes
from brainreel.data.samples import Segment
from brainreel.errors import DataError
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]


class References:
    """Reference volumes: drawn from all that a person was trained on, or one that is fixed.

    The fixed one is the volume in the middle of the person's first training segment, or first
    recording if nobody trained on them; of another recording than the one that is predicted where
    there is one, so that all windows have the same. Where it may lie in the window itself, the
    first or last volume takes its place; of people not in training and of one recording, always.

    Parameters
    ----------
    volumes
        The recordings.
    training
        Training segments.
    whose
        Person to the person whose volumes are taken instead: a control, since scores must fall.
    given
        Person to (2, X, Y, Z) views that are taken in any case.
    """

    def __init__(
        self,
        volumes: RecordedVolumes,
        training: Sequence[Segment],
        *,
        whose: Mapping[str, str] | None = None,
        given: Mapping[str, Float32] | None = None,
    ) -> None:
        self.volumes, self.whose, self.given = volumes, whose or {}, given or {}
        series = volumes.series
        self.training = {who: series.of_subject(who, tuple(training)) for who in series.subjects}
        for own, other in self.whose.items():
            if other not in self.training:
                raise DataError(f"{own}: '{other}', whose volumes to take, is not in the data.")
        x, y, z = (side.stop - side.start for side in volumes.box)
        for who, views in self.given.items():
            check_shape(views, "2 X Y Z", name=f"the reference of {who}", X=x, Y=y, Z=z)

    def drawn(
        self, recording: int, start_tr: int, stop_tr: int, rng: np.random.Generator
    ) -> Float32:
        """Return a random training volume of the person, outside [start_tr, stop_tr)."""
        who = self._who(recording)
        if who in self.given:
            return self.given[who]
        parts = []
        for segment in self.training[self.whose.get(who, who)]:
            whole = segment.recording != recording
            before = segment.stop_tr if whole else min(start_tr, segment.stop_tr)
            after = segment.stop_tr if whole else max(stop_tr, segment.start_tr)
            cuts = (segment.start_tr, before), (after, segment.stop_tr)
            parts += [(segment.recording, first, last) for first, last in cuts if first < last]
        if not parts:
            raise self._none(recording)
        place = int(rng.integers(sum(last - first for _, first, last in parts)))
        for number, first, last in parts:
            if place < last - first:
                return self.volumes.volume(number, first + place)
            place -= last - first
        raise AssertionError  # the draw is below the sum

    def fixed(self, recording: int, start_tr: int, stop_tr: int) -> Float32:
        """Return the fixed volume of the person, outside [start_tr, stop_tr)."""
        who = self._who(recording)
        if who in self.given:
            return self.given[who]
        for number, tr in self._candidates(recording, self.whose.get(who, who)):
            if number != recording or not start_tr <= tr < stop_tr:
                return self.volumes.volume(number, tr)
        raise self._none(recording)

    def _candidates(self, recording: int, who: str) -> list[tuple[int, int]]:
        items = self.volumes.series.recordings
        segments = self.training[who] or [
            Segment(number, 0, item.bold.n_trs)
            for number, item in enumerate(items)
            if item.subject == who
        ]
        elsewhere = [segment for segment in segments if segment.recording != recording]
        first = (elsewhere or segments)[0]
        ends = [first.start_tr, first.stop_tr - 1]
        trs = (
            [(first.start_tr + first.stop_tr) // 2, *ends]
            if self.training[who] or elsewhere
            else ends
        )
        return [(first.recording, tr) for tr in trs]

    def _who(self, recording: int) -> str:
        return self.volumes.series.recordings[recording].subject

    def _none(self, recording: int) -> DataError:
        return DataError(
            f"{self.volumes.series.recordings[recording].label}: no volume lies outside the window "
            "to be its reference. Use a smaller window_trs, or give a reference."
        )


def next_person(subjects: Sequence[str]) -> dict[str, str]:
    """Return for each person the one after them, for references of somebody else."""
    if len(subjects) < 2:
        raise DataError("a reference of another person needs two people in the data.")
    return dict(zip(subjects, [*subjects[1:], subjects[0]], strict=True))
