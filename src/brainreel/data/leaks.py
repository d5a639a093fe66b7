"""The leak rule: no test data may be near training data, whoever the person is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Fold, Recording, Segment
from brainreel.errors import DataError, LeakError
from brainreel.timebase import Seconds, exact

Window = tuple[Fraction, Fraction]


def films_of(recordings: Sequence[Recording]) -> list[int]:
    """Number the films: recordings that saw the same thing get the same number.

    Two recordings saw the same film if they share the stimulus name or the digest of the film
    file; the relation is closed (a = b and b = c make a = c).
    """
    number: dict[tuple[str, str], int] = {}
    films: list[int] = []
    for recording in recordings:
        names = [("stimulus", recording.stimulus)]
        if recording.film_digest:
            names.append(("digest", recording.film_digest))
        known = sorted({number[name] for name in names if name in number})
        film = known[0] if known else len(films)
        for other in known[1:]:
            number = {name: film if n == other else n for name, n in number.items()}
            films = [film if n == other else n for n in films]
        number.update(dict.fromkeys(names, film))
        films.append(film)
    return films


def window_of(recordings: Sequence[Recording], segment: Segment) -> Window:
    """Return the film time [start, stop) that a segment covers, in seconds."""
    grid = recordings[segment.recording].bold.grid
    return grid.onset_s(segment.start_tr), grid.onset_s(segment.stop_tr)


def check_no_leak(
    recordings: Sequence[Recording], fold: Fold, gap_s: Seconds, *, across_subjects: bool = False
) -> None:
    """Refuse a fold whose test part could have been learnt from its training part.

    Parameters
    ----------
    recordings
        All recordings that the fold's segments index.
    fold
        Train, validation and test segments. Each two of the three sides must keep apart; of the
        cells of a test, each in what is unseen in it.
    gap_s
        Seconds of film time that must lie between two sides, on the same film, whoever watched
        it: a person's response to a film tells much of another's, and BOLD is smeared by the
        haemodynamic response.
    across_subjects
        The split is across people by name: the same film is allowed on both sides, but no person,
        alone or as a member of a group mean, may be on both.

    Raises
    ------
    LeakError
        Naming both runs and their times.
    """
    where = f"split '{fold.split}', fold '{fold.name}'"
    films = films_of(recordings)
    for first, second, unseen_film, unseen_person in _pairs(fold, across_subjects):
        if unseen_person:
            _check_people(recordings, first, second, where)
        if unseen_film:
            _check_film_time(recordings, films, first, second, exact(gap_s), where)


def check_no_trial_leak(
    fold: Fold, *, voxels: NDArray[np.float32], items: NDArray[np.int64] | None
) -> None:
    """Refuse a fold of trials with a trial, its voxels or its picture on two sides.

    Parameters
    ----------
    fold
        Training, validation and test trials.
    voxels
        (B, V) of all trials.
    items
        (B,) numbers, equal where one picture was seen; None without pictures. Whoever saw it: what
        one person saw in training tells what another saw in the test.

    Raises
    ------
    LeakError
        Naming both trials.
    """
    where = f"split '{fold.split}', fold '{fold.name}'"
    sides = {
        "training": fold.train_trials,
        "validation": fold.validation_trials,
        "test": fold.test_trials,
    }
    for (first, ones), (second, others) in combinations(sides.items(), 2):
        both = sorted(set(ones) & set(others))
        if both:
            raise LeakError(f"{where}: trial {both[0]} is in {first} and in {second}.")
        for array, told in ((items, "the same picture"), (voxels, "the same voxel values")):
            if array is None:
                continue
            seen = {array[i].tobytes(): i for i in ones}
            for i in others:
                twin = seen.get(array[i].tobytes())
                if twin is not None:
                    raise LeakError(
                        f"{where}: {first} trial {twin} and {second} trial {i} have {told}. Keep "
                        "repeats on one side; the split 'stratified' does."
                    )


def check_families(
    recordings: Sequence[Recording], fold: Fold, families: Mapping[str, str]
) -> None:
    """Refuse a fold with people of one family (person to family) on two of its sides.

    Raises
    ------
    LeakError
        Naming the family and two of its people.
    """
    known: dict[str, tuple[str, str]] = {}
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    for side, segments in parts.items():
        for who in dict.fromkeys(recordings[s.recording].subject for s in segments):
            if who not in families:
                continue
            other, there = known.setdefault(families[who], (who, side))
            if there != side:
                raise LeakError(
                    f"split '{fold.split}', fold '{fold.name}': {other} ({there}) and {who} "
                    f"({side}) are of the family '{families[who]}'. Keep families on one side; "
                    "the splits 'held_out' and 'stratified' do."
                )


def check_sides(recordings: Sequence[Recording], fold: Fold, *, across_subjects: bool) -> None:
    """Refuse a fold without training or test data, or with a person tested but never trained.

    Raises
    ------
    DataError
        Naming the fold, and the person where it is one.
    """
    where = f"split '{fold.split}', fold '{fold.name}'"
    tests = [(f"test '{cell.name}' on", cell.test) for cell in fold.cells]
    for side, segments in (("train on", fold.train), *(tests or [("test on", fold.test)])):
        if not segments:
            raise DataError(
                f"{where}: nothing to {side}. Give it more data, a smaller gap_s, or another part."
            )
    if across_subjects:
        return
    trained = {recordings[s.recording].subject for s in fold.train}
    seen = [s for cell in fold.cells if not cell.unseen_person for s in cell.test]
    for segment in seen if fold.cells else fold.test:
        subject = recordings[segment.recording].subject
        if subject not in trained:
            raise DataError(
                f"{where}: {subject} is tested but has nothing to train on. Leave {subject} out "
                "of the subjects, or test across people with the split 'hold_out_subject'."
            )


def check_everybody_tested(recordings: Sequence[Recording], fold: Fold) -> None:
    """Refuse a fold that trains on a person whose recording ends before the test part.

    Raises
    ------
    DataError
        Naming the recording and its length.
    """
    tested = {recordings[s.recording].subject for s in fold.test}
    for segment in fold.train:
        recording = recordings[segment.recording]
        if fold.test and recording.subject not in tested:
            raise DataError(
                f"split '{fold.split}': {recording.label} has {recording.bold.n_trs} TRs and ends "
                f"before the test part. Leave {recording.subject} out, or test on an earlier part."
            )


_Side = tuple[str, Sequence[Segment]]


def _pairs(fold: Fold, across_subjects: bool) -> Iterator[tuple[_Side, _Side, bool, bool]]:
    """Yield two sides each, and whether they may share no part of a film, and no person."""
    rule = not across_subjects, across_subjects
    train, validation = ("train", fold.train), ("validation", fold.validation)
    yield train, validation, *rule
    for first in (train, validation):
        if not fold.cells:
            yield first, ("test", fold.test), *rule
        for cell in fold.cells:
            yield first, (f"test '{cell.name}'", cell.test), cell.unseen_film, cell.unseen_person


def _check_people(recordings: Sequence[Recording], first: _Side, second: _Side, where: str) -> None:
    people = {
        person: recordings[s.recording].label
        for s in first[1]
        for person in _people(recordings[s.recording])
    }
    for segment in second[1]:
        recording = recordings[segment.recording]
        for person in _people(recording):
            if person in people:
                raise LeakError(
                    f"{where}: {person} is in {first[0]} ({people[person]}) and in {second[0]} "
                    f"({recording.label}). A person may be on one side only."
                )


def _people(recording: Recording) -> Iterator[str]:
    yield recording.subject
    yield from recording.members


def _check_film_time(
    recordings: Sequence[Recording],
    films: Sequence[int],
    first: _Side,
    second: _Side,
    gap: Fraction,
    where: str,
) -> None:
    # People who share a film mostly share their windows too, so each window is compared once.
    windows: dict[int, dict[Window, str]] = defaultdict(dict)
    for segment in first[1]:
        label = recordings[segment.recording].label
        windows[films[segment.recording]].setdefault(window_of(recordings, segment), label)
    done: set[tuple[int, Window]] = set()
    for segment in second[1]:
        film, window = films[segment.recording], window_of(recordings, segment)
        if (film, window) in done:
            continue
        done.add((film, window))
        for other, label in windows[film].items():
            apart = max(window[0] - other[1], other[0] - window[1])
            if apart < gap or apart < 0:
                raise LeakError(
                    f"{where}: {first[0]} has {label} at {_told(other)} and {second[0]} has "
                    f"{recordings[segment.recording].label} at {_told(window)} of the same film; "
                    f"they must be {float(gap):g} s apart. Leave more TRs out between them."
                )


def _told(window: Window) -> str:
    return f"{float(window[0]):.1f} to {float(window[1]):.1f} s"
