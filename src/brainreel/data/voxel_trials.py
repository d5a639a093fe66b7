"""Voxel vectors of people made from their scans, each with its picture, class, run and repeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.trial_parts import TrialPart
from brainreel.data.trial_pictures import UInt8, find_pictures, read_pictures
from brainreel.errors import DataError, OutputError
from brainreel.files import digest_file, digest_json, read_json
from brainreel.fmri.masks import mask_digest
from brainreel.fmri.prepare import PrepareConfig
from brainreel.fmri.rois import regions_digest
from brainreel.fmri.sources import MANIFEST
from brainreel.fmri.trial_tables import FOLDER, TrialRow, label_of
from brainreel.fmri.voxel_vectors import VoxelVectors, vectors_folder, write_vectors

FORMAT = 1
_VERSIONS_OF = ("brainreel", "nibabel", "numpy")


@dataclass(frozen=True, eq=False)
class TrialPlan:
    """All trials of all people, and what they saw.

    Attributes
    ----------
    people
        Person to the parts that their trials come from.
    files
        Picture as tables name it -> its file; empty where classes are all that is known.
    item_of
        Picture as tables name it -> its number; the same picture has one, whatever its name.
    label_column
        Where classes come from, or empty.
    classes
        Names of the classes, in the order of their numbers.
    """

    people: Mapping[str, Sequence[TrialPart]]
    files: Mapping[str, Path]
    item_of: Mapping[str, int]
    label_column: str
    classes: tuple[str, ...]

    def class_of(self, row: TrialRow) -> str:
        """Return the name of a trial's class."""
        if self.label_column == FOLDER:
            return self.files[row.picture].parent.name
        return row.labels[self.label_column]

    def rows(self, subject: str) -> Iterator[TrialRow]:
        """Yield the trials of a person, in the order of their vectors."""
        return (row for part in self.people[subject] for row in part.rows)


def plan_trials(
    parts: Sequence[TrialPart], folders: Sequence[Path], config: PrepareConfig, out: Path
) -> TrialPlan:
    """Find pictures and classes of all trials; no voxel and no pixel is read.

    Parameters
    ----------
    parts
        Of all people, in the order of trials.
    folders
        Where pictures are sought.
    config
        Options.
    out
        Where the vectors will go.

    Raises
    ------
    DataError
        If pictures are missing, a person has one trial or parts of different voxels, or some
        trials have a picture or class and others not.
    OutputError
        If vectors that were made with other options, or of other voxels, stand there.
    """
    people: dict[str, list[TrialPart]] = {}
    for part in parts:
        people.setdefault(part.subject, []).append(part)
    for subject, own in people.items():
        _check_person(subject, own)
        _check_free(vectors_folder(out, subject), config, own[0])
    rows = [row for part in parts for row in part.rows]
    lacking = [row for row in rows if not row.picture]
    if lacking and len(lacking) < len(rows):
        raise DataError(
            f"{len(lacking)} of {len(rows)} trials have no picture, the first in row "
            f"{lacking[0].row}. Take those that have one with trials.types, or fill the column "
            f"{config.trials.stim_column}."
        )
    files = {} if lacking else find_pictures((row.picture for row in rows), folders)
    plan = TrialPlan(people, files, _numbered(files), label_of(rows, config.trials), ())
    if plan.label_column == FOLDER and not files:
        raise DataError("trials.label_column=folder: there are no pictures that lie in folders.")
    classes = {plan.class_of(row) for row in rows} if plan.label_column else set()
    return TrialPlan(people, files, plan.item_of, plan.label_column, tuple(sorted(classes)))


def _check_person(subject: str, parts: Sequence[TrialPart]) -> None:
    n_trials = sum(len(part.rows) for part in parts)
    if n_trials < 2:
        raise DataError(
            f"sub-{subject}: one trial cannot be split into training and test. Give more, or leave "
            "the person out."
        )
    first = parts[0]
    for part in parts[1:]:
        if mask_digest(part.mask) != mask_digest(first.mask):
            raise DataError(
                f"sub-{subject}: {first.label} and {part.label} have different voxels "
                f"({first.mask.n_voxels} and {part.mask.n_voxels}). Give one mask, on one grid."
            )


def _check_free(folder: Path, config: PrepareConfig, part: TrialPart) -> None:
    if not folder.exists():
        return
    manifest = folder / MANIFEST
    there = read_json(manifest) if manifest.is_file() else {}
    told = ""
    if there.get("options_digest") != _options_digest(config):
        told = "with other options"
    elif any(there.get(name) != digest for name, digest in _voxel_digests(part).items()):
        told = "of other voxels or regions"
    if told:
        raise OutputError(f"{folder}: was made {told}. Choose another --out, or remove it first.")


