"""A run folder as the page reads it: card, configuration, logs, predictions, maps."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import read_json, require_file

Values = NDArray[np.float64]

_LATENTS = ("posterior_mean", "posterior_std", "prior_mean", "prior_std")


@dataclass(frozen=True)
class Prediction:
    """One file of predictions and what its entry in `predictions/index.json` says of it.

    Attributes
    ----------
    file
        The `.npz` of arrays.
    kind
        `"bold"` (predicted and measured time courses), `"pictures"`, `"classes"` or `"latents"`.
    split, fold, subject
        Which test, and whose brain.
    film
        The film that was on, if it is known.
    maps
        The `.npz` of numbers per voxel that the evaluation wrote, if it did.
    mask
        NIfTI mask whose voxels, in C order, are the columns, if they lie in a volume.
    space
        Name of the mask's space, empty if unknown.
    classes
        The `.npz` of numbers per class that the evaluation wrote, if it did.
    """

    file: Path
    kind: str
    split: str = ""
    fold: str = ""
    subject: str = ""
    film: Path | None = None
    maps: Path | None = None
    mask: Path | None = None
    space: str = ""
    classes: Path | None = None

    def load(self) -> dict[str, NDArray[Any]]:
        """Read the arrays."""
        wanted = {
            "bold": ("predicted", "measured"),
            "pictures": ("predicted", "true"),
            "latents": (*_LATENTS, "segment", "film_time_s"),
        }
        return read_arrays(self.file, wanted.get(self.kind, ()))


@dataclass(frozen=True, eq=False)
class Maps:
    """Numbers per voxel of one person in one split.

    Attributes
    ----------
    r
        (V,) correlation, NaN where it is not defined.
    q
        (V,) p-value after the false discovery rate, or None.
    ceilings
        Estimator to (V,) ceiling of r.
    names
        (V,) the region of each voxel, or the name of each region; empty if unnamed.
    spread
        (V,) mean predicted standard deviation, or None.
    """

    split: str
    subject: str
    r: Values
    q: Values | None = None
    ceilings: Mapping[str, Values] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    mask: Path | None = None
    space: str = ""
    spread: Values | None = None

    @property
    def regional(self) -> bool:
        """Whether every column is a region with a name of its own."""
        return bool(self.names) and len(set(self.names)) == len(self.names)


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Everything of a run that the page shows."""

    folder: Path
    card: Scorecard
    config: str
    logs: pd.DataFrame | None
    predictions: tuple[Prediction, ...]
    maps: tuple[Maps, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def kind(self) -> str:
        """Kind of the predictions; of BOLD where there are none."""
        return self.predictions[0].kind if self.predictions else "bold"

    def of_kind(self, kind: str) -> tuple[Prediction, ...]:
        """Return the predictions of one kind."""
        return tuple(item for item in self.predictions if item.kind == kind)

    def bold_of(self, maps: Maps) -> Prediction | None:
        """Return the first predictions of BOLD that some maps speak of."""
        wanted = (maps.split, maps.subject)
        found = (item for item in self.of_kind("bold") if (item.split, item.subject) == wanted)
        return next(found, None)

    def find(self, file: Path) -> Path:
        """Return where a file lies that is named from here or from the run folder."""
        return file if file.is_file() else self.folder / file


def read_run(folder: Path) -> RunRecord:
    """Read a run folder; predictions and logs may be missing, card and configuration may not.

    Raises
    ------
    DataError
        If it is no run folder or was never scored, naming the command to run first.
    """
    folder = Path(folder)
    config = folder / "config.yaml"
    if not config.is_file():
        raise DataError(
            f"{folder}: not a run folder (it has no config.yaml). "
            f"Make one with `brainreel run RECIPE --out {folder}`."
        )
    card = folder / "scorecard.json"
    if not card.is_file():
        raise DataError(
            f"{folder}: not scored yet (it has no scorecard.json). "
            f"Run `brainreel evaluate {folder}` first."
        )
    predictions = _read_index(folder)
    return RunRecord(
        folder=folder,
        card=Scorecard.load(card),
        config=config.read_text(encoding="utf-8"),
        logs=_read_logs(folder / "metrics.csv"),
        predictions=predictions,
        maps=_read_maps(predictions),
    )


def read_arrays(path: Path, wanted: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read an `.npz`, never running code from it, and check that the wanted keys are there."""
    path = require_file(path, "predictions file")
    try:
        # A stream of our own: numpy leaves the file of a broken archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as problem:
        raise DataError(
            f"{path}: cannot be read ({problem}). Run `brainreel evaluate` again."
        ) from problem
    for key in wanted:
        if key not in arrays:
            raise DataError(
                f"{path}: has no '{key}' (it holds {', '.join(sorted(arrays)) or 'nothing'}). "
                "Run `brainreel evaluate` again."
            )
    return arrays


def _read_index(folder: Path) -> tuple[Prediction, ...]:
    home = folder / "predictions"
    index = home / "index.json"
    if not index.is_file():
        return ()
    return tuple(_prediction(home, entry) for entry in read_json(index))


def _prediction(home: Path, entry: Mapping[str, Any]) -> Prediction:
    def inside(key: str) -> Path | None:
        return home / str(entry[key]) if entry.get(key) else None

    return Prediction(
        file=home / str(entry["file"]),
        kind=str(entry["kind"]),
        split=str(entry.get("split") or ""),
        fold=str(entry.get("fold") or ""),
        subject=str(entry.get("subject") or ""),
        film=Path(str(entry["film"])) if entry.get("film") else None,
        maps=inside("maps"),
        mask=inside("mask"),
        space=str(entry.get("space") or ""),
        classes=inside("classes"),
    )


def _read_maps(predictions: tuple[Prediction, ...]) -> tuple[Maps, ...]:
    """Read each maps file once, though every fold of a split names the same one."""
    found: dict[Path, Maps] = {}
    for item in predictions:
        if item.maps is None or item.maps in found:
            continue
        arrays = read_arrays(item.maps, ("r",))
        found[item.maps] = Maps(
            split=item.split,
            subject=item.subject,
            r=arrays["r"].astype(np.float64),
            q=arrays["q"].astype(np.float64) if "q" in arrays else None,
            ceilings={
                key.removeprefix("ceiling_"): values.astype(np.float64)
                for key, values in arrays.items()
                if key.startswith("ceiling_")
            },
            names=tuple(str(name) for name in arrays.get("names", ())),
            mask=item.mask,
            space=item.space,
            spread=arrays["spread"].astype(np.float64) if "spread" in arrays else None,
        )
    return tuple(found.values())


def _read_logs(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        return None
    return None if table.empty else table
