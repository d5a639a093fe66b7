"""Task `feature_ridge`: stimulus features with delays -> ridge, for each person alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.data.samples import Fold, Segment, Series
from brainreel.data.strips import WindowsConfig
from brainreel.errors import CheckpointError, DataError
from brainreel.fmri.normalize import Moments, zscore_voxelwise
from brainreel.models.backbones import Backbone
from brainreel.models.base import ModelConfig
from brainreel.models.stimulus import StimulusConfig
from brainreel.models.tr_features import Summary, trs_per_clip
from brainreel.shapes import DataSpec
from brainreel.train.features import DelayedFeatures, delayed_features
from brainreel.train.network_space import NetworkSpace, facts_for, network_space
from brainreel.train.predictions import Prediction, bold_prediction
from brainreel.train.stored_backbone import check_unseen, load_backbone, settled_backbone
from brainreel.train.task import Job, State, TaskConfig
from brainreel.train.trainer import own_randomness, predict_device

Float32 = NDArray[np.float32]
BACKBONE = "backbone"
_DIGEST = "backbone/digest"


class FeatureRidgeConfig(TaskConfig):
    """Features of the stimulus, delayed, predict the BOLD of each person by ridge."""

    data_kinds: ClassVar[tuple[str, ...]] = ("films", "series")
    model_kinds: ClassVar[tuple[str, ...]] = ("ridge", "banded_ridge")
    reads_out_people: ClassVar[bool] = True

    name: Literal["feature_ridge"] = "feature_ridge"
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Feature spaces, in order: those the data carries, or of the film (luminance, contrast,
    motion_energy, spectrum, loudness, onsets, pitch); none: all carried, else all of the film."""
    first_delay_s: float = 0.0
    """Shortest delay in seconds from stimulus to BOLD."""
    last_delay_s: float = 20.0
    """Longest delay in seconds; every whole TR from first to last is a delay. The response has
    its peak at 5 s and the middle of its undershoot at 16 s."""
    high_pass_hz: float | None = Field(default=None, gt=0)
    """Take trends and slower changes (hertz) out of each run's features. Give what prepare took
    out of BOLD (1/128, 0.0078125, unless it was told otherwise); none for BOLD with its slow
    changes, which lose by it."""
    cache: Path | None = None
    """Folder that keeps the film features for later runs; none keeps nothing, and those of a
    backbone in the folder of the fold."""
    backbone: Backbone | None = None
    """A network whose features of each TR join as the feature space 'backbone'; without features
    named, they are the only ones. Its weights are drawn from the seed, unless backbone_from."""
    backbone_from: Path | None = None
    """Run folder of an import, or of a fit, that holds a backbone's weights; options of
    task.backbone that are not given are taken from there."""
    clip_trs: int | None = Field(None, ge=1)
    """TRs of film in the clip that the backbone makes a TR's features from; none: 2, or 1 for
    networks on single pictures."""
    summaries: tuple[Summary, ...] = Field(("mean", "std"), min_length=1)
    """How the frames of one TR become one vector, for networks on single pictures."""
    windows: WindowsConfig = WindowsConfig()
    """How films are cut into TRs for the backbone."""

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        series = _series(job)
        return feature_spec(series, self.delayed(series, self.spaces(job)))

    def fit(self, job: Job) -> State:
        """Fit the training segments of every person."""
        spaces = self.spaces(job)
        state = fit_feature_ridge(_series(job), job.fold, job.model, self, job.seed, spaces)
        if BACKBONE in spaces:
            state[_DIGEST] = _digest(spaces[BACKBONE])
        return state

    def predict(self, job: Job, state: State) -> list[Prediction]:
        """Predict the test segments of every person."""
        spaces = self.spaces(job)
        if spaces and not np.array_equal(state.get(_DIGEST, ()), _digest(spaces[BACKBONE])):
            raise CheckpointError(
                f"fold '{job.fold.name}': the backbone is not the one that the ridge was fitted "
                "on; its weights or options changed since. Put them back, or fit again into "
                "another --out."
            )
        return predict_feature_ridge(_series(job), job.fold, job.model, self, state, spaces)

    def protocol(self) -> dict[str, Any]:
        """Return where the backbone's weights come from."""
        return {} if self.backbone_from is None else {"backbone_from": str(self.backbone_from)}

    def spaces(self, job: Job) -> dict[str, NetworkSpace]:
        """Return the backbone as a feature space, if there is one."""
        series = _series(job)
        config: StimulusConfig | None = self.backbone
        if self.backbone_from is not None:
            config = settled_backbone(config, self.backbone_from, key="task.backbone")
        if config is None:
            return {}
        clip_trs = trs_per_clip(config, self.clip_trs)
        facts = facts_for(config, self.windows, float(series.recordings[0].bold.tr_s), clip_trs)
        with own_randomness(job.seed):
            network = config.build(facts)
        if self.backbone_from is not None:
            check_unseen(self.backbone_from, series)
            load_backbone(network, config, self.backbone_from, job.fold.name)
        space = network_space(
            config,
            network,
            self.windows,
            clip_trs,
            self.summaries,
            cache=self.cache or job.folder / "frames",
            device=predict_device(job.trainer),
        )
        return {BACKBONE: space}

    def delayed(
        self, series: Series, spaces: Mapping[str, NetworkSpace] | None = None
    ) -> DelayedFeatures:
        """Return the delayed features of every recording."""
        names = self.features
        if spaces:
            names = tuple(dict.fromkeys([*(names or ()), *spaces]))
        return delayed_features(
            series.recordings,
            names,
            first_delay_s=self.first_delay_s,
            last_delay_s=self.last_delay_s,
            high_pass_hz=self.high_pass_hz,
            cache=self.cache,
            spaces=spaces,
        )


