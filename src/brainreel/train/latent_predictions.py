"""LatentPrediction: what a variational autoencoder believes of the test volumes of one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LatentPrediction:
    """Posterior and prior of the latent units at every volume of one person's test segments.

    Attributes
    ----------
    split, fold, subject
        Which test, and whose brain.
    posterior_mean, posterior_std
        (T, L) of q, which knows the volumes.
    prior_mean, prior_std
        (T, L) of p, which knows the film and one volume of the person.
    segment
        (T,) number of the test segment that a TR belongs to, from 0, as in `Prediction`.
    film_time_s
        (T,) film time at the onset of each TR, in seconds.
    """

    split: str
    fold: str
    subject: str
    posterior_mean: Float32
    posterior_std: Float32
    prior_mean: Float32
    prior_std: Float32
    segment: NDArray[np.int64]
    film_time_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        sizes = check_shape(self.posterior_mean, "T L", name="posterior_mean")
        for name in ("posterior_std", "prior_mean", "prior_std"):
            check_shape(getattr(self, name), "T L", name=name, **sizes)
        check_shape(self.segment, "T", name="segment", T=sizes["T"])
        check_shape(self.film_time_s, "T", name="film_time_s", T=sizes["T"])
        for name in ("posterior_mean", "posterior_std", "prior_mean", "prior_std"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(
                    f"fold '{self.fold}', {self.subject}: the {name} of latent units holds NaN or "
                    "infinite values. Train again with a smaller optim.lr."
                )

    kind = "latents"

    @property
    def n_segments(self) -> int:
        """Test segments that it holds."""
        return len(np.unique(self.segment))

    def part(self, numbers: Sequence[int], *, split: str, fold: str) -> LatentPrediction:
        """Return some of the segments, renumbered, as a prediction of another split and fold."""
        rows = np.concatenate([np.flatnonzero(self.segment == number) for number in numbers])
        sizes = [np.count_nonzero(self.segment == number) for number in numbers]
        kept = {name: values[rows] for name, values in self._arrays().items()}
        kept["segment"] = np.repeat(np.arange(len(numbers)), sizes)
        return replace(self, split=split, fold=fold, **kept)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        told = ("split", "fold", "subject")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in told}

    def _entry(self) -> dict[str, Any]:
        return {}
