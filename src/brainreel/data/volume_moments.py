"""Moments of brain volumes: voxel by voxel, and of whole volumes with their level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Recording
from brainreel.errors import CheckpointError
from brainreel.fmri.normalize import Moments
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class VolumeMoments:
    """What was seen of some volumes y = x + level, x the signal and level what cleaning took off.

    Rounded to float32, in which weights are kept, so that a fitted run, read back, divides by the
    same numbers.

    Attributes
    ----------
    n
        Number of TRs seen.
    mean, std
        (V,) float32 of x, voxel by voxel (divisor n); `std` is 0 for a voxel without variance.
    whole_mean, whole_std
        Of y over all voxels and TRs.
    least
        Least value of y.
    """

    n: int
    mean: Float32
    std: Float32
    whole_mean: float
    whole_std: float
    least: float

    @classmethod
    def of(cls, data: NDArray[np.floating], level: NDArray[np.floating] | None = None) -> Self:
        """Return the moments of one (T, V) signal and its (V,) level, read piece by piece."""
        return cls._joined([_seen(data, level)])

    @classmethod
    def of_segments(cls, segments: Iterable[tuple[Recording, int, int]]) -> Self:
        """Return the moments of TRs [start, stop) of recordings of one person.

        Those of a whole prepared run are taken from the store; of a part, its BOLD is read.
        """
        return cls._joined([_part(*segment) for segment in segments])

    @classmethod
    def _joined(cls, parts: list[_Part]) -> Self:
        signal, whole = parts[0].signal, parts[0].whole()
        for part in parts[1:]:
            signal, whole = signal.merge(part.signal), whole.merge(part.whole())
        return cls(
            signal.n,
            signal.mean.astype(np.float32),
            signal.std.astype(np.float32),
            float(np.float32(whole.mean[0])),
            float(np.float32(whole.std[0])),
            float(np.float32(min(part.least for part in parts))),
        )

    @property
    def voxelwise(self) -> Moments:
        """The moments of x, voxel by voxel, as z-scores take them."""
        return Moments(self.n, self.mean.astype(np.float64), self.std.astype(np.float64))

    def to_state(self) -> dict[str, Float32]:
        """Return the moments as arrays by name, to be kept with weights."""
        facts = [self.n, self.whole_mean, self.whole_std, self.least]
        return {
            "bold_mean": self.mean,
            "bold_std": self.std,
            "volume_facts": np.array(facts, np.float32),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], *, where: str) -> Self:
        """Rebuild the moments from `to_state`."""
        try:
            mean, std, facts = (state[key] for key in ("bold_mean", "bold_std", "volume_facts"))
            n, whole_mean, whole_std, least = (float(fact) for fact in facts)
        except (KeyError, ValueError) as missing:
            raise CheckpointError(f"{where}: has no moments of volumes. Fit again.") from missing
        kept = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        return cls(int(n), *kept, whole_mean, whole_std, least)


@dataclass(frozen=True, eq=False)
class _Part:
    """Moments of one stretch of a recording."""

    signal: Moments
    level: NDArray[np.floating] | None
    least: float

    def whole(self) -> Moments:
        """Return mean and deviation of y over voxels and TRs, as moments of one column."""
        mean = self.signal.mean if self.level is None else self.signal.mean + self.level
        spread = np.sqrt(np.mean(self.signal.std**2) + mean.var())
        return Moments(self.signal.n * len(mean), np.array([mean.mean()]), np.array([spread]))


def _part(recording: Recording, start_tr: int, stop_tr: int) -> _Part:
    bold, kept = recording.bold, recording.prepared
    if kept is not None and (start_tr, stop_tr) == (0, kept.grid.n_trs):
        least = kept.least
        if least is not None:
            return _Part(kept.moments, recording.level, least)
    return _seen(bold.data[start_tr:stop_tr], recording.level)


def _seen(data: NDArray[np.floating], level: NDArray[np.floating] | None) -> _Part:
    n_voxels = check_shape(data, "T V", name="bold")["V"]
    if level is not None:
        check_shape(level, "V", name="level", V=n_voxels)
    least = np.inf
    for start in range(0, len(data), _ROWS_AT_ONCE):
        piece = np.asarray(data[start : start + _ROWS_AT_ONCE])
        least = min(least, float(np.min(piece if level is None else piece + level)))
    return _Part(Moments.of([data]), level, least)
