"""What all splits of recordings share: their options, cuts in time, and the checks of folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from brainreel.config import Config
from brainreel.data.leaks import check_no_leak, check_sides
from brainreel.data.samples import Fold, Recording, Segment
from brainreel.errors import DataError, did_you_mean

Amount = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)]


class SeriesSplit(Config):
    """What every split of recordings in time has."""

    label: str = ""
    """What its scores are called; empty: the name of the split."""
    gap_s: float = Field(default=16.0, ge=0)
    """Seconds of the same film left out between training and test; 16 s, since a canonical
    haemodynamic response is back within a tenth of its peak by then."""

    @property
    def called(self) -> str:
        """The label, or the split's name."""
        return self.label or str(getattr(self, "name", ""))


def checked(
    recordings: Sequence[Recording],
    folds: list[Fold],
    gap_s: float,
    *,
    across_subjects: bool = False,
) -> list[Fold]:
    """Return the folds if none is empty on a side and none leaks, else raise."""
    for fold in folds:
        check_sides(recordings, fold, across_subjects=across_subjects)
        check_no_leak(recordings, fold, gap_s, across_subjects=across_subjects)
    return folds


def sides(
    recordings: Sequence[Recording],
    name_of: Callable[[Recording], str],
    test: Sequence[str],
    validation: Sequence[str],
    *,
    alone: bool = False,
) -> tuple[tuple[Segment, ...], tuple[Segment, ...], tuple[Segment, ...]]:
    """Put whole recordings on the train, validation and test side by name."""
    sides: tuple[list[Segment], list[Segment], list[Segment]] = ([], [], [])
    for i, recording in enumerate(recordings):
        if alone and recording.members:
            continue
        name = name_of(recording)
        side = 2 if name in test else 1 if name in validation else 0
        sides[side].append(Segment(i, 0, recording.bold.n_trs))
    return tuple(sides[0]), tuple(sides[1]), tuple(sides[2])


def check_known(asked: Sequence[str], known: Sequence[str], what: str, called: str) -> None:
    """Refuse a name that is not among the known ones."""
    for name in asked:
        if name not in known:
            raise DataError(f"split '{called}': no {what} '{name}'.{did_you_mean(name, known)}")
