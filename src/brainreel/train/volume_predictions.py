"""Volumes that a network gives, as predictions of BOLD voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.data.samples import Segment
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_views import VolumeViews
from brainreel.data.volume_windows import VolumeBatch
from brainreel.fmri.normalize import zscore_voxelwise
from brainreel.train.predictions import Prediction, bold_prediction

Float32 = NDArray[np.float32]
Target = Literal["global", "voxel"]
Decode = Callable[[VolumeBatch], tuple[Tensor, Tensor | None]]


@torch.no_grad()
def predict_volumes(data: VolumeModule, decode: Decode, *, target: Target) -> list[Prediction]:
    """Predict the test segments of every person of the data's fold.

    Parameters
    ----------
    data
        The volumes, set up.
    decode
        Batch to (B, T, X, Y, Z) volumes on the scale of the target, and their deviations or None.
    target
        Which of the two views the volumes are.

    Returns
    -------
    list of Prediction
        One a person, in deviations of the person's training part, voxel by voxel.
    """
    series, fold = data.series, data.fold
    values, spreads = collect_volumes(data, fold.test, decode, target=target)
    predictions = []
    for who in series.subjects:
        segments = series.of_subject(who, fold.test)
        if not segments:
            continue
        views = {s.recording: data.volumes.views(s.recording) for s in segments}
        measured = [
            zscore_voxelwise(series.bold_of(s), views[s.recording].moments.voxelwise)
            for s in segments
        ]
        predictions.append(
            bold_prediction(
                series,
                fold,
                segments,
                [values[s] for s in segments],
                measured,
                spread=[spreads[s] for s in segments] if spreads else None,
                # Of a person who was not in training each recording has its own.
                moments=[views[s.recording].moments.voxelwise for s in segments],
            )
        )
    return predictions


def collect_volumes(
    data: VolumeModule, segments: Sequence[Segment], decode: Decode, *, target: Target
) -> tuple[dict[Segment, Float32], dict[Segment, Float32]]:
    """Return (T, V) values of each segment, and deviations if any, as `predict_volumes` has them.

    Windows go through the network batch by batch; only voxels are kept.
    """
    values: dict[int, Float32] = {}
    spreads: dict[int, Float32] = {}
    for batch in data.loader(segments, training=False):
        volumes, deviations = decode(batch)
        for row, recording in enumerate(batch.recording.tolist()):
            counted = batch.counted[row].nonzero().squeeze(1)
            trs = (counted + batch.start_tr[row]).numpy()
            views, shape = data.volumes.views(recording), data.volumes.data(recording).shape
            kept = values.setdefault(recording, np.zeros(shape, np.float32))
            kept[trs] = voxel_deviations(views, volumes[row, counted], target)
            if deviations is not None:
                kept = spreads.setdefault(recording, np.zeros(shape, np.float32))
                kept[trs] = voxel_deviations(views, deviations[row, counted], target, spread=True)
    return _cut(values, segments), _cut(spreads, segments)


def _cut(whole: Mapping[int, Float32], segments: Sequence[Segment]) -> dict[Segment, Float32]:
    return {s: whole[s.recording][s.start_tr : s.stop_tr] for s in segments if s.recording in whole}


def voxel_deviations(
    views: VolumeViews, volumes: Tensor, target: Target, *, spread: bool = False
) -> Float32:
    """(T, X, Y, Z) volumes on the scale of the target, or their deviations, to (T, V).

    The result is in deviations of each voxel.
    """
    values = volumes.float().cpu().numpy()
    if target == "voxel":
        return views.voxel_scores(values)
    return views.spreads(values) if spread else views.scores(values)
