"""Names and numbers of classes, from a published file of names or from the lists themselves."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainreel.data.label_rows import Row
from brainreel.errors import DataError, did_you_mean
from brainreel.files import read_json, require_file

# Columns of the files that data sets publish: AudioSet, Epic-Kitchens, and plain ones.
_NUMBER_COLUMNS = ("index", "id", "number")
_NAME_COLUMNS = ("display_name", "name", "key", "label", "class")
_ALIAS_COLUMNS = ("mid",)


@dataclass(frozen=True)
class Classes:
    """The classes of one label.

    Attributes
    ----------
    names
        Names in the order of the numbers.
    numbers
        How a list may call a class (name, code or number) -> its number.
    where
        Where the names stand.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, int]
    where: str

    def number(self, text: str, row: Row) -> int:
        """Return the number of a class as a row calls it."""
        number = self.numbers.get(text, self.numbers.get(text.removesuffix(".0")))
        if number is None:
            raise DataError(
                f"{row.where}: no class '{text}' in {self.where}.{did_you_mean(text, self.names)}"
            )
        return number


def read_classes(path: Path) -> Classes:
    """Read class names from a file.

    Parameters
    ----------
    path
        A .csv or .tsv with a header: a number (index, id) and a name (display_name, name, key,
        label), as AudioSet and Epic-Kitchens have it; a .json of names in order, or of name to
        number; or text with one name a line.

    Raises
    ------
    DataError
        If the numbers are not 0, 1, 2 ... each once, or a name stands twice.
    """
    path = require_file(path, "file of class names")
    readers = {".csv": _from_table, ".tsv": _from_table, ".json": _from_json}
    entries = readers.get(path.suffix.lower(), _from_lines)(path)
    order = sorted(entries, key=lambda entry: entry[0])
    if not order or [number for number, _, _ in order] != list(range(len(order))):
        raise DataError(f"{path}: its classes are not numbered 0, 1, 2 ... each once.")
    names = tuple(name for _, name, _ in order)
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(f"{path}: two classes are called '{twice}'. Give each its own name.")
    numbers = {alias: number for number, _, alias in order if alias}
    # A name that looks like a number wins over the number itself.
    by_number = {str(number): number for number in range(len(names))}
    return Classes(names, by_number | numbers | {n: i for i, n in enumerate(names)}, str(path))


def classes_of_rows(label: str, rows: Sequence[Row], *, parted: bool = True) -> Classes:
    """Return the classes that lists name: sorted names, or numbers as they are.

    Parameters
    ----------
    label
        Which label.
    rows
        The rows of all lists.
    parted
        Whether the parts that the lists tell are those that are trained and tested.

    Raises
    ------
    DataError
        If a class is tested or validated but never trained, which is mostly a slip of the pen;
        a file of class names says that it is meant.
    """
    texts = _texts(label, rows)
    names: tuple[str, ...]
    if all(text.removesuffix(".0").isdigit() for text in texts):
        names = tuple(str(n) for n in range(max(int(float(text)) for text in texts) + 1))
    else:
        names = tuple(sorted(texts))
    held = [row for row in rows if parted and row.part in ("validation", "test")]
    trained = _texts(label, (row for row in rows if row.part in ("train", "")))
    for row in held:
        strange = next((text for text in row.labels.get(label, ()) if text not in trained), None)
        if strange is not None:
            raise DataError(
                f"{row.where}: the class '{strange}' of '{label}' is in {row.part} and never in "
                f"training.{did_you_mean(strange, trained)} If it is right, give the names of all "
                f"classes (data.classes.{label})."
            )
    return Classes(names, {name: i for i, name in enumerate(names)}, f"the classes of '{label}'")


def _texts(label: str, rows: Iterable[Row]) -> set[str]:
    return {text for row in rows for text in row.labels.get(label, ())}


def _from_table(path: Path) -> list[tuple[int, str, str]]:
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    with path.open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream, delimiter=separator, skipinitialspace=True)
        header = [name or "" for name in table.fieldnames or []]
        chosen = [
            next((column for column in known if column in header), "")
            for known in (_NUMBER_COLUMNS, _NAME_COLUMNS, _ALIAS_COLUMNS)
        ]
        if not chosen[0] or not chosen[1]:
            raise DataError(
                f"{path}: needs a column of numbers ({', '.join(_NUMBER_COLUMNS)}) and one of "
                f"names ({', '.join(_NAME_COLUMNS)}). Found: {', '.join(header)}."
            )
        return [
            (_number(row[chosen[0]], path), (row[chosen[1]] or "").strip(), row.get(chosen[2], ""))
            for row in table
        ]


def _from_json(path: Path) -> list[tuple[int, str, str]]:
    content = read_json(path)
    if isinstance(content, list):
        return [(i, str(name), "") for i, name in enumerate(content)]
    if not isinstance(content, dict):
        raise DataError(f"{path}: should be a list of names, or a mapping of name to number.")
    return [(_number(number, path), name.strip('"'), "") for name, number in content.items()]


def _from_lines(path: Path) -> list[tuple[int, str, str]]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [(i, line.strip(), "") for i, line in enumerate(line for line in lines if line.strip())]


def _number(value: object, path: Path) -> int:
    text = str(value).strip()
    if not text.isdigit():
        raise DataError(f"{path}: '{text}' is no number of a class. Number them from 0.")
    return int(text)
