"""Pictures of brains that nobody tested on: what is asked, and what a fitted model gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainreel.config import Config, override
from brainreel.errors import ConfigError, DataError
from brainreel.fmri.normalize import Moments, zscore_voxelwise
from brainreel.train.drawing import DrawOptions

Float32 = NDArray[np.float32]
ZScore = Literal["training", "own", "none"]


class ReconstructConfig(Config):
    """What `brainreel reconstruct` takes after the run: how pictures are drawn."""

    sampling: DrawOptions = DrawOptions()
    """Sampler, steps and samples; what is not given is as in the run's task.sampling."""


@dataclass(frozen=True)
class DrawAsked:
    """What is asked of a reconstruction beside the fit's own options.

    Attributes
    ----------
    subject
        Whose brain it is, by the name in the fit.
    changes
        `sampling.KEY=VALUE` each.
    seed
        Of all draws; None for the run's.
    """

    subject: str
    changes: Sequence[str] = ()
    seed: int | None = None

    def options(self, own: DrawOptions) -> DrawOptions:
        """Return how to draw: as the fit would, with the changes."""
        content = override({"sampling": own.to_dict()}, self.changes)
        return ReconstructConfig.parse(content, where="reconstruct").sampling

    def refuse_draws(self, model: str) -> None:
        """Refuse what is said of draws, of a model that gives one picture and draws nothing."""
        said = [*self.changes, *([] if self.seed is None else [f"--seed {self.seed}"])]
        if said:
            raise ConfigError(
                f"{said[0]}: {model} gives one picture of a brain and draws nothing. Leave it out."
            )


class Brain(NamedTuple):
    """One voxel vector.

    Attributes
    ----------
    voxels
        (V,) in the units of the training trials.
    scored
        (V,) in deviations.
    number
        Decides the noise that its pictures are drawn from.
    """

    voxels: Float32
    scored: Float32
    number: int


@dataclass(frozen=True, eq=False)
class Reconstructor:
    """A fitted model, ready for any brain of a person.

    Attributes
    ----------
    draw
        A brain to its (S, C, H, W) pictures in [0, 1], and the one that stands for them.
    n_samples
        S.
    moments
        Of the person's training trials; None where there are none.
    told
        What a reader must know of how pictures were made, by name.
    in_words
        The same, in a few words.
    """

    draw: Callable[[Brain], tuple[Float32, Float32]]
    n_samples: int
    moments: Moments | None
    told: Mapping[str, Any] = field(default_factory=dict)
    in_words: str = ""


@dataclass(frozen=True, eq=False)
class Standardised:
    """Voxel vectors of a file, (B, V) each.

    Attributes
    ----------
    voxels
        In the units of the training trials.
    scored
        In deviations.
    told
        What was done.
    far_off
        Median, over voxels that vary and vectors, of the deviations from the training mean; how
        far these brains lie from those that were learned.
    """

    voxels: Float32
    scored: Float32
    told: str
    far_off: float


def standardised(voxels: Float32, moments: Moments | None, how: ZScore | None) -> Standardised:
    """Bring voxel vectors to the scale that a fit learned at.

    z = (x - mean) / deviation, voxel by voxel

    Parameters
    ----------
    voxels
        (B, V) all vectors of a file, as they stand there.
    moments
        Of the training trials, or None.
    how
        training: moments of the training trials, to which x must be alike in units; own: moments
        of all B vectors; none: x are deviations already. None: training, or own where there are no
        training trials.

    Raises
    ------
    ConfigError
        If training moments are asked for and there are none.
    DataError
        If one vector is to be z-scored by itself.
    """
    how = how or ("own" if moments is None else "training")
    if how == "training":
        if moments is None:
            raise ConfigError(
                "--zscore training: no training trials are known here. Give own, or none for "
                "vectors that are z-scored already."
            )
        scored, told = zscore_voxelwise(voxels, moments), "z-scored by the training trials"
    elif how == "own":
        if len(voxels) < 2:
            raise DataError(
                "one vector cannot be z-scored by its own mean and deviation. Give a file of "
                "several, or a z-scored one with --zscore none."
            )
        scored = zscore_voxelwise(voxels, Moments.of([voxels]))
        told = f"z-scored by the mean and deviation of all {len(voxels)} vectors given"
    else:
        scored, told = voxels, "taken as z-scored already"
    if how != "training":
        voxels = scored if moments is None else _in_units(scored, moments)
    varies = slice(None) if moments is None else moments.std > 0
    inside = np.abs(scored[:, varies])
    return Standardised(voxels, scored, told, float(np.median(inside)) if inside.size else 0.0)


def _in_units(scored: Float32, moments: Moments) -> Float32:
    return (scored * moments.std + moments.mean).astype(np.float32)
