"""What a task predicts for the test part of a fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Fold, Segment, Series
from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.normalize import Moments
from brainreel.shapes import check_shape
from brainreel.train.class_predictions import ClassPrediction
from brainreel.train.label_predictions import LabelPrediction
from brainreel.train.latent_predictions import LatentPrediction

Float32 = NDArray[np.float32]


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
    spread
        (T, V) predicted standard deviation of each value, in the units of `predicted`, or None.
    moments
        Mean and deviation by which each segment's BOLD came into these units, or empty.
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
    spread: Float32 | None = None
    moments: tuple[Moments, ...] = ()

    def __post_init__(self) -> None:
        sizes = check_shape(self.predicted, "T V", name="predicted")
        check_shape(self.measured, "T V", name="measured", **sizes)
        check_shape(self.segment, "T", name="segment", T=sizes["T"])
        check_shape(self.film_time_s, "T", name="film_time_s", T=sizes["T"])
        if self.spread is not None:
            check_shape(self.spread, "T V", name="spread", **sizes)
            if not (np.isfinite(self.spread).all() and (self.spread >= 0).all()):
                raise DataError(
                    f"fold '{self.fold}', {self.subject}: the predicted deviation holds negative, "
                    "NaN or infinite values. Train again with a smaller optim.lr."
                )
        if self.moments and len(self.moments) != self.n_segments:
            raise DataError(
                f"{len(self.moments)} moments for {self.n_segments} segments. Give one of each."
            )
        for moments in self.moments:
            check_shape(moments.mean, "V", name="moments", V=sizes["V"])

    kind = "bold"

    @property
    def n_segments(self) -> int:
        """Test segments that it holds."""
        return len(self.recordings)

    def part(self, numbers: Sequence[int], *, split: str, fold: str) -> Prediction:
        """Return some of the segments, renumbered, as a prediction of another split and fold."""
        rows = np.concatenate([np.flatnonzero(self.segment == number) for number in numbers])
        sizes = [np.count_nonzero(self.segment == number) for number in numbers]
        return replace(
            self,
            split=split,
            fold=fold,
            predicted=self.predicted[rows],
            measured=self.measured[rows],
            segment=np.repeat(np.arange(len(numbers)), sizes),
            film_time_s=self.film_time_s[rows],
            recordings=tuple(self.recordings[i] for i in numbers),
            stimuli=tuple(self.stimuli[i] for i in numbers),
            films=tuple(self.films[i] for i in numbers) if self.films else (),
            spread=None if self.spread is None else self.spread[rows],
            moments=tuple(self.moments[i] for i in numbers) if self.moments else (),
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {} if self.spread is None else {"spread": self.spread.astype(np.float32)}
        if self.moments:
            for key in ("n", "mean", "std"):
                arrays[f"bold_{key}"] = np.stack([getattr(item, key) for item in self.moments])
        return arrays | {
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
    samples
        (B, S, C, H, W) in [0, 1], all pictures that were drawn of each brain, kept to 1/255; or
        None where nothing is drawn.
    rule
        How `predicted` came from the samples: "first", "average", "consensus" (the sample nearest
        to the mean of all); empty without samples. No rule sees the true picture.
    """

    split: str
    fold: str
    subject: str
    predicted: Float32
    true: Float32
    labels: NDArray[np.int64]
    trials: NDArray[np.int64]
    baseline: Float32
    samples: Float32 | None = None
    rule: str = ""

    def __post_init__(self) -> None:
        sizes = check_shape(self.predicted, "B C H W", name="predicted")
        check_shape(self.true, "B C H W", name="true", **sizes)
        check_shape(self.labels, "B", name="labels", B=sizes["B"])
        check_shape(self.trials, "B", name="trials", B=sizes["B"])
        check_shape(self.baseline, "C H W", name="baseline", **{a: sizes[a] for a in "CHW"})
        if (self.samples is None) != (not self.rule):
            raise DataError(
                f"fold '{self.fold}': samples need a rule that tells how a picture came from them, "
                "and a rule needs samples. Give both or neither."
            )
        if self.samples is not None:
            check_shape(self.samples, "B S C H W", name="samples", **sizes)
            # As the file holds them, so that scores are the same before and after.
            kept = _bytes_of(self.samples, f"fold '{self.fold}'").astype(np.float32) / 255
            object.__setattr__(self, "samples", kept)

    kind = "pictures"

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> PicturePrediction:
        """Return a prediction from what `_arrays` gave."""
        kept = dict(arrays)
        if "samples" in kept:
            kept["samples"] = kept["samples"].astype(np.float32) / 255
            kept["rule"] = str(kept["rule"])
        return cls(**kept)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        names = ("predicted", "true", "labels", "trials", "baseline")
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in names}
        if self.samples is None:
            return arrays
        samples = _bytes_of(self.samples, f"fold '{self.fold}'")
        return arrays | {"samples": samples, "rule": np.array(self.rule)}

    def _entry(self) -> dict[str, Any]:
        return {}


def _bytes_of(pictures: Float32, where: str) -> NDArray[np.uint8]:
    """Return pictures in [0, 1] as 0 to 255."""
    if not pictures.size or not np.isfinite(pictures).all():
        raise DataError(f"{where}: samples are empty, or hold NaN. Train with a smaller optim.lr.")
    if pictures.min() < 0 or pictures.max() > 1:
        raise DataError(f"{where}: samples must lie in [0, 1]. Clip them.")
    return np.round(pictures * 255).astype(np.uint8)


AnyPrediction = (
    Prediction | PicturePrediction | ClassPrediction | LatentPrediction | LabelPrediction
)


def bold_prediction(
    series: Series,
    fold: Fold,
    segments: Sequence[Segment],
    predicted: Sequence[Float32],
    measured: Sequence[Float32],
    spread: Sequence[Float32] | None = None,
    moments: Sequence[Moments] = (),
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
    spread
        (T, V) predicted standard deviation of each segment, in those units, or None.
    moments
        Mean and deviation by which BOLD of each segment came into these units, or empty.
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
        spread=None if spread is None else np.concatenate(spread),
        moments=tuple(moments),
    )


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
    spreads = [item.spread for item in items if item.spread is not None]
    known = all(item.moments for item in items)
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
        spread=np.concatenate(spreads) if len(spreads) == len(items) else None,
        moments=tuple(one for item in items for one in item.moments) if known else (),
    )
