"""Scores of seen and unseen people at seen and unseen film, as a table of four."""

from __future__ import annotations

from dataclasses import dataclass

from brainreel.evaluate.beside import CONTROL
from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.beside import Entry, columns_of, entry_of, fitted_splits, head_of, splits_of
from brainreel.report.words import cell_of, interval, number, split_words, system_words

# Of r that over reliable voxels, where voxels have a ceiling.
_MAIN = ("r_reliable", "r_median")


@dataclass(frozen=True)
class Quarter:
    """One cell: its scores, each with its name; a stamp where it is training data."""

    stamp: str
    entries: tuple[tuple[str, Entry], ...]


@dataclass(frozen=True)
class Grid:
    """Rows are people, columns film parts; None where a cell was not tested."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Quarter | None, ...]], ...]


@dataclass(frozen=True)
class Withheld:
    """What is left of the main score when something is withheld from the model.

    Attributes
    ----------
    score
        Which score.
    columns
        The tests.
    rows
        Name of the run or the control, and its entries.
    meanings
        What each control is.
    """

    score: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    meanings: tuple[tuple[str, str], ...]


def make_grids(card: Scorecard) -> tuple[Grid, ...]:
    """Return a table for each split whose tests are cells; of one cell alone there is none."""
    found: dict[str, dict[tuple[bool, bool], str]] = {}
    for split in splits_of(card):
        cell = cell_of(split)
        if cell is not None:
            found.setdefault(cell.label, {})[cell.seen_person, cell.seen_film] = split
    return tuple(_grid(card, label, cells) for label, cells in found.items() if len(cells) > 1)


def _grid(card: Scorecard, label: str, cells: dict[tuple[bool, bool], str]) -> Grid:
    people, films = (
        [seen for seen in (True, False) if any(cell[side] == seen for cell in cells)]
        for side in (0, 1)
    )
    return Grid(
        label,
        tuple(f"{_seen(seen)} film part" for seen in films),
        tuple(
            (
                f"{_seen(person)} person",
                tuple(_quarter(card, cells.get((person, film))) for film in films),
            )
            for person in people
        ),
    )


def _seen(seen: bool) -> str:
    return "Seen" if seen else "Unseen"


def _quarter(card: Scorecard, split: str | None) -> Quarter | None:
    if split is None:
        return None
    stamp = "training data" if split in fitted_splits(card.protocol) else ""
    entries = [(head_of(key), entry_of(card, f"{split}:{key}")) for key in columns_of([card])]
    return Quarter(stamp, tuple(entry for entry in entries if entry[1].value != "–"))


def make_withheld(card: Scorecard) -> Withheld | None:
    """Return the main score of a run and of its negative controls, test by test; None without."""
    controls = {name: beside for name, beside in card.beside.items() if name.startswith(CONTROL)}
    keys = [key for key in columns_of([card]) if key in _MAIN]
    known = {split for beside in controls.values() for split in splits_of(beside)}
    tests = [split for split in splits_of(card) if split in known]
    if not keys or not tests:
        return None
    names = [f"{split}:{keys[0]}" if split else keys[0] for split in tests]
    rows = [("As it is", tuple(entry_of(card, name) for name in names))]
    rows += [
        (system_words(control)[0], tuple(held_entry(beside, name) for name in names))
        for control, beside in controls.items()
    ]
    return Withheld(
        head_of(keys[0]),
        tuple(split_words(split) or "Test" for split in tests),
        tuple(rows),
        tuple(system_words(control) for control in controls),
    )


def held_entry(control: Scorecard, name: str) -> Entry:
    """Return a control's score, and how far below the run's it is."""
    fall, bounds = control.falls.get(name), interval(control.intervals.get(f"{name}|fall"))
    if fall is None:
        return entry_of(control, name)
    told = f"falls by {number(fall)}" + (f", {bounds}" if bounds else "")
    return Entry(number(control.scores.get(name)), told)
