"""Controls of pictures from brains: whose brain a test trial gets in place of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifierCV

from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import number_equal
from brainreel.data.voxel_rows import ScoredVoxels

# Penalties of the classifier; the sum of squares of V standardised voxels is about V a trial.
_ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 6, 13))


def other_brains(shown: NDArray[np.int64], seed: int) -> NDArray[np.int64] | None:
    """Return for each test trial the trial whose brain it gets: one that saw another picture.

    A random circle through all trials, those of one picture next to each other, each so far from
    its brain as the commonest picture has trials.

    Parameters
    ----------
    shown
        (B,) numbers, equal where one picture was seen.
    seed
        Of the circle.

    Returns
    -------
    (B,) a permutation; None where it cannot be: for a trial alone, or where more than half of the
    trials saw one picture.
    """
    n = len(shown)
    most = int(np.unique(shown, return_counts=True)[1].max(initial=0))
    if not n or 2 * most > n:
        return None
    order = np.random.default_rng([seed, 9]).permutation(n)
    order = order[np.argsort(number_equal(shown[order]), kind="stable")]
    given = np.empty(n, dtype=np.int64)
    given[order] = np.roll(order, most)
    return given


def brains_of_class(
    trials: Trials,
    scored: ScoredVoxels,
    train: Sequence[int],
    test: Sequence[int],
    seed: int,
) -> NDArray[np.int64]:
    """Return for each test trial a training trial of the class that its brain is told to be of.

    The class comes from the brain by a ridge classifier on z-scored voxels; the training trial of
    that class is drawn at random. A picture made of its brain says what the class alone tells.

    Parameters
    ----------
    trials
        Trials with labels.
    scored
        The same in deviations of the training part.
    train, test
        Rows of one person.
    seed
        Of the draw.
    """
    assert trials.labels is not None
    labels = trials.labels[np.asarray(train)]
    told = np.full(len(test), labels[0])
    if len(np.unique(labels)) > 1:
        classifier = RidgeClassifierCV(alphas=_ALPHAS)
        classifier.fit(np.concatenate(scored.blocks((), train)), labels)
        told = classifier.predict(np.concatenate(scored.blocks((), test)))
    rng = np.random.default_rng([seed, 10])
    rows = np.asarray(train, dtype=np.int64)
    return np.array([rng.choice(rows[labels == label]) for label in told], dtype=np.int64)
