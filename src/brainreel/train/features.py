"""Stimulus features with their delays, once per stimulus and shared by everyone who saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Recording
from brainreel.errors import DataError, did_you_mean
from brainreel.fmri.hrf import delays_covering, fir_delays
from brainreel.shapes import check_shape
from brainreel.stimulus.lowlevel import FEATURE_SPACES, film_features
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DelayedFeatures:
    """Feature matrices of some recordings.

    Attributes
    ----------
    sizes
        Columns of each feature space with its delays, in the order of the matrices' columns.
    matrices
        (T, D) of each recording, over its whole run; people who saw the same share one array.
    """

    sizes: Mapping[str, int]
    matrices: tuple[Float32, ...]


def delayed_features(
    recordings: Sequence[Recording],
    names: Sequence[str] | None = None,
    *,
    first_delay_s: float,
    last_delay_s: float,
    cache: Path | None = None,
) -> DelayedFeatures:
    """Return X[t] = the features at t - d for every whole TR d of the delay window, side by side.

    Delays are taken over a run's whole clock, before any part is cut out of it: what was shown
    before a test segment is known without looking at its BOLD. Nothing comes from another run.
    Film is looked at for as long before the first volume as the delays reach; features that come
    with the data are 0 there.

    Parameters
    ----------
    recordings
        Runs, of one or more people.
    names
        Feature spaces: those a recording carries, or keys of `FEATURE_SPACES` for its film. None
        for all that are carried, or where none are, all of the film.
    first_delay_s, last_delay_s
        Window of delays in seconds.
    cache
        Folder that keeps film features between runs of the program, or None.

    Raises
    ------
    DataError
        If a feature space is nowhere to be had, or has not the same columns in every run.
    """
    shared: dict[tuple[object, ...], dict[str, Float32]] = {}
    joined: dict[tuple[object, ...], Float32] = {}
    keys = []
    for recording in recordings:
        key = _key(recording)
        keys.append(key)
        if key not in shared:
            grid = recording.bold.grid
            delays = delays_covering(first_delay_s, last_delay_s, grid.tr_s)
            if not delays:
                raise DataError(
                    f"{recording.label}: no whole TR of {float(grid.tr_s):g} s lies between delays "
                    f"of {first_delay_s:g} and {last_delay_s:g} s. Widen the delays."
                )
            shared[key] = _bands(recording, _chosen(recording, names), delays, cache)
            joined[key] = np.concatenate(list(shared[key].values()), axis=1)
    sizes = _common_sizes(recordings, [shared[key] for key in keys])
    return DelayedFeatures(sizes, tuple(joined[key] for key in keys))


def _key(recording: Recording) -> tuple[object, ...]:
    """What decides the features: film, clock, and the very arrays that the recording carries."""
    carried = tuple((name, id(values)) for name, values in recording.features.items())
    return recording.film, recording.bold.grid, carried


def _chosen(recording: Recording, names: Sequence[str] | None) -> list[str]:
    """Return the names, each checked to be carried or to be had from the film."""
    if names is None:
        if not recording.features and recording.film is None:
            raise DataError(
                f"{recording.label}: it has neither features nor a film to take them from. Give "
                "the data events, words, regressors or films."
            )
        return list(recording.features)
    for name in names:
        if name in recording.features or (name in FEATURE_SPACES and recording.film is not None):
            continue
        known = [*recording.features, *(FEATURE_SPACES if recording.film is not None else ())]
        raise DataError(f"{recording.label}: no feature space '{name}'.{did_you_mean(name, known)}")
    return list(names)


def _bands(
    recording: Recording, names: Sequence[str], delays: Sequence[int], cache: Path | None
) -> dict[str, Float32]:
    of_film = [name for name in names if name not in recording.features]
    bands = {name: fir_delays(recording.features[name], delays) for name in recording.features}
    if recording.film is not None and (of_film or not names):
        # The film is known before the first volume: look at it for as long as delays reach back.
        lead = max(0, *delays)
        grid = recording.bold.grid
        longer = TrGrid(grid.tr_s, grid.n_trs + lead, grid.onset_s(-lead))
        seen = _film_features(recording.film, longer, tuple(of_film), cache)
        bands |= {name: fir_delays(values, delays)[lead:] for name, values in seen.items()}
    return {name: bands[name] for name in names or bands}


def _film_features(
    film: Path, grid: TrGrid, names: tuple[str, ...], cache: Path | None
) -> Mapping[str, Float32]:
    told = film.stat() if film.exists() else None
    version = (told.st_mtime_ns, told.st_size) if told else (0, 0)
    return _remembered(film, version, grid, names, cache)


@lru_cache(maxsize=64)
def _remembered(
    film: Path, version: tuple[int, int], grid: TrGrid, names: tuple[str, ...], cache: Path | None
) -> Mapping[str, Float32]:
    """Decode a film once per process and clock: every fold, and fit and predict, ask for it."""
    values = film_features(film, grid, names or None, cache=cache)
    for array in values.values():
        array.setflags(write=False)
    return values


def _common_sizes(
    recordings: Sequence[Recording], bands: Sequence[Mapping[str, Float32]]
) -> dict[str, int]:
    """Return the columns of each band, which must be the same in every recording."""
    if not bands:
        raise DataError("There are no recordings to take features from.")
    sizes = {name: int(values.shape[1]) for name, values in bands[0].items()}
    for recording, own in zip(recordings, bands, strict=True):
        if list(own) != list(sizes):
            raise DataError(
                f"{recording.label} has the feature spaces {', '.join(own)}; "
                f"{recordings[0].label} has {', '.join(sizes)}. Name task.features that all have."
            )
        for name, values in own.items():
            check_shape(values, "T D", name=f"{recording.label} delayed '{name}'", D=sizes[name])
    return sizes
