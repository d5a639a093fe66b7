"""BIDS file names: entities, companions of an image, and sidecars that inherit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainreel.errors import DataError
from brainreel.files import read_json

_ALSO_IN_LABEL = ("acq", "ce", "rec", "dir", "echo", "part")  # told apart, in BIDS order
# How fMRIPrep called its results before 2018: sub-01_task-rest_bold_space-T1w_preproc.nii.gz.
_FORMER = {
    "preproc": ("bold", "preproc"),
    "brainmask": ("mask", "brain"),
    "confounds": ("timeseries", "confounds"),
}


@dataclass(frozen=True)
class BidsName:
    """A BIDS file name taken apart: `sub-01_task-film_bold.nii.gz`.

    Attributes
    ----------
    path
        The file.
    entities
        Key -> value, such as `{"sub": "01", "task": "film"}`.
    suffix, extension
        `"bold"` and `".nii.gz"`.
    """

    path: Path
    entities: Mapping[str, str]
    suffix: str
    extension: str

    @classmethod
    def of(cls, path: Path) -> BidsName:
        """Take a file name apart; parts that are no `key-value` are left out.

        fMRIPrep's former names are read as the present ones.
        """
        stem, dot, extension = path.name.partition(".")
        *parts, last = stem.split("_")
        if "-" in last:  # a film called task-cartoon.mp4 has no suffix
            parts, last = [*parts, last], ""
        pairs = (part.partition("-") for part in parts)
        entities = {k: v for k, sign, v in pairs if sign}
        if "bold" in parts and last in _FORMER:
            last, entities["desc"] = _FORMER[last]
        return cls(path, entities, last, dot + extension)

    def applies_to(self, other: BidsName, *, but: Iterable[str] = ()) -> bool:
        """Tell whether every entity here is also the other's (but for some that are its own)."""
        mine = {key: value for key, value in self.entities.items() if key not in but}
        return all(_same(key, value, other.entities.get(key)) for key, value in mine.items())

    @property
    def variant(self) -> str:
        """Entities beyond subject, session, task and run that tell runs apart (`acq-AP`)."""
        found = (f"{k}-{self.entities[k]}" for k in _ALSO_IN_LABEL if k in self.entities)
        return "_".join(found)

    @property
    def space(self) -> str:
        """Space and resolution as fMRIPrep writes them: `MNI152NLin2009cAsym:res-2`."""
        resolution = self.entities.get("res")
        return self.entities.get("space", "") + (f":res-{resolution}" if resolution else "")


def _same(key: str, mine: str, other: str | None) -> bool:
    if key == "run" and other is not None and mine.isdigit() and other.isdigit():
        return int(mine) == int(other)
    return mine == other


def folders_between(top: Path, file: Path) -> list[Path]:
    """Return the folders from `top` down to the one that holds `file`."""
    inner = file.parent.relative_to(top).parts
    return [top.joinpath(*inner[:depth]) for depth in range(len(inner) + 1)]


def companion(
    image: BidsName, folders: Iterable[Path], suffix: str, extension: str, desc: str = ""
) -> Path | None:
    """Return the file of another kind that belongs to an image, the most specific if several.

    Raises
    ------
    DataError
        If two files fit equally well.
    """
    fitting = [
        name
        for folder in folders
        if folder.is_dir()
        for name in map(BidsName.of, sorted(folder.glob(f"*{extension}*")))
        if name.suffix == suffix
        and name.extension.startswith(extension)
        and name.entities.get("desc", "") == desc
        and name.applies_to(image, but=("desc",))
    ]
    return most_specific(image, fitting, f"a file '{suffix}'")


def most_specific(image: BidsName, fitting: list[BidsName], what: str) -> Path | None:
    """Return the one of several fitting files with the most entities, deepest in the tree."""
    if not fitting:
        return None
    rank = {name.path: (len(name.entities), len(name.path.parts)) for name in fitting}
    best = [path for path in rank if rank[path] == max(rank.values())]
    if len(best) > 1:
        raise DataError(
            f"{image.path}: two files fit as {what}: {best[0].name} and {best[1].name}. "
            "Remove or rename one of them."
        )
    return best[0]


def sidecar(image: BidsName, tops: Iterable[Path]) -> dict[str, Any]:
    """Return the JSON facts of an image; a nearer file overrules a farther one.

    The rule is BIDS' inheritance principle: a sidecar higher up applies to every image whose
    entities contain its own. `tops` are data set roots, farthest first.
    """
    facts: dict[str, Any] = {}
    for top in tops:
        start = top if image.path.is_relative_to(top) else None
        folders = folders_between(top, image.path) if start else _mirrored(top, image)
        for folder in folders:
            names = [BidsName.of(path) for path in sorted(folder.glob("*bold.json"))]
            fitting = [n for n in names if n.suffix == "bold" and n.applies_to(image)]
            for name in sorted(fitting, key=lambda n: len(n.entities)):
                facts.update(_mapping(name.path))
    return facts


def _mapping(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: a sidecar is a mapping of names to values.")
    return content


def _mirrored(top: Path, image: BidsName) -> list[Path]:
    """Return the folders of another data set that correspond to an image's."""
    folders = [top, top / f"sub-{image.entities.get('sub', '')}"]
    if "ses" in image.entities:
        folders.append(folders[-1] / f"ses-{image.entities['ses']}")
    return [*folders, folders[-1] / "func"]


def folders_for(top: Path, image: BidsName) -> list[Path]:
    """Return the folders of a data set in which companions of an image may lie, farthest first."""
    return _mirrored(top, image)
