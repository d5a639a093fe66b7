"""The files of predictions in a run folder, and back."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from brainreel.errors import DataError
from brainreel.files import read_json, require_file, write_aside, write_json
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.normalize import Moments
from brainreel.train.class_predictions import ClassPrediction
from brainreel.train.label_predictions import LabelPrediction
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.predictions import AnyPrediction, PicturePrediction, Prediction

_INDEX = "index.json"


def save_predictions(folder: Path, predictions: Sequence[AnyPrediction]) -> Path:
    """Write `<fold>_<subject>.npz` for each, masks as NIfTI, and `index.json`; return the index.

    Without a subject it is `<fold>.npz`, of latent units `latents_<fold>_<subject>.npz`. Each file
    is whole or not there; the index comes last, so an index names only whole files.
    """
    folder = Path(folder)
    files = [_file_of(item) for item in predictions]
    if len(set(files)) < len(files):
        raise DataError(f"{folder}: two predictions of one fold and person. Name folds apart.")
    entries = []
    for file, prediction in zip(files, predictions, strict=True):
        with write_aside(folder / file) as aside:
            arrays: dict[str, Any] = prediction._arrays()
            np.savez(aside, **arrays)
        entry = {
            "file": file,
            "kind": prediction.kind,
            "split": prediction.split,
            "fold": prediction.fold,
            "subject": prediction.subject,
            **prediction._entry(),
        }
        if isinstance(prediction, Prediction) and prediction.mask is not None:
            entry |= _save_mask(folder, prediction.subject, prediction.mask)
        entries.append(entry)
    write_json(folder / _INDEX, entries)
    return folder / _INDEX


def load_predictions(folder: Path) -> list[AnyPrediction]:
    """Read what `save_predictions` wrote, in its order.

    Raises
    ------
    DataError
        If a file is missing or broken, naming it.
    """
    folder = Path(folder)
    index = require_file(folder / _INDEX, "list of predictions")
    return [_load(folder, entry) for entry in read_json(index)]


def _file_of(item: AnyPrediction) -> str:
    kind = item.kind if isinstance(item, LatentPrediction) else ""
    return "_".join(filter(None, (kind, item.fold, item.subject))) + ".npz"


def _save_mask(folder: Path, subject: str, mask: VoxelMask) -> dict[str, str]:
    file = f"mask_{subject}.nii.gz"
    with write_aside(folder / file) as aside:
        nib.save(nib.Nifti1Image(mask.inside.astype(np.uint8), mask.affine), aside)
    return {"mask": file, "space": mask.space}


def _load_mask(folder: Path, entry: Mapping[str, Any]) -> VoxelMask | None:
    if not entry.get("mask"):
        return None
    image = nib.load(require_file(folder / str(entry["mask"]), "mask"))
    inside = np.asarray(image.dataobj) > 0
    return VoxelMask(inside, np.asarray(image.affine, dtype=np.float64), str(entry["space"]))


def _load(folder: Path, entry: Mapping[str, Any]) -> AnyPrediction:
    path = require_file(folder / str(entry["file"]), "predictions file")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays: dict[str, Any] = {key: stored[key] for key in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as problem:
        raise DataError(f"{path}: cannot be read ({problem}). Run it again.") from problem
    arrays |= {key: str(entry[key]) for key in ("split", "fold", "subject")}
    try:
        if entry["kind"] == PicturePrediction.kind:
            return PicturePrediction.from_arrays(arrays)
        if entry["kind"] == ClassPrediction.kind:
            return ClassPrediction.from_arrays(arrays)
        if entry["kind"] == LabelPrediction.kind:
            return LabelPrediction.from_arrays(arrays)
        if entry["kind"] == LatentPrediction.kind:
            return LatentPrediction(**arrays)
        for key in ("recordings", "stimuli", "films", "names"):
            arrays[key] = tuple(str(item) for item in arrays[key])
        arrays["tr_s"] = float(arrays["tr_s"])
        kept = [arrays.pop(f"bold_{key}", None) for key in ("n", "mean", "std")]
        rows = [] if kept[0] is None else zip(*kept, strict=True)
        moments = tuple(Moments(int(n), mean, std) for n, mean, std in rows)
        return Prediction(**arrays, mask=_load_mask(folder, entry), moments=moments)
    except (KeyError, TypeError, ValueError) as problem:
        raise DataError(
            f"{path}: is no file of predictions ({problem}). Run it again."
        ) from problem
