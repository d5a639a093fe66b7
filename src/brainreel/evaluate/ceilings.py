"""Ceilings of r for the test part of a run, each under the name of its estimator."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.evaluate.bold import centred
from brainreel.evaluate.others import OtherPeople
from brainreel.fmri.images import load_mask
from brainreel.fmri.store import PreparedRun
from brainreel.metrics.ceiling import repeat_ceiling, split_half_ceiling
from brainreel.metrics.correlation import pearson_r
from brainreel.simulate.truth import CeilingSums, read_truth
from brainreel.timebase import Seconds
from brainreel.train.predictions import Prediction

Float64 = NDArray[np.float64]


def inter_subject(prediction: Prediction, others: OtherPeople) -> dict[str, Float64]:
    """Return a person's inter-subject ceiling (V,): r with the mean of everybody else.

    Everybody who was measured at the same film times, in the same regions or space, counts,
    whether they were trained on or tested. Fewer than three people give nothing.

    Parameters
    ----------
    prediction
        Pooled test predictions of one person; `measured` is what counts here.
    others
        What the other people measured at the same moments.
    """
    course = others.course(prediction)
    if course is None:
        return {}
    alone = np.isnan(course).any(axis=0)
    measured = centred(prediction.measured, prediction.segment)
    r = pearson_r(np.where(alone, 0.0, course), measured)
    return {"inter_subject": np.where(alone, np.nan, r)}


def repeats(prediction: Prediction, seed: int = 0) -> dict[str, Float64]:
    """Return the ceilings (V,) that repeats of a stimulus in the test part give, if there are any.

    Test segments of one stimulus at the same film times are repeats. Stimuli are joined in time,
    each with as many repeats as the one that has fewest. Both estimators are for a single
    presentation, as the scores are. Of nine repeats or more, `seed` draws the halves.
    """
    shown: dict[tuple[str, bytes], list[Float64]] = {}
    measured = centred(prediction.measured, prediction.segment)
    for number, stimulus in enumerate(prediction.stimuli):
        rows = prediction.segment == number
        times = prediction.film_time_s[rows].tobytes()
        shown.setdefault((stimulus, times), []).append(measured[rows])
    repeated = [parts for parts in shown.values() if len(parts) > 1]
    if not repeated:
        return {}
    fewest = min(len(parts) for parts in repeated)
    stacked = np.concatenate([np.stack(parts[:fewest]) for parts in repeated], axis=1)
    rng = np.random.default_rng([seed, 7])
    found = (split_half_ceiling(stacked, rng=rng), repeat_ceiling(stacked))
    return {ceiling.estimator: ceiling.r for ceiling in found}


def exact(
    prediction: Prediction,
    runs: Mapping[str, PreparedRun],
    study: Path,
    shift_s: Seconds = 0,
) -> Float64:
    """Return the exact ceiling (V,) of a simulated person's test part.

    The noise-free signal and the noise's covariance go through the cleaning that the data got,
    are cut to the scored TRs, and lose the mean of each segment, as the scores do.

    Parameters
    ----------
    prediction
        Pooled test predictions of one person.
    runs
        Prepared runs by label, which know their cleaning.
    study
        The simulated study.
    shift_s
        Seconds by which the predictions' film times were shifted, as a negative control.

    Raises
    ------
    DataError
        If a run is not known, has other voxels than the truth, or was smoothed in space.
    """
    sums: list[CeilingSums] = []
    for label in dict.fromkeys(prediction.recordings):
        run = runs.get(label.replace(" ", "_"))
        if run is None:
            raise DataError(
                f"{label}: not among the prepared runs, so its exact ceiling is not known. "
                "Leave scoring.truth empty."
            )
        segments = [i for i, name in enumerate(prediction.recordings) if name == label]
        _check_same_columns(run, study)
        truth = read_truth(study, run.label)
        sums.append(truth.ceiling_sums(_as_scored(run, prediction, segments, shift_s)))
    return functools.reduce(operator.add, sums).ceiling()


def _check_same_columns(run: PreparedRun, study: Path) -> None:
    """Refuse a run whose columns are not the voxels that the truth speaks of."""
    if run.clean_config.smoothing_mm:
        raise DataError(
            f"{run.label}: was smoothed in space, and the truth was not, so its exact ceiling is "
            "not known. Prepare without smoothing, or leave scoring.truth empty."
        )
    path = next((study / "derivatives").rglob(f"{run.label}_*desc-brain_mask.nii.gz"), None)
    if path is None or not np.array_equal(load_mask(path).inside, run.mask.inside):
        raise DataError(
            f"{run.label}: was prepared with another mask than the simulated brain's, so its "
            "exact ceiling is not known. Prepare without a mask, or leave scoring.truth empty."
        )


def _as_scored(
    run: PreparedRun, prediction: Prediction, segments: Sequence[int], shift_s: Seconds
) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
    """Return the linear map from a run's raw time courses to what is scored of them."""
    grid = run.grid.delayed(shift_s)
    parts = []
    for number in segments:
        times = prediction.film_time_s[prediction.segment == number]
        first = round((times[0] - float(grid.first_s)) / float(grid.tr_s))
        parts.append(np.arange(first, first + len(times)))

    def scored(values: NDArray[np.floating]) -> NDArray[np.floating]:
        cleaned = run.clean(values[run.n_dummy :])
        cut = [cleaned[rows] - cleaned[rows].mean(axis=0) for rows in parts]
        return np.concatenate(cut)

    return scored
