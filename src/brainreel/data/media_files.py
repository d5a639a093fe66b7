"""The media files of a folder, found by what lists call them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brainreel.data.label_rows import Row
from brainreel.data.labelled_samples import (
    FILM_SUFFIXES,
    PICTURE_SUFFIXES,
    SOUND_SUFFIXES,
    kind_of,
)
from brainreel.errors import ConfigError, DataError

# How downloaders name the files of an id; tried in this order where no pattern is given.
PATTERNS = ("{id}_{start:06d}_{end:06d}", "{id}_{start:06d}", "{id}")

_SUFFIXES = FILM_SUFFIXES | PICTURE_SUFFIXES | SOUND_SUFFIXES
_KIND_ORDER = ("film", "picture", "sound")


@dataclass(frozen=True)
class Found:
    """The file of a row, and whether it is the row's span alone, cut out before."""

    path: Path
    is_cut: bool


class MediaFolder:
    """All media files under a folder, walked once.

    Parameters
    ----------
    root
        The folder; files in hidden folders are left out.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: no such folder of media files. Give its place as data.path.")
        self.root = root
        self.files: list[Path] = []
        """Paths relative to the root, in order."""
        for folder, folders, names in os.walk(root, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            here = Path(folder).relative_to(root)
            media = (name for name in names if Path(name).suffix.lower() in _SUFFIXES)
            self.files.extend(here / name for name in media if not name.startswith("."))
        self.files.sort()
        self._by_stem: dict[str, list[Path]] = {}
        for file in self.files:
            self._by_stem.setdefault(file.stem, []).append(file)

    def find(self, row: Row, pattern: str) -> Found | None:
        """Return the file of a row, or None where there is none.

        Parameters
        ----------
        row
            The row of a list.
        pattern
            Name of its file made of the row's columns, such as
            `"{youtube_id}_{start:06d}_{end:06d}.mp4"`; start and end are whole seconds, and a
            pattern that uses them names files that were cut to the span. The suffix and the
            folder may be left out. Empty: the id as a path, or the names that downloaders give.
        """
        for tried in (pattern,) if pattern else PATTERNS:
            name = _filled(tried, row)
            path = None if name is None else self._at(name, row)
            if path is not None:
                return Found(path, is_cut="{start" in tried or "{end" in tried)
        return None

    def _at(self, name: str, row: Row) -> Path | None:
        """Return the file of a path or a bare name."""
        path = self.root / name
        if path.suffix.lower() in _SUFFIXES:
            if path.is_file():
                return path
            name = str(Path(name).with_suffix(""))
        return self._searched(Path(name), row)

    def _searched(self, name: Path, row: Row) -> Path | None:
        """Return the one file whose path ends like `name`, whatever its suffix."""
        ends = [
            file
            for file in self._by_stem.get(name.name, [])
            if file.parts[-len(name.parts) : -1] == name.parts[:-1]
        ]
        if not ends:
            return None
        first = min(_KIND_ORDER.index(kind_of(file)) for file in ends)
        ends = [file for file in ends if _KIND_ORDER.index(kind_of(file)) == first]
        if len(ends) > 1:
            raise DataError(
                f"{row.where}: '{name}' may be {ends[0]} or {ends[1]} in {self.root}. Give a "
                "pattern that tells them apart (data.pattern)."
            )
        return self.root / ends[0]


def _filled(pattern: str, row: Row) -> str | None:
    """Fill a pattern from a row; None where a default pattern needs a time that is not there."""
    values: dict[str, object] = dict(row.columns)
    values.update(start=_whole(row.start_s), end=_whole(row.stop_s))
    try:
        return pattern.format_map(values)
    except (TypeError, ValueError) as problem:
        if pattern in PATTERNS:
            return None
        raise ConfigError(
            f"the pattern '{pattern}' cannot be filled from {row.where} ({problem})."
        ) from problem
    except (KeyError, IndexError, AttributeError) as problem:
        known = ", ".join(str(key) for key in values)
        raise ConfigError(
            f"the pattern '{pattern}' names {problem}, which {row.where} has not. It has: {known}."
        ) from problem


def _whole(seconds: Fraction | None) -> int | float | None:
    """Return a time as file names write it: whole seconds without a point."""
    if seconds is None:
        return None
    return int(seconds) if seconds.denominator == 1 else float(seconds)
