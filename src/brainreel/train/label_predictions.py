"""LabelPrediction: what is told of the test people of one fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelPrediction:
    """Told and true labels of the test people of one fold; K classes, or K = 1 for a number.

    Attributes
    ----------
    split, fold
        Which test.
    subject
        Empty: it is of several people.
    label
        What is told of them.
    classes
        Names of its classes; empty for a number.
    scores
        (N, K) probabilities of the classes, or the number: means over a person's windows.
    targets
        (N,) the number of the true class, or the true number.
    prior
        (N, K) what is known without looking: the shares of the classes among the people of the
        fold's training, or their mean number.
    people
        (N,) who.
    n_windows
        (N,) windows that were averaged.
    notes
        What a reader of the scores must know, in sentences.
    """

    split: str
    fold: str
    subject: str
    label: str
    classes: tuple[str, ...]
    scores: Float64
    targets: Float64
    prior: Float64
    people: tuple[str, ...]
    n_windows: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, k = len(self.people), max(len(self.classes), 1)
        check_shape(self.scores, "N K", name="scores", N=n, K=k)
        check_shape(self.prior, "N K", name="prior", N=n, K=k)
        check_shape(self.targets, "N", name="targets", N=n)
        check_shape(self.n_windows, "N", name="n_windows", N=n)
        if not np.isfinite(self.scores).all():
            raise DataError(
                f"fold '{self.fold}': the network gave NaN or infinite values. Train again with a "
                "smaller optim.lr, or with trainer.clip_norm."
            )

    kind = "labels"

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {name: getattr(self, name) for name in ("scores", "targets", "prior", "n_windows")}
        text = {"people": self.people, "classes": self.classes, "notes": self.notes}
        named = {name: np.array(list(values), np.str_) for name, values in text.items()}
        return arrays | named | {"label": np.array(self.label)}

    def _entry(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> LabelPrediction:
        """Rebuild what `_arrays` wrote, with split, fold and subject beside it."""
        own = dict(arrays)
        for key in ("people", "classes", "notes"):
            own[key] = tuple(str(name) for name in own[key])
        return cls(**own | {"label": str(own["label"])})


def joined_labels(folds: Sequence[LabelPrediction]) -> LabelPrediction:
    """Return the people of all folds of a split as one test."""
    return replace(
        folds[0],
        fold=folds[0].split,
        scores=np.concatenate([fold.scores for fold in folds]),
        targets=np.concatenate([fold.targets for fold in folds]),
        prior=np.concatenate([fold.prior for fold in folds]),
        people=tuple(who for fold in folds for who in fold.people),
        n_windows=np.concatenate([fold.n_windows for fold in folds]),
        notes=tuple(note for fold in folds for note in fold.notes),
    )
