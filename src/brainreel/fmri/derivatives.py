"""BIDS derivatives: how predicted images and what is told of them are called."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainreel.files import write_json
from brainreel.fmri.names import BidsName

BIDS_VERSION = "1.10.0"


@dataclass(frozen=True)
class PredictedNames:
    """Names of the predicted images of one person and one film.

    Attributes
    ----------
    subject
        `"sub-30"`.
    task
        What was watched, letters and digits alone.
    space
        As `BidsName.space` gives it, `"MNI152NLin2009cAsym:res-2"`; empty if unknown.
    """

    subject: str
    task: str
    space: str = ""

    def image(self, desc: str) -> Path:
        """Return the path of an image in the data set, such as `desc="predicted"`."""
        return self._file(desc, ".nii.gz")

    def sidecar(self, desc: str) -> Path:
        """Return the path of what is told of it."""
        return self._file(desc, ".json")

    def _file(self, desc: str, end: str) -> Path:
        named = [self.subject, f"task-{self.task}"]
        if self.space:
            space, _, resolution = self.space.partition(":")
            named += [f"space-{space}", *([resolution] if resolution else [])]
        name = "_".join([*named, f"desc-{desc}", "bold"])
        return Path(self.subject) / "func" / f"{name}{end}"


def task_of_film(film: Path) -> str:
    """Return the task that a film's name tells: its task entity, or its letters and digits."""
    told = BidsName.of(film).entities.get("task") or film.stem
    told = unicodedata.normalize("NFKD", told)  # é is e and an accent, which is left out
    return "".join(c for c in told if c.isascii() and c.isalnum()) or "film"


def write_description(root: Path, name: str, generated_by: Mapping[str, Any]) -> None:
    """Write `dataset_description.json` of a derivative."""
    write_json(
        root / "dataset_description.json",
        {
            "Name": name,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [dict(generated_by)],
        },
    )
