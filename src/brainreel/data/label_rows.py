"""Lists of labelled media as rows, in the column layouts that data sets are published in."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from brainreel.errors import DataError
from brainreel.files import require_file
from brainreel.timebase import exact

Style = Literal["folders", "kinetics", "slowfast", "audioset", "vggsound", "epic"]

PARTS = ("train", "validation", "test")
_PART_NAMES = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validate": "validation", "validation": "validation", "test": "test", "testing": "test",
}  # fmt: skip

_VGGSOUND_S = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list, as text.

    Attributes
    ----------
    where
        The list and the line, as errors name them.
    id
        What the file is called in the list: a path, or an id that its name is made of.
    labels
        Label to the classes written there, by name or number.
    start_s, stop_s
        Span in seconds of the film that the id names; None where the list gives none.
    part
        train, validation or test; empty where the list does not say.
    name
        How the item is called.
    columns
        All columns of the line by name, for the pattern of file names.
    """

    where: str
    id: str
    labels: Mapping[str, tuple[str, ...]]
    start_s: Fraction | None
    stop_s: Fraction | None
    part: str
    name: str
    columns: Mapping[str, str]


def read_rows(path: Path, style: Style, label: str, part: str = "") -> list[Row]:
    """Read a list.

    Parameters
    ----------
    path
        A text file.
    style
        `"kinetics"`: with a header; path or youtube_id, label, start and end, split (the last
        three may be absent). `"slowfast"`: `path label`, parted by a space, no header.
        `"audioset"`: YTID, start_seconds, end_seconds, "label,label", comment lines with #.
        `"vggsound"`: id, start, label, split without a header. `"epic"`: header with video_id,
        start_timestamp, stop_timestamp, verb_class, noun_class.
    label
        What the label is called where the list has one.
    part
        The part that the list is for; empty where a column says.

    Raises
    ------
    DataError
        If the list is empty, of another style (its columns are told), or a time is not a number
        or runs backwards: with the line.
    """
    path = require_file(path, "list")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as problem:
        raise DataError(f"{path}: is no text in UTF-8. Give a list as {style} has it.") from problem
    reader = _Lines(path, part, label)
    rows = list(_READERS[style](reader, lines))
    if not rows:
        raise DataError(f"{path}: the list is empty. Give one item a line.")
    return rows


@dataclass(frozen=True)
class _Lines:
    """What all lines of a list share."""

    path: Path
    part: str
    label: str

    def row(
        self,
        number: int,
        id: str,
        labels: Mapping[str, tuple[str, ...]],
        span: tuple[str, str] = ("", ""),
        split: str = "",
        *,
        name: str = "",
        columns: Mapping[str, str] | None = None,
    ) -> Row:
        """Return a checked row."""
        where = f"{self.path} line {number}"
        if not id:
            raise DataError(f"{where}: names no file. Mend or remove the line.")
        for label, classes in labels.items():
            if not classes or any(text.lower() in ("", "nan") for text in classes):
                raise DataError(f"{where}: '{label}' is empty. Mend or remove the line.")
        start, stop = (_seconds(text, where) for text in span)
        if start is not None and start < 0:
            raise DataError(f"{where}: starts at {float(start):g} s, before the film.")
        if stop is not None and stop <= (start or 0):
            raise DataError(
                f"{where}: ends at {float(stop):g} s and starts at {float(start or 0):g} s. "
                "Give an end after the start."
            )
        part = self.part or self._part(split, where)
        own = {"id": id, **(columns or {})}
        return Row(where, id, labels, start, stop, part, name or id, own)

    def _part(self, split: str, where: str) -> str:
        if not split:
            return ""
        if split.lower() not in _PART_NAMES:
            raise DataError(f"{where}: the split '{split}' is not train, validation or test.")
        return _PART_NAMES[split.lower()]


def _seconds(text: str, where: str) -> Fraction | None:
    """Read seconds or hh:mm:ss.sss; nothing where nothing is written."""
    if not text:
        return None
    try:
        seconds = Fraction(0)
        for piece in text.split(":"):
            seconds = seconds * 60 + exact(piece)
    except DataError as problem:
        raise DataError(f"{where}: '{text}' is no time in seconds or hh:mm:ss.") from problem
    return seconds


