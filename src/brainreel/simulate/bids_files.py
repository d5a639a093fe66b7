"""Writes a BIDS folder: the study's own files, and those of its derivatives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainreel.files import write_aside, write_json, write_text
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.image_series import ImageSeries

BIDS_VERSION = "1.10.0"
_LICENSE = "CC0"
_NAME = "Simulated films and pictures"

_README = """# Simulated films and pictures

A small fMRI study in which every answer is known. No person was scanned: films, people and
scanner are simulated by brainreel.

- `task-film`: people watch procedural films with sound, one film a run.
- `task-pictures`: people see simple pictures, one every few seconds.
- `stimuli/`: the films and pictures; the events name the one that was shown.
- `derivatives/fmriprep/`: BOLD, brain masks and confounds, named as fMRIPrep names them.
- `derivatives/trials/`: one voxel vector per picture, as a model of single trials gives.
- `derivatives/truth/`: noise-free signals, noise levels and regions. Not for fitting.
"""

_EVENT_COLUMNS = {
    "onset": {"Description": "Start of the event after the first volume", "Units": "s"},
    "duration": {"Description": "Length of the event", "Units": "s"},
    "trial_type": {
        "Description": "What was presented",
        "Levels": {"film": "a film with sound", "picture": "a picture on a dark screen"},
    },
    "stim_file": {"Description": "The file that was shown, in the folder stimuli"},
    "category": {"Description": "What a picture shows"},
}


@dataclass(frozen=True)
class Task:
    """A task as its sidecar tells it."""

    name: str
    told: str
    instructions: str


TASKS = (
    Task("film", "Watching a film with sound.", "Watch the film and listen."),
    Task("pictures", "Looking at simple pictures.", "Look at the pictures."),
)


def write_study_files(root: Path, subjects: Sequence[str], tr_s: float) -> None:
    """Write the descriptions, the list of people, and the sidecars that all runs inherit."""
    write_json(
        root / "dataset_description.json",
        {
            "Name": _NAME,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "License": _LICENSE,
            "Authors": ["The brainreel developers"],
            "GeneratedBy": [{"Name": "brainreel simulate"}],
        },
    )
    for name, told in (
        ("fmriprep", "preprocessed runs"),
        ("trials", "single-trial voxel vectors"),
        ("truth", "noise-free signals and noise levels"),
    ):
        write_json(
            root / "derivatives" / name / "dataset_description.json",
            {
                "Name": f"{_NAME}: {told}",
                "BIDSVersion": BIDS_VERSION,
                "DatasetType": "derivative",
                "License": _LICENSE,
                "GeneratedBy": [{"Name": "brainreel simulate", "Description": told}],
                "SourceDatasets": [{"URL": "../.."}],
            },
        )
    write_text(root / "README.md", _README)
    people = pd.DataFrame({"participant_id": subjects, "group": "simulated"})
    write_table(root / "participants.tsv", people)
    write_json(
        root / "participants.json",
        {
            "participant_id": {"Description": "Name of the person"},
            "group": {"Description": "Where the data come from", "Levels": {"simulated": "code"}},
        },
    )
    for task in TASKS:
        write_json(root / f"task-{task.name}_bold.json", bold_sidecar(task, tr_s))
        write_json(root / f"task-{task.name}_events.json", _EVENT_COLUMNS)


def bold_sidecar(task: Task, tr_s: float) -> dict[str, Any]:
    """Return what a run's sidecar must say."""
    return {
        "TaskName": task.name,
        "TaskDescription": task.told,
        "Instructions": task.instructions,
        "RepetitionTime": tr_s,
    }


@contextmanager
def run_images(
    root: Path, subject: str, entities: str, mask: VoxelMask, n_trs: int, tr_s: float
) -> Iterator[ImageSeries]:
    """Write the image of a run volume by volume, raw and preprocessed alike, as 16-bit NIfTI.

    Parameters
    ----------
    root
        The BIDS folder.
    subject, entities
        Such as "sub-01", and "task-film_run-1".
    mask
        Where the voxels lie.
    n_trs, tr_s
        Number of volumes, and seconds between them.
    """
    raw, derived = run_stems(root, subject, entities)
    space = f"_space-{mask.space}_desc-preproc_bold.nii.gz"
    with write_aside(raw.with_name(f"{raw.name}_bold.nii.gz")) as aside:
        with ImageSeries(aside, mask, n_trs, tr_s, dtype="<i2", space="mni") as image:
            yield image
        with write_aside(derived.with_name(derived.name + space)) as copied:
            shutil.copyfile(aside, copied)


def run_stems(root: Path, subject: str, entities: str) -> tuple[Path, Path]:
    """Return where the files of a run begin: raw, and preprocessed."""
    derived = root / "derivatives" / "fmriprep"
    raw, made = (folder / subject / "func" / f"{subject}_{entities}" for folder in (root, derived))
    return raw, made


def write_run_tables(
    root: Path,
    subject: str,
    entities: str,
    task: Task,
    mask: VoxelMask,
    tr_s: float,
    events: pd.DataFrame,
    confounds: pd.DataFrame,
    confounds_sidecar: Mapping[str, Any],
) -> None:
    """Write all of a run but its image: events, confounds, sidecars, mask."""
    raw, derived = run_stems(root, subject, entities)
    write_table(raw.with_name(f"{raw.name}_events.tsv"), events)
    folder, stem = derived.parent, derived.name
    spaced = f"{stem}_space-{mask.space}"
    sidecar = bold_sidecar(task, tr_s) | {"SkullStripped": True, "SliceTimingCorrected": False}
    write_json(folder / f"{spaced}_desc-preproc_bold.json", sidecar)
    inside = mask.inside.astype(np.uint8)
    write_image(folder / f"{spaced}_desc-brain_mask.nii.gz", inside, mask)
    write_json(folder / f"{spaced}_desc-brain_mask.json", {"Type": "Brain"})
    write_table(folder / f"{stem}_desc-confounds_timeseries.tsv", confounds)
    write_json(folder / f"{stem}_desc-confounds_timeseries.json", dict(confounds_sidecar))


def write_image(path: Path, values: NDArray[np.int16] | NDArray[np.uint8], mask: VoxelMask) -> None:
    """Write a NIfTI volume in the template's space."""
    image = nibabel.Nifti1Image(values, mask.affine)
    image.set_sform(mask.affine, code="mni")
    image.set_qform(mask.affine, code="mni")
    image.header.set_xyzt_units("mm", "sec")
    with write_aside(path) as aside:
        nibabel.save(image, aside)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as BIDS wants it: tabs, `n/a` for what is missing."""
    text = table.to_csv(None, sep="\t", index=False, na_rep="n/a", float_format="%.7g")
    write_text(path, text)
