"""What a task predicts for the test part of a fold, and its files in the run folder."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Fold, Segment, Series
from brainreel.errors import DataError
from brainreel.files import read_json, require_file, write_aside, write_json
from brainreel.fmri.bold import VoxelMask
from brainreel.shapes import check_shape
from brainreel.train.class_predictions import ClassPrediction

Float32 = NDArray[np.float32]

_INDEX = "index.json"


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted and measured BOLD of one person in the test segments of one fold.

    Attributes
    ----------
    split, fold, subject
        Which test, and whose brain.
    predicted, measured
        (T, V) in units of the training segments' standard deviation; the segments follow each
        other.
    segment
        (T,) number of the test segment that a TR belongs to, from 0.
    film_time_s
        (T,) film time at the onset of each TR, in seconds.
    recordings, stimuli
        Label and stimulus of each segment.
    films
        Film file of each segment, empty where there is none.
    tr_s
        Repetition time in seconds.
    mask
        Where the voxels lie, or None.
    names
        Names of the columns (regions), or empty.
    """

    split: str
    fold: str
    subject: str
    predicted: Float32
    measured: Float32
    segment: NDArray[np.int64]
    film_time_s: NDArray[np.float64]
    recordings: tuple[str, ...]
    stimuli: tuple[str, ...]
    films: tuple[str, ...] = ()
    tr_s: float = 0.0
    mask: VoxelMask | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = check_shape(self.predicted, "T V", name="predicted")
        check_shape(self.measured, "T V", name="measured", **sizes)
        check_shape(self.segment, "T", name="segment", T=sizes["T"])
        check_shape(self.film_time_s, "T", name="film_time_s", T=sizes["T"])

    kind = "bold"

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "predicted": self.predicted.astype(np.float32),
            "measured": self.measured.astype(np.float32),
            "segment": self.segment,
            "film_time_s": self.film_time_s,
            "recordings": np.array(self.recordings, dtype=np.str_),
            "stimuli": np.array(self.stimuli, dtype=np.str_),
            "films": np.array(self.films, dtype=np.str_),
            "tr_s": np.array(self.tr_s),
            "names": np.array(self.names, dtype=np.str_),
        }

    def _entry(self) -> dict[str, Any]:
        shown = dict.fromkeys(film for film in self.films if film)
        return {"film": next(iter(shown))} if len(shown) == 1 else {}


@dataclass(frozen=True, eq=False)
class PicturePrediction:
    """Reconstructed and true pictures of the test trials of one fold.

    Attributes
    ----------
    split, fold, subject
        Which test, and whose brain.
    predicted, true
        (B, C, H, W) in [0, 1].
    labels
        (B,) class labels, -1 where there are none.
    trials
        (B,) indices of the trials in the data.
    baseline
        (C, H, W) mean picture of the training trials: what is known without the brain.
    """

    split: str
    fold: str
    subject: str
    predicted: Float32
    true: Float32
    labels: NDArray[np.int64]
    trials: NDArray[np.int64]
    baseline: Float32

    def __post_init__(self) -> None:
        sizes = check_shape(self.predicted, "B C H W", name="predicted")
        check_shape(self.true, "B C H W", name="true", **sizes)
        check_shape(self.labels, "B", name="labels", B=sizes["B"])
        check_shape(self.trials, "B", name="trials", B=sizes["B"])
        check_shape(self.baseline, "C H W", name="baseline", **{a: sizes[a] for a in "CHW"})

    kind = "pictures"

    def _arrays(self) -> dict[str, NDArray[Any]]:
        names = ("predicted", "true", "labels", "trials", "baseline")
        return {name: getattr(self, name) for name in names}

    def _entry(self) -> dict[str, Any]:
        return {}


AnyPrediction = Prediction | PicturePrediction | ClassPrediction


def bold_prediction(
    series: Series,
    fold: Fold,
    segments: Sequence[Segment],
    predicted: Sequence[Float32],
    measured: Sequence[Float32],
) -> Prediction:
    """Join one person's test segments, in their order, into a `Prediction`.

    Parameters
    ----------
    series, fold
        Where the segments come from.
    segments
        Test segments of one person.
    predicted, measured
        (T, V) of each segment, in the same units.
    """
    recordings = [series.recordings[segment.recording] for segment in segments]
    first = recordings[0]
    times = [
        float(recording.bold.grid.onset_s(tr))
        for recording, segment in zip(recordings, segments, strict=True)
        for tr in range(segment.start_tr, segment.stop_tr)
    ]
    return Prediction(
        split=fold.split,
        fold=fold.name,
        subject=first.subject,
        predicted=np.concatenate(predicted),
        measured=np.concatenate(measured),
        segment=np.repeat(np.arange(len(segments)), [segment.n_trs for segment in segments]),
        film_time_s=np.array(times),
        recordings=tuple(recording.label for recording in recordings),
        stimuli=tuple(recording.stimulus for recording in recordings),
        films=tuple(str(recording.film or "") for recording in recordings),
        tr_s=float(first.bold.tr_s),
        mask=first.bold.mask,
        names=first.bold.names,
    )


def save_predictions(folder: Path, predictions: Sequence[AnyPrediction]) -> Path:
    """Write `<fold>_<subject>.npz` for each, masks as NIfTI, and `index.json`; return the index.

    Without a subject it is `<fold>.npz`. Each file is whole or not there; the index comes last,
    so an index names only whole files.
    """
    folder = Path(folder)
    files = ["_".join(filter(None, (item.fold, item.subject))) + ".npz" for item in predictions]
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


def pool(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Join the folds of each split and person, segments renumbered, for scores over all of them."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for item in predictions:
        groups.setdefault((item.split, item.subject), []).append(item)
    return [_joined(items) for items in groups.values()]


def _joined(items: Sequence[Prediction]) -> Prediction:
    first = items[0]
    if len(items) == 1:
        return first
    starts = np.cumsum([0, *(len(item.recordings) for item in items)])
    return Prediction(
        split=first.split,
        fold=first.split,
        subject=first.subject,
        predicted=np.concatenate([item.predicted for item in items]),
        measured=np.concatenate([item.measured for item in items]),
        segment=np.concatenate(
            [item.segment + start for item, start in zip(items, starts[:-1], strict=True)]
        ),
        film_time_s=np.concatenate([item.film_time_s for item in items]),
        recordings=tuple(label for item in items for label in item.recordings),
        stimuli=tuple(label for item in items for label in item.stimuli),
        films=tuple(film for item in items for film in item.films),
        tr_s=first.tr_s,
        mask=first.mask,
        names=first.names,
    )


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
            return PicturePrediction(**arrays)
        if entry["kind"] == ClassPrediction.kind:
            return ClassPrediction.from_arrays(arrays)
        for key in ("recordings", "stimuli", "films", "names"):
            arrays[key] = tuple(str(item) for item in arrays[key])
        arrays["tr_s"] = float(arrays["tr_s"])
        return Prediction(**arrays, mask=_load_mask(folder, entry))
    except (KeyError, TypeError, ValueError) as problem:
        raise DataError(
            f"{path}: is no file of predictions ({problem}). Run it again."
        ) from problem
