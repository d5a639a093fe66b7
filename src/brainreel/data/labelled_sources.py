"""Where labelled media come from: a folder of files and the lists that name their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from brainreel.config import Config
from brainreel.data.label_rows import PARTS, Row, Style, read_rows
from brainreel.data.media_files import MediaFolder
from brainreel.errors import DataError
from brainreel.files import digest_file

# What folders of parts are called where nobody says; the first of each that is there is taken.
_PART_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


class LabelledSource(Config):
    """A folder of media files with its lists of labels."""

    path: Path
    """Folder of the media files; all folders in it are searched."""
    style: Style = "folders"
    """folders: one folder a class. Else how the lists are written: kinetics (path or youtube_id,
    label, start, end), slowfast (path number), audioset, vggsound, epic."""
    train: Path | None = None
    """List to train on, or one list of all parts that has a column split; with folders, the
    folder of the training part. Sought in path where it is not found from here."""
    validation: Path | None = None
    """List, or folder, to stop the training by."""
    test: Path | None = None
    """List, or folder, to test on."""
    classes: Mapping[str, Path] = {}
    """File of class names of each label (label: names.csv); where there is none, the classes are
    those that the lists name, in sorted order."""
    pattern: str = ""
    """File names made of a list's columns, such as {youtube_id}_{start:06d}_{end:06d}.mp4; with
    start or end in it, a file is the span alone. Empty: the path, or the usual names of an id."""
    label: str = Field("label", min_length=1)
    """What the label is called; sources that share a name share a head, others have their own."""

    def found(self, path: Path) -> Path:
        """Return where a list lies: as given, or in the folder of the media."""
        return path if path.exists() or path.is_absolute() else self.path / path


class FurtherSource(LabelledSource):
    """A source that is learned together with the first, such as pictures beside films."""

    share: float = Field(1.0, gt=0)
    """Its items in a training batch, for each item of the first source."""


@dataclass(frozen=True)
class OpenSource:
    """A source with its lists read and its files walked.

    Attributes
    ----------
    config
        Its options.
    folder
        Its media files.
    rows
        The rows of all its lists.
    digests
        SHA-256 of its lists and files of class names, by what they are for.
    """

    config: LabelledSource
    folder: MediaFolder
    rows: list[Row]
    digests: Mapping[str, str]

    @property
    def labels(self) -> list[str]:
        """Names of its labels, in the order of the list."""
        return list(self.rows[0].labels)


def open_source(config: LabelledSource) -> OpenSource:
    """Read the lists of a source and walk its folder.

    Raises
    ------
    DataError
        If the folder or a list is missing, empty or of another style.
    """
    folder = MediaFolder(config.path)
    lists = {part: getattr(config, part) for part in PARTS}
    given = {part: path for part, path in lists.items() if path is not None}
    if config.style == "folders":
        rows, digests = _folder_rows(config, folder, given), {}
    else:
        if not given:
            raise DataError(
                f"{config.path}: no list of style '{config.style}' is given. Give data.train."
            )
        rows = []
        for part, path in given.items():
            own = "" if list(given) == ["train"] else part
            rows.extend(read_rows(config.found(path), config.style, config.label, own))
        digests = {part: digest_file(config.found(path)) for part, path in given.items()}
    for label, path in config.classes.items():
        if label not in rows[0].labels:
            raise DataError(
                f"data.classes names '{label}', the label is {' or '.join(rows[0].labels)}."
            )
        digests[f"classes of {label}"] = digest_file(config.found(path))
    return OpenSource(config, folder, rows, digests)


def _folder_rows(
    config: LabelledSource, folder: MediaFolder, given: Mapping[str, Path]
) -> list[Row]:
    """Return a row for each file: its class is the first folder below its part's."""
    parts = given or _parts_of(folder)
    rows = []
    for file in folder.files:
        for part, place in (parts or {"": Path()}).items():
            inside = _below(file, place)
            if inside is not None and len(inside.parts) > 1:
                labels = {config.label: (inside.parts[0],)}
                where, id = str(folder.root / file), str(file)
                rows.append(Row(where, id, labels, None, None, part, id, {"id": id}))
    for part, place in (parts or {"": Path()}).items():
        if not any(row.part == part for row in rows):
            raise DataError(
                f"{folder.root / place}: has no folder of a class with films, pictures or sounds "
                "in it. Give one folder a class, or the style of your list (data.style)."
            )
    return rows


def _below(file: Path, place: Path) -> Path | None:
    return file.relative_to(place) if file.is_relative_to(place) else None


def _parts_of(folder: MediaFolder) -> dict[str, Path]:
    """Return the part folders of a root that holds train and another part, and else nothing."""
    tops = {file.parts[0] for file in folder.files if len(file.parts) > 2}
    found = {
        part: Path(next(name for name in names if name in tops))
        for part, names in _PART_FOLDERS.items()
        if not tops.isdisjoint(names)
    }
    if "train" not in found or len(found) < 2:
        return {}
    if "test" not in found:
        # A published validation part without labels for the test is what scores are told of.
        found["test"] = found.pop("validation")
    return found
