"""Scores of what was told of people: their class or their number, person by person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.people import People
from brainreel.data.samples import Fold, Segment
from brainreel.evaluate.parts import Measured, card_of
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import write_text
from brainreel.metrics.classes import confusion
from brainreel.metrics.labels import (
    balanced_accuracy,
    correlation_of,
    macro_auroc,
    mean_absolute_error,
)
from brainreel.train.fit import FittedRun
from brainreel.train.label_predictions import LabelPrediction, joined_labels
from brainreel.train.predictions import AnyPrediction
from brainreel.train.recipe import ScoringConfig

Rows = NDArray[np.int64]
Statistic = Callable[[Rows, Rows], float]  # (rows of what was told, rows of the truth) -> score


def score_labels(
    run: FittedRun, predictions: Sequence[AnyPrediction], home: Path
) -> list[Scorecard]:
    """Return one card for each split, and leave a table of its people in `home`.

    The people of all folds of a split are scored together.
    """
    found = [item for item in predictions if isinstance(item, LabelPrediction)]
    splits = list(dict.fromkeys(item.split for item in found))
    cards = []
    for split in splits:
        folds = [item for item in found if item.split == split]
        test, prefix = joined_labels(folds), f"{split}:" if len(splits) > 1 else ""
        scores = score_label(test, run.config.scoring, run.config.seed)
        card = card_of("", scores, level=run.config.scoring.level, prefix=prefix)
        write_text(home / f"people_{split}.tsv", people_table(folds))
        told = {part: {f"{prefix}{test.label}": v} for part, v in _tested(test).items()}
        notes = tuple(f"{prefix}{note}" for note in (*_notes(folds), *test.notes))
        cards.append(Scorecard("", data=told, notes=notes).joined(card))
    return cards


def score_label(test: LabelPrediction, scoring: ScoringConfig, seed: int) -> dict[str, Measured]:
    """Score the label of all people of a test.

    Parameters
    ----------
    test
        What was told of them.
    scoring
        The protocol.
    seed
        Of resamples of people, and of surrogates, in which people get each other's labels.

    Returns
    -------
    dict
        `balanced_accuracy`, `auroc` (of several classes the mean of one against the rest) and
        `accuracy`; or `mae` and `r`. Baselines: what any constant answer scores; for `accuracy`
        the commonest class in training, for `mae` the mean in training.
    """
    if not test.classes:
        return _of_number(test, scoring, seed)
    told, true = test.scores.argmax(axis=1), test.targets.astype(np.int64)
    guess = test.prior.argmax(axis=1)
    statistics: dict[str, tuple[Statistic, float]] = {
        "balanced_accuracy": (
            lambda a, b: balanced_accuracy(told[a], true[b]),
            1 / len(np.unique(true)),
        ),
        "auroc": (lambda a, b: macro_auroc(test.scores[a], true[b]), 0.5),
        "accuracy": (
            lambda a, b: float((told[a] == true[b]).mean()),
            float((guess == true).mean()),
        ),
    }
    return {
        name: _measured(statistic, len(true), baseline, scoring, seed, bounds=(0.0, 1.0))
        for name, (statistic, baseline) in statistics.items()
    }


def _of_number(test: LabelPrediction, scoring: ScoringConfig, seed: int) -> dict[str, Measured]:
    told, true, n = test.scores[:, 0], test.targets, len(test.targets)
    guess = mean_absolute_error(test.prior[:, 0], true)
    return {
        "mae": _measured(
            lambda a, b: mean_absolute_error(told[a], true[b]),
            n,
            guess,
            scoring,
            seed,
            bounds=(0.0, np.inf),
            lower_is_better=True,
        ),
        "r": _measured(
            lambda a, b: correlation_of(told[a], true[b]), n, 0.0, scoring, seed, bounds=(-1.0, 1.0)
        ),
    }


def _measured(
    statistic: Statistic,
    n: int,
    baseline: float,
    scoring: ScoringConfig,
    seed: int,
    *,
    bounds: tuple[float, float],
    lower_is_better: bool = False,
) -> Measured:
    """Return a score with its resamples of people, and its null of shuffled labels."""
    same = np.arange(n)
    value = statistic(same, same)
    if n < 2 or np.isnan(value):
        return Measured(value, baseline=baseline, lower_is_better=lower_is_better, bounds=bounds)
    drawn = np.random.default_rng([seed, 3]).integers(n, size=(scoring.n_bootstrap, n))
    shuffled = np.tile(same, (scoring.n_permutations, 1))
    orders = np.random.default_rng([seed, 4]).permuted(shuffled, axis=1)
    return Measured(
        value,
        np.array([statistic(rows, rows) for rows in drawn]),
        n,
        np.array([statistic(same, order) for order in orders]),
        baseline,
        lower_is_better=lower_is_better,
        bounds=bounds,
    )


def people_table(folds: Sequence[LabelPrediction]) -> str:
    """Return a table with tabs: one row a person, what is true and what was told."""
    first = folds[0]
    chances = [f"p_{name}" for name in first.classes]
    rows = [["participant_id", "fold", first.label, f"{first.label}_told", *chances, "n_windows"]]
    for fold in folds:
        for who, scores, target, n in zip(
            fold.people, fold.scores, fold.targets, fold.n_windows, strict=True
        ):
            known = [f"{target:g}", f"{scores[0]:.6g}"]
            if first.classes:
                known = [first.classes[int(target)], first.classes[int(scores.argmax())]]
                known += [f"{score:.6g}" for score in scores]
            rows.append([who, fold.fold, *known, str(n)])
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


def label_facts(people: People) -> dict[str, Any]:
    """Return who was scored, on what."""
    told = {"people": list(people.subjects), "label": people.label}
    return told | {"classes": list(people.classes)} if people.classes else told


def label_extent(people: People, fold: Fold) -> str:
    """Say in words how many people a fold trains and tests on."""

    def n_people(segments: Sequence[Segment]) -> int:
        return len({people.recordings[segment.recording].subject for segment in segments})

    train, validation, test = map(n_people, (fold.train, fold.validation, fold.test))
    held = f"{validation} validate, " * bool(validation)
    return f"{fold.name}: {train} people train, {held}{test} test"


def _tested(test: LabelPrediction) -> dict[str, dict[str, Any]]:
    """Return how many people were tested, and which class was taken for which."""
    if not test.classes:
        return {"tested": {"n_people": len(test.people)}}
    true, told = test.targets.astype(np.int64), test.scores.argmax(axis=1)
    counts = confusion(told, true, len(test.classes))
    named = {
        name: dict(zip(test.classes, map(int, row), strict=True))
        for name, row in zip(test.classes, counts, strict=True)
    }
    of_class = dict(zip(test.classes, map(int, counts.sum(axis=1)), strict=True))
    return {"tested": {"n_people": len(test.people), "people": of_class}, "confusion": named}


def _notes(folds: Sequence[LabelPrediction]) -> tuple[str, ...]:
    """Say that folds are scored together."""
    if len(folds) < 2:
        return ()
    return (
        f"{len(folds)} folds, each person told by a network that saw nothing of them; what all of "
        "them told is scored together.",
    )