def feature_spec(series: Series, features: DelayedFeatures) -> DataSpec:
    """Return the facts of a series and its features: people, voxels, TR, columns."""
    voxels = {recording.subject: recording.bold.n_voxels for recording in series.recordings}
    return DataSpec(
        subjects=tuple(voxels),
        n_voxels=tuple(voxels.values()),
        tr_s=float(series.recordings[0].bold.tr_s),
        feature_sizes=dict(features.sizes),
        delays_s=features.delays_s,
    )


def fit_feature_ridge(
    series: Series,
    fold: Fold,
    model: ModelConfig,
    task: FeatureRidgeConfig,
    seed: int,
    spaces: Mapping[str, NetworkSpace] | None = None,
) -> State:
    """Fit one ridge per person on the fold's training segments.

    BOLD is z-scored voxel by voxel with the moments of these segments alone; a voxel without
    variance there stays 0. Validation and test segments are not looked at.

    Parameters
    ----------
    series, fold
        The recordings, and which of their parts are for training.
    model
        `RidgeConfig` or `BandedRidgeConfig`.
    task
        Features and delays.
    seed
        Of the candidates that banded ridge tries, the same for every person.
    spaces
        Further feature spaces of films by name.

    Returns
    -------
    dict
        `"<subject>/<array>"` -> float32: the arrays of `RidgeWeights`, and `bold_mean` and
        `bold_std` (V,), the moments of the training segments.
    """
    features = task.delayed(series, spaces)
    spec = feature_spec(series, features)
    state: State = {}
    for subject in series.subjects:
        segments = series.of_subject(subject, fold.train)
        if not segments:
            continue
        moments = Moments.of(series.bold_of(segment) for segment in segments)
        moments = _moments(moments.mean.astype(np.float32), moments.std.astype(np.float32))
        targets = [zscore_voxelwise(series.bold_of(segment), moments) for segment in segments]
        runs = [series.recordings[segment.recording].run for segment in segments]
        estimator = model.build(spec).fit(
            _rows(features, segments),
            np.concatenate(targets),
            groups=np.repeat(runs, [segment.n_trs for segment in segments]).tolist(),
            rng=np.random.default_rng(seed),
        )
        arrays = estimator.state()
        arrays |= {"bold_mean": np.float32(moments.mean), "bold_std": np.float32(moments.std)}
        state |= {f"{subject}/{name}": values for name, values in arrays.items()}
    if not state:
        raise DataError(f"fold '{fold.name}' has no training segment. Choose another split.")
    return state


def predict_feature_ridge(
    series: Series,
    fold: Fold,
    model: ModelConfig,
    task: FeatureRidgeConfig,
    state: Mapping[str, NDArray[np.float32]],
    spaces: Mapping[str, NetworkSpace] | None = None,
) -> list[Prediction]:
    """Predict the fold's test segments of every person from the state that the fit gave.

    Predicted and measured BOLD are in units of the training segments' standard deviation.
    """
    features = task.delayed(series, spaces)
    spec = feature_spec(series, features)
    predictions = []
    for subject in series.subjects:
        segments = series.of_subject(subject, fold.test)
        if not segments:
            continue
        arrays = _of_subject(state, subject, fold)
        estimator = model.build(spec).from_state(arrays)
        moments = _moments(arrays["bold_mean"], arrays["bold_std"])
        predicted = [estimator.predict(_rows(features, [segment])) for segment in segments]
        measured = [zscore_voxelwise(series.bold_of(segment), moments) for segment in segments]
        same = [moments] * len(segments)
        found = bold_prediction(series, fold, segments, predicted, measured, moments=same)
        predictions.append(found)
    return predictions


def constant_voxels(state: Mapping[str, NDArray[np.float32]]) -> dict[str, int]:
    """Return how many voxels of each person had no variance in training; they predict 0."""
    return {
        key.removesuffix("/bold_std"): int(np.count_nonzero(values == 0))
        for key, values in state.items()
        if key.endswith("/bold_std")
    }


def _digest(space: NetworkSpace) -> Float32:
    """Return the 32 bytes of a network's digest as numbers, to be kept among the weights."""
    return np.frombuffer(bytes.fromhex(space.digest()), np.uint8).astype(np.float32)


def _series(job: Job) -> Series:
    if not isinstance(job.data, Series):
        raise DataError("feature_ridge needs recordings in time; the data gives single trials.")
    return job.data


def _moments(mean: Float32, std: Float32) -> Moments:
    """Moments as the state keeps them, so that fit and prediction divide by the same numbers."""
    return Moments(0, mean.astype(np.float64), std.astype(np.float64))


def _rows(features: DelayedFeatures, segments: Sequence[Segment]) -> Float32:
    return np.concatenate(
        [features.matrices[s.recording][s.start_tr : s.stop_tr] for s in segments]
    )


def _of_subject(
    state: Mapping[str, NDArray[np.float32]], subject: str, fold: Fold
) -> dict[str, Float32]:
    prefix = f"{subject}/"
    arrays = {
        key.removeprefix(prefix): values for key, values in state.items() if key.startswith(prefix)
    }
    if not arrays:
        raise CheckpointError(
            f"fold '{fold.name}' tests {subject}, for whom no ridge was fitted: each person needs "
            "training segments. Split by stimulus or time, or use a model shared by people."
        )
    return arrays
