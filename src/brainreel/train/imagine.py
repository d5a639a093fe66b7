"""Volumes imagined from film and one volume of a person: predictions, spread, latent units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.data.loading import mixed_seed
from brainreel.data.samples import Segment
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeBatch
from brainreel.fmri.normalize import zscore_voxelwise
from brainreel.layers.gaussian import Gaussian
from brainreel.models.film_vae import FilmVAE
from brainreel.train.film_course import FilmCourses
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.predictions import Prediction
from brainreel.train.volume_predictions import Target, collect_volumes, predict_volumes

Float32 = NDArray[np.float32]
_UNITS = ("posterior_mean", "posterior_std", "prior_mean", "prior_std")


@dataclass(eq=False)
class Imagination:
    """A fitted network, and how volumes are imagined by it.

    Attributes
    ----------
    network
        On its device, in evaluation.
    data
        The volumes of a fold, with film and references, set up.
    target
        Which of the two views the network decodes.
    samples
        Draws from the prior behind the spread; 0 for no spread.
    courses
        What the network is told of the films.
    seed
        Of the draws.
    device
        Where the network computes.
    """

    network: FilmVAE
    data: VolumeModule
    target: Target
    samples: int
    courses: FilmCourses
    seed: int
    device: torch.device
    _seen: dict[int, list[tuple[NDArray[np.int64], Float32]]] = field(default_factory=dict)

    def predictions(self, residual: Float32 | None) -> list[Prediction]:
        """Predict the test segments of every person.

        Parameters
        ----------
        residual
            (X, Y, Z) variance that is added to that of the draws, in the units of predictions;
            None for none.
        """
        self._seen = {}
        found = predict_volumes(self.data, self._decoded, target=self.target)
        return [self._finished(item, residual) for item in found]

    def latents(self, predictions: Sequence[Prediction]) -> list[LatentPrediction]:
        """Return posterior and prior of what was predicted last, person by person."""
        series, told = self.data.series, []
        for item in predictions:
            segments = series.of_subject(item.subject, self.data.fold.test)
            units = np.concatenate([self._units(segment) for segment in segments], axis=1)
            arrays = dict(zip(_UNITS, units, strict=True))
            told.append(
                LatentPrediction(
                    item.split,
                    item.fold,
                    item.subject,
                    **arrays,
                    segment=item.segment,
                    film_time_s=item.film_time_s,
                )
            )
        return told

    @torch.no_grad()
    def imagined(self, segments: Sequence[Segment]) -> dict[Segment, Float32]:
        """Return the (T, V) prediction of each of some segments."""
        values, _ = collect_volumes(self.data, segments, self._decoded, target=self.target)
        return values

    def _decoded(self, batch: VolumeBatch) -> tuple[Tensor, Tensor | None]:
        """Decode the mean of the prior, and draws from it; keep what the latent units did."""
        given = batch.to(self.device)
        assert given.reference is not None
        posterior = self.network.posterior(given.views)
        vectors = self.courses.of_batch(batch).to(self.device)
        prior = self.network.prior_of(vectors, given.reference, given.subject)
        self._keep(batch, posterior, prior)
        volumes = self.network.decode(prior.mean)
        return volumes, self._spread(batch, prior) if self.samples else None

    def _spread(self, batch: VolumeBatch, prior: Gaussian) -> Tensor:
        """Return the deviation over draws, in one pass (Welford 1962)."""
        place = int(batch.recording[0]), int(batch.start_tr[0])
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, *place))
        mean = squares = torch.zeros(())
        for n in range(1, self.samples + 1):
            drawn = self.network.decode(prior.draw(generator))
            mean, squares = mean.to(drawn), squares.to(drawn)
            apart = drawn - mean
            mean = mean + apart / n
            squares = squares + apart * (drawn - mean)
        return (squares / max(self.samples - 1, 1)).clamp_min(0).sqrt()

    def _keep(self, batch: VolumeBatch, posterior: Gaussian, prior: Gaussian) -> None:
        sides = [posterior.mean, posterior.log_std.exp(), prior.mean, prior.log_std.exp()]
        units = torch.stack(sides).float().cpu().numpy()
        for row, recording in enumerate(batch.recording.tolist()):
            counted = batch.counted[row].numpy()
            trs = np.flatnonzero(counted) + int(batch.start_tr[row])
            self._seen.setdefault(recording, []).append((trs, units[:, row, counted]))

    def _units(self, segment: Segment) -> Float32:
        """Return the (4, T, L) units of a segment."""
        n_units = self._seen[segment.recording][0][1].shape[-1]
        found = np.empty((len(_UNITS), segment.n_trs, n_units), np.float32)
        for trs, units in self._seen[segment.recording]:
            mine = (trs >= segment.start_tr) & (trs < segment.stop_tr)
            found[:, trs[mine] - segment.start_tr] = units[:, mine]
        return found

    def _finished(self, item: Prediction, residual: Float32 | None) -> Prediction:
        if item.spread is None or residual is None:
            return item
        recording = self.data.series.of_subject(item.subject, self.data.fold.test)[0].recording
        added = residual[self.data.volumes.mask(recording).inside]
        return replace(item, spread=np.sqrt(item.spread**2 + added).astype(np.float32))


def residual_variance(imagined: Imagination) -> Float32:
    """Return the (X, Y, Z) mean squared error of predictions, over people who have the voxel.

    Of the validation segments, or where there are none of the training segments, which flatter.
    In the units of predictions; 0 where nobody has a voxel.
    """
    data = imagined.data
    segments = data.fold.validation or data.fold.train
    x, y, z = data.spec.grid
    total, count = np.zeros((x, y, z)), np.zeros((x, y, z))
    for segment, predicted in imagined.imagined(segments).items():
        inside = data.volumes.mask(segment.recording).inside
        total[inside] += _squared(data, segment, predicted)
        count[inside] += segment.n_trs
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0).astype(np.float32)


def _squared(data: VolumeModule, segment: Segment, predicted: Float32) -> NDArray[np.float64]:
    moments = data.volumes.views(segment.recording).moments.voxelwise
    measured = zscore_voxelwise(data.series.bold_of(segment), moments)
    # Both without their means: what is left is what moves.
    error = (predicted - predicted.mean(axis=0)) - (measured - measured.mean(axis=0))
    squared: NDArray[np.float64] = np.square(error, dtype=np.float64).sum(axis=0)
    return squared
