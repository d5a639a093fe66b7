"""Which film was shown in a run, and when it began: from events, or from the stimuli folder."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pandas as pd

from brainreel.errors import DataError
from brainreel.fmri.names import BidsName
from brainreel.timebase import exact

_FILM_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv"}
)
_SOUND_SUFFIXES = frozenset({".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac"})
_FILM_EVENTS = frozenset({"film", "movie", "video"})


def read_events(path: Path) -> pd.DataFrame:
    """Read a BIDS events table, every value as text; `n/a` is empty."""
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: not a table of events parted by tabs.") from fault
    if "onset" not in table.columns:
        raise DataError(f"{path}: no column 'onset'; BIDS events need onset and duration.")
    return table.replace("n/a", "")


def is_film_or_sound(name: str) -> bool:
    """Tell by its suffix whether an event's `stim_file` is a film or a sound."""
    return Path(name).suffix.lower() in _FILM_SUFFIXES | _SOUND_SUFFIXES


def film_of_run(
    label: str, image: BidsName, events: Path | None, stimuli: Path, given: Path | None = None
) -> tuple[Path | None, Fraction]:
    """Return the film of a run, or None, and the scan time in seconds at which it began.

    The film is what the events name in `stim_file`; without it, `stimuli/task-<task>*`. It began
    at the onset of its event, of the only event of type film, movie or video, or at 0. A film
    that is `given` overrules both. Several such events are taken only if the first is at 0.

    Raises
    ------
    DataError
        If two films fit one run, a film is shown twice, the named file is not there, or several
        film events leave open when it began.
    """
    table = read_events(events) if events is not None else pd.DataFrame({"onset": []})
    if given is not None:
        return given, _start_of(label, given, table)
    shown = _shown_film(label, table)
    if shown is not None:
        name, start_s = shown
        return _found(label, name, stimuli), start_s
    film = _film_of_task(label, image, stimuli)
    return film, _start_without_name(label, table) if film is not None else Fraction(0)


def _shown_film(label: str, table: pd.DataFrame) -> tuple[str, Fraction] | None:
    if "stim_file" not in table.columns:
        return None
    kinds = table["stim_file"].map(lambda name: Path(str(name)).suffix.lower())
    rows = table[kinds.isin(_FILM_SUFFIXES)]
    if rows.empty:
        rows = table[kinds.isin(_SOUND_SUFFIXES)]
        if len(rows) != 1:  # many short sounds are events, one is what was listened to
            return None
    names = list(dict.fromkeys(str(name) for name in rows["stim_file"]))
    if len(names) > 1:
        raise DataError(
            f"{label}: two films for one run, {names[0]} and {names[1]}. Split the run, or choose "
            "one with --film TASK=PATH."
        )
    if len(rows) > 1:
        raise DataError(
            f"{label}: {names[0]} begins {len(rows)} times in one run. Split the run, or leave "
            "one event of it."
        )
    return names[0], exact(str(rows["onset"].iloc[0]))


def _found(label: str, name: str, stimuli: Path) -> Path:
    for place in (stimuli / name, stimuli.parent / name):
        if place.is_file():
            return place
    raise DataError(
        f"{label}: the events name the film {name}, which is not in {stimuli}. Put it there, or "
        "give it with --film TASK=PATH."
    )


def _film_of_task(label: str, image: BidsName, stimuli: Path) -> Path | None:
    task = image.entities.get("task", "")
    names = [
        BidsName.of(path)
        for path in sorted(stimuli.glob(f"task-{task}*"))
        if path.suffix.lower() in _FILM_SUFFIXES
    ]
    fitting = [name for name in names if name.applies_to(image)]
    most = max((len(name.entities) for name in fitting), default=0)
    best = [name.path for name in fitting if len(name.entities) == most]
    if len(best) > 1:
        raise DataError(
            f"{label}: two films for one run, {best[0].name} and {best[1].name}. Name one in the "
            "events' stim_file, or with --film TASK=PATH."
        )
    return best[0] if best else None


def _start_of(label: str, film: Path, table: pd.DataFrame) -> Fraction:
    if "stim_file" in table.columns:
        rows = table[table["stim_file"].map(lambda name: Path(str(name)).name) == film.name]
        if len(rows):
            return exact(str(rows["onset"].iloc[0]))
    return _start_without_name(label, table)


def _start_without_name(label: str, table: pd.DataFrame) -> Fraction:
    if "trial_type" not in table.columns:
        return Fraction(0)
    rows = table[table["trial_type"].str.lower().isin(_FILM_EVENTS)]
    onsets = sorted({exact(str(onset)) for onset in rows["onset"]})
    if len(onsets) > 1 and onsets[0] != 0:
        raise DataError(
            f"{label}: {len(onsets)} events of type film, movie or video, the first at "
            f"{float(onsets[0]):g} s, so when its film began is not known. Name the film in the "
            "stim_file of its one event."
        )
    return onsets[0] if onsets else Fraction(0)
