"""Stimulus features with their delays, once per stimulus and shared by everyone who saw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Recording
from brainreel.errors import DataError, did_you_mean
from brainreel.fmri.hrf import delays_covering, fir_delays
from brainreel.fmri.normalize import CleanConfig, clean
from brainreel.shapes import check_shape
from brainreel.stimulus.lowlevel import FEATURE_SPACES, film_features
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]
Space = Callable[[Path, TrGrid], Float32]


@dataclass(frozen=True, eq=False)
class DelayedFeatures:
    """Feature matrices of some recordings.

    Attributes
    ----------
    sizes
        Columns of each feature space with its delays, in the order of the matrices' columns.
    delays_s
        The delays in seconds; each space holds its columns delay by delay.
    matrices
        (T, D) of each recording, over its whole run; people who saw the same share one array.
    """

    sizes: Mapping[str, int]
    delays_s: tuple[float, ...]
    matrices: tuple[Float32, ...]


def delayed_features(
    recordings: Sequence[Recording],
    names: Sequence[str] | None = None,
    *,
    first_delay_s: float,
    last_delay_s: float,
    high_pass_hz: float | None = None,
    cache: Path | None = None,
    spaces: Mapping[str, Space] | None = None,
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
    high_pass_hz
        Take trends and slower changes out of each run's features, as they were taken out of its
        BOLD: a signal without them is not explained by features with them. None takes nothing.
    cache
        Folder that keeps film features between runs of the program, or None.
    spaces
        Further feature spaces of films by name: (film, grid) -> (T, D).

    Raises
    ------
    DataError
        If a feature space is nowhere to be had, or has not the same columns in every run.
    """
    bands: dict[tuple[object, ...], dict[str, Float32]] = {}
    joined: dict[tuple[object, ...], Float32] = {}
    keys = [_key(recording) for recording in recordings]
    delays = _delays(recordings, first_delay_s, last_delay_s)
    for key, recording in zip(keys, recordings, strict=True):
        if key not in bands:
            chosen = _chosen(recording, names, spaces or {})
            bands[key] = _bands(recording, chosen, delays, cache, spaces or {})
            matrix = np.concatenate(list(bands[key].values()), axis=1)
            joined[key] = _filtered(matrix, recording, high_pass_hz)
    sizes = _common_sizes(recordings, [bands[key] for key in keys])
    tr_s = recordings[0].bold.tr_s
    delays_s = tuple(float(delay * tr_s) for delay in delays)
    return DelayedFeatures(sizes, delays_s, tuple(joined[key] for key in keys))


def _delays(
    recordings: Sequence[Recording], first_delay_s: float, last_delay_s: float
) -> tuple[int, ...]:
    """Return the delays in TRs, which must be the same in every recording."""
    if not recordings:
        raise DataError("There are no recordings to take features from.")
    tr_s = recordings[0].bold.tr_s
    for recording in recordings:
        if recording.bold.tr_s != tr_s:
            raise DataError(
                f"{recording.label} has a TR of {float(recording.bold.tr_s):g} s, "
                f"{recordings[0].label} of {float(tr_s):g} s. Fit them in separate runs."
            )
    delays = delays_covering(first_delay_s, last_delay_s, tr_s)
    if not delays:
        raise DataError(
            f"No whole TR of {float(tr_s):g} s lies between delays of {first_delay_s:g} and "
            f"{last_delay_s:g} s. Widen task.first_delay_s and task.last_delay_s."
        )
    return delays


def _filtered(matrix: Float32, recording: Recording, high_pass_hz: float | None) -> Float32:
    if high_pass_hz is None:
        return matrix
    config = CleanConfig(high_pass_hz=high_pass_hz)
    return clean(matrix, recording.bold.tr_s, config, where=f"{recording.label} features")


def _key(recording: Recording) -> tuple[object, ...]:
    """What decides the features: film, clock, and the very arrays that the recording carries."""
    carried = tuple((name, id(values)) for name, values in recording.features.items())
    return recording.film, recording.bold.grid, carried


def _chosen(
    recording: Recording, names: Sequence[str] | None, spaces: Mapping[str, Space]
) -> list[str]:
    """Return the names, each checked to be carried or to be had from the film."""
    if names is None:
        if not recording.features and recording.film is None:
            raise DataError(
                f"{recording.label}: it has neither features nor a film to take them from. Give "
                "the data events, words, regressors or films."
            )
        return list(recording.features)
    of_film = [*FEATURE_SPACES, *spaces] if recording.film is not None else []
    for name in names:
        if name in recording.features or name in of_film:
            continue
        known = [*recording.features, *of_film]
        raise DataError(f"{recording.label}: no feature space '{name}'.{did_you_mean(name, known)}")
    return list(names)


def _bands(
    recording: Recording,
    names: Sequence[str],
    delays: Sequence[int],
    cache: Path | None,
    spaces: Mapping[str, Space],
) -> dict[str, Float32]:
    of_film = [name for name in names if name not in recording.features]
    bands = {name: fir_delays(recording.features[name], delays) for name in recording.features}
    if recording.film is not None and (of_film or not names):
        # The film is known before the first volume: look at it for as long as delays reach back.
        lead = max(0, *delays)
        grid = recording.bold.grid
        longer = TrGrid(grid.tr_s, grid.n_trs + lead, grid.onset_s(-lead))
        own = [name for name in of_film if name in spaces]
        plain = tuple(name for name in of_film if name not in spaces)
        seen = {name: spaces[name](recording.film, longer) for name in own}
        if plain or not names:
            seen |= _film_features(recording.film, longer, plain, cache)
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
