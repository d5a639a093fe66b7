"""Reconstructed beside true pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.report.runs import RunRecord
from brainreel.report.style import png_uri

N_PICTURES = 24
N_SAMPLES = 8


@dataclass(frozen=True)
class Sample:
    """A picture that was drawn of a brain, as a data URI, and whether it is the one scored."""

    picture: str
    chosen: bool


@dataclass(frozen=True)
class Pair:
    """A true picture and its reconstruction as data URIs, with what else was drawn."""

    true: str
    predicted: str
    label: str
    r: str
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Pairs of one split and person."""

    title: str
    pairs: tuple[Pair, ...]
    n_all: int


def make_galleries(run: RunRecord) -> tuple[Gallery, ...]:
    """Return the pictures of each person and split, the folds of a split joined."""
    grouped: dict[str, list[Mapping[str, NDArray[Any]]]] = {}
    for item in run.of_kind("pictures"):
        title = ", ".join(part for part in (item.subject, item.split) if part)
        grouped.setdefault(title, []).append(item.load())
    return tuple(_gallery(title, folds) for title, folds in grouped.items())


def pooled_pictures(run: RunRecord) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return true and reconstructed pictures, (B, C, H, W) each, of the first person and split."""
    first = run.of_kind("pictures")[0]
    same = (first.split, first.subject)
    folds = [p.load() for p in run.of_kind("pictures") if (p.split, p.subject) == same]
    true, predicted = (np.concatenate([f[key] for f in folds]) for key in ("true", "predicted"))
    return true.astype(np.float64), predicted.astype(np.float64)


def _gallery(title: str, folds: Sequence[Mapping[str, NDArray[Any]]]) -> Gallery:
    """Take pairs evenly from all test pictures, in the order of the data, so none is picked."""
    true = np.concatenate([fold["true"] for fold in folds]).astype(np.float64)
    predicted = np.concatenate([fold["predicted"] for fold in folds]).astype(np.float64)
    labels = [label for fold in folds for label in _labels(fold)]
    chosen = np.unique(np.linspace(0, len(true) - 1, N_PICTURES).round().astype(int))
    drawn = [part for fold in folds for part in fold.get("samples", ())]
    pairs = tuple(
        Pair(
            png_uri(true[i]),
            png_uri(predicted[i]),
            labels[i],
            _pixel_r(true[i], predicted[i]),
            _samples(drawn[i], predicted[i]) if len(drawn) == len(true) else (),
        )
        for i in chosen
    )
    return Gallery(title, pairs, len(true))


def _samples(drawn: NDArray[np.uint8], predicted: NDArray[np.float64]) -> tuple[Sample, ...]:
    """Take the first of the (S, C, H, W) samples; a mean of all is none of them."""
    scored = np.round(predicted * 255)
    return tuple(
        Sample(png_uri(one / 255.0), bool((np.abs(one - scored) <= 1).all()))
        for one in drawn[:N_SAMPLES].astype(np.float64)
    )


def _labels(fold: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return labels as text; a negative number says that there is none."""
    stored = fold.get("labels")
    if stored is None:
        return [""] * len(fold["true"])
    return ["" if np.issubdtype(stored.dtype, np.number) and x < 0 else str(x) for x in stored]


def _pixel_r(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> str:
    if not true.std() or not predicted.std():
        return "–"
    return f"{np.corrcoef(true.ravel(), predicted.ravel())[0, 1]:.2f}".replace("-", "−")
