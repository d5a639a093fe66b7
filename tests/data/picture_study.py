"""A small BIDS study on disk: two people see pictures in two runs, some pictures in both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainreel.simulate.pictures import write_png

GRID, N_TRS, TR_S, SLICE_S = (6, 5, 4), 50, 1.5, 0.75
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
SPACE = "MNI152NLin2009cAsym"


@dataclass(frozen=True)
class PictureStudy:
    """Where its parts lie."""

    root: Path
    atlas: Path

    def bold(self, subject: str, run: int) -> Path:
        """The preprocessed image of a run."""
        func = self.root / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"
        return func / f"sub-{subject}_task-see_run-{run}_space-{SPACE}_desc-preproc_bold.nii.gz"

    def events(self, subject: str, run: int) -> Path:
        """The events of a run."""
        func = self.root / f"sub-{subject}" / "func"
        return func / f"sub-{subject}_task-see_run-{run}_events.tsv"


def save(path: Path, values: np.ndarray) -> Path:
    """Write an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        image.header["pixdim"][4] = TR_S
    nib.save(image, path)
    return path


def brain() -> np.ndarray:
    """Voxels of the brain."""
    inside = np.zeros(GRID, np.uint8)
    inside[1:, 1:4, :3] = 1
    return inside


def labels() -> np.ndarray:
    """V1 is 3, LOC is 8; 5 lies outside the brain."""
    values = np.zeros(GRID, np.int16)
    values[1:3, :, 1:], values[4, 2:, :], values[0] = 3, 8, 5
    return values


def write_table(path: Path, **columns: object) -> Path:
    """Write a table parted by tabs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path


def name_of(number: int) -> str:
    """The picture of a number, in the folder of its kind."""
    return f"{'cat' if number % 2 else 'dog'}/p{number}.png"


def make_study(root: Path) -> PictureStudy:
    """Six pictures a run; the first two of run 1 come back in run 2, one under another name."""
    study = PictureStudy(root, root.parent / f"tpl-{SPACE}_atlas-two_dseg.nii.gz")
    save(study.atlas, labels())
    write_table(
        study.atlas.with_name(f"tpl-{SPACE}_atlas-two_dseg.tsv"),
        index=[0, 3, 8, 5],
        name=["none", "V1", "LOC", "far"],
    )
    results = root / "derivatives" / "fmriprep"
    for folder, kind in ((root, "raw"), (results, "derivative")):
        folder.mkdir(parents=True)
        described = {"Name": "see", "BIDSVersion": "1.9.0", "DatasetType": kind}
        (folder / "dataset_description.json").write_text(json.dumps(described))
    rng = np.random.default_rng(0)
    for number in range(10):
        picture = rng.integers(0, 256, (12, 16), dtype=np.uint8)
        write_png(root / "stimuli" / name_of(number), picture)
    again = root / "stimuli" / "cat" / "again.png"
    again.write_bytes((root / "stimuli" / "cat" / "p1.png").read_bytes())
    for person, subject in enumerate(("01", "02")):
        for run in (1, 2):
            _add_run(study, subject, run, seed=10 * person + run)
    return study


def _add_run(study: PictureStudy, subject: str, run: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = rng.uniform(500, 1500, (*GRID, 1))
    values = (level + rng.normal(0, 10, (*GRID, N_TRS))).astype(np.float32)
    path = save(study.bold(subject, run), values)
    save(path.with_name(path.name.replace("preproc_bold", "brain_mask")), brain())
    facts = {"RepetitionTime": TR_S, "SliceTimingCorrected": True, "StartTime": SLICE_S}
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(facts))
    save(
        study.root / f"sub-{subject}" / "func" / f"sub-{subject}_task-see_run-{run}_bold.nii.gz",
        values,
    )
    own = [f"{'cat' if n % 2 else 'dog'}/p{n}.png" for n in range(6)]
    if run == 2:
        own = [
            "dog/p0.png",
            "cat/again.png",
            *(f"{'cat' if n % 2 else 'dog'}/p{n}.png" for n in range(6, 10)),
        ]
    write_table(
        study.events(subject, run),
        onset=[3.0, 12.5, 22.0, 22.1, 31.7, 41.0, 55.0],
        duration=1.0,
        trial_type=["picture"] * 3 + ["button"] + ["picture"] * 3,
        stim_file=[*own[:3], "n/a", *own[3:]],
    )
