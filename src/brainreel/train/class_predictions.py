"""ClassPrediction: what a classifier says of the test items of one fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.shapes import check_shape

Float32 = NDArray[np.float32]
UNTOLD = -1


@dataclass(frozen=True, eq=False)
class ClassPrediction:
    """Scores and true classes of the test items of one fold; K classes of all labels side by side.

    Attributes
    ----------
    split, fold
        Which test.
    subject
        Empty: no brain takes part.
    scores
        (N, K) probabilities: softmax (one class of a label) or sigmoid (several) of the logits
        averaged over the views of an item.
    targets
        (N, K) int8: 1 at the true classes, 0 elsewhere, -1 where an item lacks the label.
    prior
        (K,) share of the training items with that label that have the class: what is known
        without looking.
    items
        (N,) names of the items.
    n_views
        (N,) views that were averaged.
    classes
        Label to the names of its classes, in the order of the columns.
    several
        Labels of which an item may have more than one class, or none.
    unread
        Test items that could not be read, and are not scored.
    notes
        What a reader of the scores must know, in sentences.
    """

    split: str
    fold: str
    subject: str
    scores: Float32
    targets: NDArray[np.int8]
    prior: Float32
    items: tuple[str, ...]
    n_views: NDArray[np.int64]
    classes: Mapping[str, tuple[str, ...]]
    several: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_classes = sum(len(names) for names in self.classes.values())
        sizes = check_shape(self.scores, "N K", name="scores", K=n_classes, N=len(self.items))
        check_shape(self.targets, "N K", name="targets", **sizes)
        check_shape(self.prior, "K", name="prior", K=sizes["K"])
        check_shape(self.n_views, "N", name="n_views", N=sizes["N"])
        if not np.isfinite(self.scores).all():
            raise DataError(
                f"fold '{self.fold}': the network gave NaN or infinite scores. "
                "Train again with a smaller optim.lr, or with trainer.clip_norm."
            )

    kind = "classes"

    def columns(self, label: str) -> slice:
        """Return where the classes of a label stand."""
        start = 0
        for name, names in self.classes.items():
            if name == label:
                return slice(start, start + len(names))
            start += len(names)
        raise DataError(f"no label '{label}'. Known: {', '.join(self.classes)}.")

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {name: getattr(self, name) for name in ("scores", "targets", "prior", "n_views")}
        labels = [label for label, names in self.classes.items() for _ in names]
        text = {
            "items": self.items,
            "labels": labels,
            "class_names": [name for names in self.classes.values() for name in names],
            "several": sorted(self.several),
            "unread": self.unread,
            "notes": self.notes,
        }
        return arrays | {name: np.array(list(values), np.str_) for name, values in text.items()}

    def _entry(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> ClassPrediction:
        """Rebuild what `_arrays` wrote, with split, fold and subject beside it."""
        own = dict(arrays)
        classes: dict[str, list[str]] = {}
        for label, name in zip(own.pop("labels"), own.pop("class_names"), strict=True):
            classes.setdefault(str(label), []).append(str(name))
        for key in ("items", "unread", "notes"):
            own[key] = tuple(str(name) for name in own[key])
        own["several"] = frozenset(str(name) for name in own["several"])
        return cls(**own, classes={label: tuple(names) for label, names in classes.items()})
