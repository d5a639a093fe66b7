"""Data kind `labelled`: films, pictures and sounds with class labels, from folders or lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from brainreel.data.label_classes import Classes, classes_of_rows, read_classes
from brainreel.data.label_rows import Row
from brainreel.data.labelled_check import why_unreadable
from brainreel.data.labelled_samples import Item, Labelled
from brainreel.data.labelled_sources import (
    FurtherSource,
    LabelledSource,
    OpenSource,
    open_source,
)
from brainreel.data.labelled_splits import GivenParts, LabelledSplitConfig, make_labelled_folds
from brainreel.errors import DataError
from brainreel.files import digest_json


class LabelledData(LabelledSource):
    """Films, pictures and sounds with class labels."""

    name: Literal["labelled"] = "labelled"
    also: tuple[FurtherSource, ...] = ()
    """Further sources that are learned together with this one, such as pictures beside films."""
    splits: tuple[LabelledSplitConfig, ...] = (GivenParts(),)
    """How items are parted into training and test; each is scored by itself."""
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """Largest share of each part that may be missing or unreadable; those are named and left
    out."""
    check: bool = False
    """Whether all files are opened beforehand; else a damaged one is met when it is its turn."""
    find_copies: bool = True
    """Whether files of one size in training and test are compared byte by byte; false for sets
    too large to read."""

    def open(self) -> Labelled:
        """Read the lists, find the files and make the folds.

        Raises
        ------
        DataError
            For a list of another style, an unknown class, an empty list or folder, or more
            missing files than `max_unreadable`.
        LeakError
            If one file, or a copy of it, is in training and in test.
        """
        sources = [open_source(source) for source in (self, *self.also)]
        parted = any(isinstance(split, GivenParts) for split in self.splits)
        classes = _classes(sources, parted=parted)
        placed = [
            _Placed(row.part, row.name, _item(number, source, row, classes))
            for number, source in enumerate(sources)
            for row in source.rows
        ]
        lost = {i: "no such file" for i, place in enumerate(placed) if place.item is None}
        if self.check:
            there = {i: place.item for i, place in enumerate(placed) if place.item is not None}
            lost.update(why_unreadable(there))
        notes = _left_out(placed, lost, self.max_unreadable)
        items: list[Item] = []
        parts: list[str] = []
        for i, place in enumerate(placed):
            if i not in lost and place.item is not None:
                items.append(place.item)
                parts.append(place.part)
        folds = make_labelled_folds(items, parts, self.splits, find_copies=self.find_copies)
        return Labelled(
            tuple(items),
            {label: known.names for label, known in classes.items()},
            folds,
            several=frozenset(s.config.label for s in sources if s.config.style == "audioset"),
            shares=(1.0, *(source.share for source in self.also)),
            sources=_digests(sources, items),
            notes=notes,
            max_unreadable=self.max_unreadable,
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A row of a list with its file, or without."""

    part: str
    name: str
    item: Item | None


def _classes(sources: Sequence[OpenSource], *, parted: bool) -> dict[str, Classes]:
    """Return the classes of each label over all sources."""
    classes: dict[str, Classes] = {}
    for label in dict.fromkeys(label for source in sources for label in source.labels):
        files = {
            source.config.found(source.config.classes[label])
            for source in sources
            if label in source.config.classes
        }
        if len(files) > 1:
            raise DataError(f"the label '{label}' has two files of class names. Give one.")
        rows = [row for source in sources for row in source.rows]
        if files:
            classes[label] = read_classes(files.pop())
        else:
            classes[label] = classes_of_rows(label, rows, parted=parted)
    return classes


def _item(number: int, source: OpenSource, row: Row, classes: Mapping[str, Classes]) -> Item | None:
    """Return a row as an item, or None where it has no file."""
    labels = {
        label: tuple(sorted({classes[label].number(text, row) for text in texts}))
        for label, texts in row.labels.items()
    }
    found = source.folder.find(row, source.config.pattern)
    if found is None:
        return None
    span = (None, None) if found.is_cut else (row.start_s, row.stop_s)
    return Item(found.path, labels, *span, name=row.name, source=number)


def _left_out(placed: Sequence[_Placed], lost: Mapping[int, str], limit: float) -> tuple[str, ...]:
    """Say what is left out of each part, or refuse where it is more than `limit` allows."""
    notes = []
    totals = Counter(place.part for place in placed)
    for part, total in totals.items():
        named = [f"{placed[i].name} ({why})" for i, why in lost.items() if placed[i].part == part]
        if not named:
            continue
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        kind = f"{part} items" if part else "items"
        told = f"{len(named)} of {total} {kind} cannot be read: {', '.join(named[:3])}{more}."
        if len(named) > limit * total:
            raise DataError(
                f"{told} That is more than max_unreadable={limit:g}. Mend data.path or "
                "data.pattern, or allow more."
            )
        notes.append(f"{told} They are left out.")
    return tuple(notes)


def _digests(sources: Sequence[OpenSource], items: Sequence[Item]) -> dict[str, str]:
    """Return what is remembered of the data: its lists, and place and size of each file."""
    digests: dict[str, str] = {}
    for number, source in enumerate(sources):
        name = source.config.path.resolve().name + (f" {number + 1}" if number else "")
        root = source.folder.root
        files = {item.path for item in items if item.source == number}
        inside = {
            str(path.relative_to(root) if path.is_relative_to(root) else path): path
            for path in files
        }
        facts = {place: path.stat().st_size for place, path in inside.items()}
        digests[f"{name} files"] = digest_json(facts)
        digests.update({f"{name} {what}": digest for what, digest in source.digests.items()})
    return digests
