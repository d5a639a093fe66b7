"""Tables of trials: which picture or label each trial has, from events or beside betas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Self

import pandas as pd
from pydantic import model_validator

from brainreel.config import Config
from brainreel.errors import DataError, did_you_mean
from brainreel.files import require_file
from brainreel.fmri.films import is_film_or_sound
from brainreel.timebase import exact

_LABELS = ("label", "category", "trial_type")
FOLDER, _NO_LABEL = "folder", "none"


class TrialConfig(Config):
    """How trials are found, and how runs become one voxel vector each."""

    from_s: float = 4.0
    """Of runs: the mean is taken over volumes from so many seconds after a trial's onset ..."""
    to_s: float = 8.0
    """... until so many; the response to a short event peaks 4 to 8 s after it."""
    outside: Literal["refuse", "drop"] = "refuse"
    """Trials whose window is not wholly in the scan: an error, or left out and counted."""
    units: Literal["percent", "scanner"] = "percent"
    """Of runs: change in percent of each voxel's mean over the run, or in the scanner's units."""
    stim_column: str = "stim_file"
    """Column that names the picture; rows without one, and films and sounds, are no trials."""
    label_column: str = ""
    """Column of the class; folder: the folder that the picture lies in; none: no class; empty: the
    first of label, category and trial_type in which trials differ."""
    types: tuple[str, ...] = ()
    """Values of trial_type to take; empty: all."""
    picture_size: tuple[int, int] = (64, 64)
    """Height and width that pictures are kept in, cut to that aspect around their middle."""
    grey: bool = False
    """Keep pictures in grey: one channel instead of three."""

    @model_validator(mode="after")
    def _a_window(self) -> Self:
        if not self.from_s < self.to_s:
            raise ValueError(f"from_s {self.from_s:g} is not before to_s {self.to_s:g}")
        if min(self.picture_size) < 1:
            raise ValueError("picture_size must be at least 1 pixel")
        return self


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes
    ----------
    row
        Its row in the table, from 1.
    picture
        Name of the picture as the table gives it, or empty.
    labels
        Column -> value, for the columns that may hold the class.
    onset_s
        Scan time of its onset, or None beside betas.
    run
        The run that the table says it was in, or empty.
    """

    row: int
    picture: str
    labels: dict[str, str]
    onset_s: Fraction | None = None
    run: str = ""


def read_trials(path: Path, config: TrialConfig, *, onsets: bool) -> list[TrialRow]:
    """Read the trials of a table, in its order; of tables with onsets, in the order of onsets.

    Parameters
    ----------
    path
        .tsv (or .csv) with a header; `n/a` is empty.
    config
        Columns, and which rows to take.
    onsets
        Whether `onset` must be there (events of a run). Without, every row is kept: row i is
        volume i of the betas.

    Raises
    ------
    DataError
        If a column is missing, or an onset is no number of seconds.
    """
    table = _read_table(path)
    by_class = config.label_column if config.label_column not in (FOLDER, _NO_LABEL) else ""
    # With classes to learn, pictures may be lacking.
    needed = [by_class or config.stim_column, *(["trial_type"] if config.types else [])]
    for column in needed:
        if column not in table.columns:
            raise DataError(
                f"{path}: no column '{column}'.{did_you_mean(column, table.columns)} Name the "
                "column of pictures with trials.stim_column, that of classes with "
                "trials.label_column, or choose runs with --task."
            )
    if onsets and "onset" not in table.columns:
        raise DataError(f"{path}: no column 'onset'; BIDS events need onset and duration.")
    rows = [
        _row(path, number, {str(key): str(value) for key, value in values.items()}, config, onsets)
        for number, values in enumerate(table.to_dict("records"), start=1)
    ]
    if not onsets:
        return rows
    taken = [row for row in rows if is_trial(row, config)]
    return sorted(taken, key=lambda row: row.onset_s or 0)


def is_trial(row: TrialRow, config: TrialConfig) -> bool:
    """Tell whether a row is a trial: of a wanted type, with a picture or else the class asked."""
    if config.types and row.labels.get("trial_type", "") not in config.types:
        return False
    if row.picture:
        return not is_film_or_sound(row.picture)
    return bool(row.labels.get(config.label_column, ""))


def label_of(rows: Iterable[TrialRow], config: TrialConfig) -> str:
    """Return the column of the class, `folder`, or nothing where there is none.

    Raises
    ------
    DataError
        If a trial has no class in the column that was asked for.
    """
    rows = list(rows)
    asked = config.label_column
    if asked == _NO_LABEL:
        return ""
    if asked:
        lacking = [row.row for row in rows if asked != FOLDER and not row.labels.get(asked)]
        if lacking:
            raise DataError(
                f"column '{asked}': {len(lacking)} of {len(rows)} trials have no class, the first "
                f"in row {lacking[0]}. Fill it in, or choose another trials.label_column."
            )
        return asked
    for column in _LABELS:
        values = [row.labels.get(column, "") for row in rows]
        if all(values) and len(set(values)) > 1:
            return column
    return ""


def _read_table(path: Path) -> pd.DataFrame:
    path = require_file(path, "table of trials")
    parted = "," if path.suffix.lower() == ".csv" else "\t"
    try:
        table = pd.read_csv(path, sep=parted, dtype=str, keep_default_na=False)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: not a table of trials parted by tabs.") from fault
    return table.replace("n/a", "")


def _row(
    path: Path, number: int, values: dict[str, str], config: TrialConfig, onsets: bool
) -> TrialRow:
    columns = dict.fromkeys([*_LABELS, config.label_column])
    return TrialRow(
        row=number,
        picture=values.get(config.stim_column, ""),
        labels={name: values[name] for name in columns if name in values},
        onset_s=_seconds(path, number, values["onset"]) if onsets else None,
        run=values.get("run", ""),
    )


def _seconds(path: Path, number: int, text: str) -> Fraction:
    try:
        return exact(text)
    except (DataError, ValueError, ZeroDivisionError) as fault:
        raise DataError(
            f"{path}: row {number} has the onset '{text}', which is no number of seconds."
        ) from fault
