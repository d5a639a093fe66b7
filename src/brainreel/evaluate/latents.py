"""What the latent units of a run's network carried in the test part, as facts of the card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brainreel.metrics.latents import Gaussians, active_units, gaussian_kl
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.predictions import AnyPrediction


def score_latents(predictions: Sequence[AnyPrediction], prefix: str) -> dict[str, Any]:
    """Return the KL of each unit and how many units are active, over the people of one test.

    Parameters
    ----------
    predictions
        Posterior and prior of each person; others are passed over.
    prefix
        Of the test's scores.

    Returns
    -------
    dict
        Empty without latent units, else `"latents"`: prefix and people to their numbers. A unit is
        active in the posterior where it moves with the brain, in the prior where it moves with the
        film; the means over a person's volumes are taken out of both.
    """
    people = [item for item in predictions if isinstance(item, LatentPrediction)]
    if not people:
        return {}
    posterior, prior = (
        Gaussians(*(np.concatenate(arrays) for arrays in zip(*sides, strict=True)))
        for sides in (
            [(item.posterior_mean, item.posterior_std) for item in people],
            [(item.prior_mean, item.prior_std) for item in people],
        )
    )
    kl = gaussian_kl(posterior, prior)
    posterior_moves, prior_moves = (
        np.concatenate([mean - mean.mean(axis=0) for mean in means])
        for means in (
            [item.posterior_mean for item in people],
            [item.prior_mean for item in people],
        )
    )
    numbers = {
        "n_units": int(kl.shape[1]),
        "n_active_in_posterior": int(active_units(posterior_moves).sum()),
        "n_active_in_prior": int(active_units(prior_moves).sum()),
        "kl_per_volume": float(kl.sum(axis=1).mean()),
        "kl_per_unit": [float(value) for value in kl.mean(axis=0)],
    }
    return {"latents": {prefix.removesuffix(":") or "test": numbers}}