def _voxel_digests(part: TrialPart) -> dict[str, str]:
    return {
        "mask_digest": mask_digest(part.mask),
        "regions_digest": regions_digest(part.regions),
    }


def _options_digest(config: PrepareConfig) -> str:
    return digest_json([config.options(), config.trials.to_dict()])


def _numbered(files: Mapping[str, Path]) -> dict[str, int]:
    """Number pictures by content, in the order of their names."""
    numbers: dict[str, int] = {}
    by_name = sorted(files)
    digests = [digest_file(files[name]) for name in by_name]
    return {
        name: numbers.setdefault(digest, len(numbers))
        for name, digest in zip(by_name, digests, strict=True)
    }


def _item_names(plan: TrialPlan) -> list[str]:
    """Return the first name of each picture, in the order of their numbers."""
    first: dict[int, str] = {}
    for name, number in plan.item_of.items():
        first.setdefault(number, name)
    return [first[number] for number in sorted(first)]


def read_items(plan: TrialPlan, config: PrepareConfig) -> UInt8 | None:
    """Read each picture once, (items, C, H, W); None where there are none."""
    if not plan.files:
        return None
    paths = [plan.files[name] for name in _item_names(plan)]
    return read_pictures(paths, config.trials.picture_size, config.trials.grey)


def make_trials(
    plan: TrialPlan, pictures: UInt8 | None, out: Path, config: PrepareConfig
) -> dict[str, Path]:
    """Write `OUT/trials/sub-01/sub-01_trials.npz` for each person; return the files.

    Beside what `write_vectors` writes the .npz holds `pictures` (B, C, H, W) uint8, `items` (B,)
    numbers that repeats of a picture share, and `item_names`; `labels` (B,) and `label_names`.
    Numbers of pictures and classes mean the same in everybody. Data kind `trials` reads it.

    Parameters
    ----------
    plan
        From `plan_trials`; runs of events are prepared.
    pictures
        From `read_items`.
    out, config
        Where to, and how.
    """
    return {subject: _make_person(subject, plan, pictures, out, config) for subject in plan.people}


def _make_person(
    subject: str, plan: TrialPlan, pictures: UInt8 | None, out: Path, config: PrepareConfig
) -> Path:
    parts = plan.people[subject]
    names = [name for part in parts for name in part.runs]
    runs = tuple(dict.fromkeys(names))
    vectors = VoxelVectors(
        voxels=np.concatenate([part.vectors() for part in parts]),
        mask=parts[0].mask,
        regions=parts[0].regions,
        run=np.array([runs.index(name) for name in names], np.int64),
        runs=runs,
    )
    sources = {name: digest for part in parts for name, digest in part.sources().items()}
    facts = {
        "format": FORMAT,
        "subject": f"sub-{subject}",
        "options": config.to_dict(),
        "options_digest": _options_digest(config),
        "label_column": plan.label_column,
        "n_left_out": sum(part.n_left_out for part in parts),
        "n_sharing_volumes": sum(part.n_sharing for part in parts),
        **_voxel_digests(parts[0]),
        "sources": sources,
        "versions": {name: version(name) for name in _VERSIONS_OF},
    }
    arrays = _arrays(list(plan.rows(subject)), plan, pictures)
    return write_vectors(vectors_folder(out, subject), vectors, arrays, facts)


def _arrays(
    rows: Sequence[TrialRow], plan: TrialPlan, pictures: UInt8 | None
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    if pictures is not None:
        items = np.array([plan.item_of[row.picture] for row in rows], np.int64)
        names = np.array(_item_names(plan), dtype=str)
        arrays |= {"pictures": pictures[items], "items": items, "item_names": names}
    if plan.label_column:
        number_of = {name: number for number, name in enumerate(plan.classes)}
        labels = np.array([number_of[plan.class_of(row)] for row in rows], np.int64)
        arrays |= {"labels": labels, "label_names": np.array(plan.classes, dtype=str)}
    if all(row.onset_s is not None for row in rows):
        arrays["onsets_s"] = np.array([float(row.onset_s or 0) for row in rows])
    return arrays


def told_of(plan: TrialPlan, subject: str) -> str:
    """Say what a person's vectors hold, for somebody who looks before they are made."""
    parts = plan.people[subject]
    rows = list(plan.rows(subject))
    n_runs = len({name for part in parts for name in part.runs})
    told = [f"{len(rows)} trials in {n_runs} run{'s' * (n_runs != 1)}"]
    if plan.files:
        told.append(f"{len({plan.item_of[row.picture] for row in rows})} pictures")
    if plan.label_column:
        told.append(f"{len(plan.classes)} classes by {plan.label_column}")
    left_out = sum(part.n_left_out for part in parts)
    if left_out:
        told.append(f"{left_out} left out, not wholly in the scan")
    return ", ".join(told)