def _table(
    lines: Sequence[str], path: Path, names: Mapping[str, Sequence[str]], optional: Sequence[str]
) -> Iterator[tuple[int, dict[str, str], dict[str, str]]]:
    """Yield (line, columns by our names, all columns) of a table with a header."""
    table = csv.reader(lines, skipinitialspace=True)
    header = [name.strip() for name in next(table, [])]
    found = {}
    for ours, theirs in names.items():
        column = next((name for name in theirs if name in header), None)
        if column is None and ours not in optional:
            raise DataError(
                f"{path}: has no column {' or '.join(theirs)}. Found: {', '.join(header)}. Give "
                "the style of the list, or its header."
            )
        if column is not None:
            found[ours] = header.index(column)
    for cells in table:
        if not any(cell.strip() for cell in cells):
            continue
        _check_width(path, table.line_num, cells, len(header))
        stripped = [cell.strip() for cell in cells]
        own = {ours: stripped[place] for ours, place in found.items()}
        yield table.line_num, own, dict(zip(header, stripped, strict=True))


def _check_width(path: Path, number: int, cells: Sequence[str], width: int) -> None:
    if len(cells) != width:
        raise DataError(
            f"{path} line {number}: has {len(cells)} columns, not {width}: "
            f"{', '.join(cells)[:120]}. Give the style of the list, or mend the line."
        )


_KINETICS = {
    "id": ("path", "youtube_id", "video_id", "file", "filename", "id"),
    "label": ("label", "class", "class_name"),
    "start": ("time_start", "start", "start_s", "start_seconds"),
    "stop": ("time_end", "end", "stop", "end_s", "stop_s", "end_seconds"),
    "split": ("split", "subset"),
}
_EPIC = {
    "id": ("video_id",),
    "start": ("start_timestamp",),
    "stop": ("stop_timestamp",),
    "verb": ("verb_class",),
    "noun": ("noun_class",),
    "name": ("narration_id", "uid"),
}


def _kinetics(lists: _Lines, lines: Sequence[str]) -> Iterator[Row]:
    for number, own, columns in _table(lines, lists.path, _KINETICS, ("start", "stop", "split")):
        span = own.get("start", ""), own.get("stop", "")
        labels = {lists.label: (own["label"].strip('"'),)}
        yield lists.row(number, own["id"], labels, span, own.get("split", ""), columns=columns)


def _slowfast(lists: _Lines, lines: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        if not path or not label.lstrip("-").isdigit():
            raise DataError(
                f"{lists.path} line {number}: '{line[:80]}' is not 'path number', parted by a "
                "space. Give the style of the list."
            )
        yield lists.row(number, path.strip(), {lists.label: (label,)})


def _audioset(lists: _Lines, lines: Sequence[str]) -> Iterator[Row]:
    kept = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    table = csv.reader((line for _, line in kept), skipinitialspace=True)
    for (number, _), cells in zip(kept, table, strict=True):
        _check_width(lists.path, number, cells, 4)
        id, start, stop, labels = (cell.strip() for cell in cells)
        several = tuple(dict.fromkeys(text.strip() for text in labels.split(",")))
        columns = {"YTID": id}
        yield lists.row(number, id, {lists.label: several}, (start, stop), columns=columns)


def _vggsound(lists: _Lines, lines: Sequence[str]) -> Iterator[Row]:
    table = csv.reader(lines, skipinitialspace=True)
    for cells in table:
        if not any(cells):
            continue
        _check_width(lists.path, table.line_num, cells, 4)
        id, start, label, split = (cell.strip() for cell in cells)
        where = f"{lists.path} line {table.line_num}"
        begin = _seconds(start, where)
        stop = "" if begin is None else str(begin + _VGGSOUND_S)
        yield lists.row(table.line_num, id, {lists.label: (label,)}, (start, stop), split)


def _epic(lists: _Lines, lines: Sequence[str]) -> Iterator[Row]:
    for number, own, columns in _table(lines, lists.path, _EPIC, ("name",)):
        labels = {label: (own[label],) for label in ("verb", "noun")}
        name = own.get("name", "") or f"{own['id']} {own['start']}"
        span = own["start"], own["stop"]
        yield lists.row(number, own["id"], labels, span, name=name, columns=columns)


_READERS: Mapping[Style, Callable[[_Lines, Sequence[str]], Iterator[Row]]] = {
    "kinetics": _kinetics,
    "slowfast": _slowfast,
    "audioset": _audioset,
    "vggsound": _vggsound,
    "epic": _epic,
}
