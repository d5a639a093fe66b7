"""Scores of classifiers: top-1, top-5, mAP, all labels right; numbers of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.data.labelled_samples import Labelled
from brainreel.errors import DataError
from brainreel.evaluate.class_ceilings import exact_accuracy
from brainreel.evaluate.parts import Float64, Measured, card_of, resampled_means
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import read_json, write_aside, write_json
from brainreel.metrics.classes import confusion, resampled_map, shuffled_map, topk_credit
from brainreel.metrics.ranking import average_precision, mean_average_precision
from brainreel.models.stimulus import StimulusConfig
from brainreel.train.class_predictions import UNTOLD, ClassPrediction
from brainreel.train.fit import FittedRun
from brainreel.train.predictions import AnyPrediction
from brainreel.train.recipe import ScoringConfig

Arrays = dict[str, NDArray[Any]]
MOST_CONFUSED = 1000  # classes beyond which confusions are not kept
_TOP = (1, 5)


@dataclass(frozen=True, eq=False)
class LabelTest:
    """The test items of one label, the folds of a split joined.

    Attributes
    ----------
    name
        The label.
    classes
        Names of its classes.
    several
        Whether an item may have more than one.
    rows
        Which test items have the label.
    scores, targets, prior
        (N, K): what was predicted, what is true, and each fold's shares of training items.
    """

    name: str
    classes: tuple[str, ...]
    several: bool
    rows: NDArray[np.int64]
    scores: Float64
    targets: NDArray[np.int8]
    prior: Float64

    @property
    def true(self) -> NDArray[np.int64]:
        """Return the true class of each item; for labels with one."""
        return np.asarray(self.targets.argmax(axis=1), dtype=np.int64)


def join_folds(folds: Sequence[ClassPrediction]) -> list[LabelTest]:
    """Return the labels of a split that have test items."""
    first, tests = folds[0], []
    for label, classes in first.classes.items():
        own = first.columns(label)
        scores = np.concatenate([fold.scores[:, own] for fold in folds]).astype(np.float64)
        targets = np.concatenate([fold.targets[:, own] for fold in folds])
        prior = np.concatenate([np.tile(f.prior[own], (len(f.items), 1)) for f in folds])
        rows = np.flatnonzero(targets[:, 0] != UNTOLD)
        if rows.size:
            tests.append(
                LabelTest(
                    label,
                    classes,
                    label in first.several,
                    rows,
                    scores[rows],
                    targets[rows],
                    prior[rows].astype(np.float64),
                )
            )
    return tests


def score_classes(
    tests: Sequence[LabelTest], scoring: ScoringConfig, seed: int
) -> dict[str, Measured]:
    """Score the labels of a split, and all of them together.

    Parameters
    ----------
    tests
        Of each label; with several labels, scores are called `"<label>_top1"` and so on.
    scoring
        The protocol.
    seed
        Of resamples of items and of surrogates, in which items get each other's classes.

    Returns
    -------
    dict
        `top1` and, beyond five classes, `top5` of labels with one class an item; `map`;
        `action_top1` (verb and noun), or `joint_top1` (any labels): all labels right at once.
        Baselines are what the training items' shares of the classes score without looking.
    """
    scores: dict[str, Measured] = {}
    for test in tests:
        prefix = f"{test.name}_" if len(tests) > 1 else ""
        if not test.several:
            for k in (k for k in _TOP if k == 1 or k < len(test.classes)):
                scores[f"{prefix}top{k}"] = _topk([test], k, scoring, seed)
        scores[f"{prefix}map"] = _map(test, scoring, seed)
    single = [test for test in tests if not test.several]
    alike = len(single) > 1 and all(np.array_equal(t.rows, single[0].rows) for t in single)
    if alike:
        name = "action" if {test.name for test in single} == {"verb", "noun"} else "joint"
        scores[f"{name}_top1"] = _topk(single, 1, scoring, seed)
    return scores


def _topk(tests: Sequence[LabelTest], k: int, scoring: ScoringConfig, seed: int) -> Measured:
    """Score how often the true class is among the k highest, in all labels at once."""
    n = len(tests[0].rows)
    columns = [test.true for test in tests]

    def earned(credits: Sequence[Float64], order: NDArray[np.int64]) -> Float64:
        every = [
            credit[np.arange(n), true[order]] for credit, true in zip(credits, columns, strict=True)
        ]
        return np.asarray(np.prod(every, axis=0))

    credits = [topk_credit(test.scores, k) for test in tests]
    items = earned(credits, np.arange(n))
    null = [float(earned(credits, order).mean()) for order in _orders(n, scoring, seed)]
    without = earned([topk_credit(test.prior, k) for test in tests], np.arange(n))
    return Measured(
        float(items.mean()),
        resampled_means(items, scoring.n_bootstrap, seed),
        n,
        np.array(null),
        float(without.mean()),
        bounds=(0.0, 1.0),
    )


def _map(test: LabelTest, scoring: ScoringConfig, seed: int) -> Measured:
    n = len(test.rows)
    value = mean_average_precision(test.scores, test.targets).value
    if n < 2 or np.isnan(value):
        return Measured(value, bounds=(0.0, 1.0))
    drawn = np.random.default_rng([seed, 3]).integers(n, size=(scoring.n_bootstrap, n))
    counts = np.array([np.bincount(rows, minlength=n) for rows in drawn], np.int32)
    orders = _orders(n, scoring, seed)
    return Measured(
        value,
        resampled_map(test.scores, test.targets, counts.reshape(-1, n)),
        n,
        shuffled_map(test.scores, test.targets, orders),
        mean_average_precision(test.prior, test.targets).value,
        bounds=(0.0, 1.0),
    )


def _orders(n: int, scoring: ScoringConfig, seed: int) -> NDArray[np.int64]:
    """Return (n_permutations, n) shuffles of the items; none for one item."""
    n_orders = scoring.n_permutations if n > 1 else 0
    rng = np.random.default_rng([seed, 4])
    return rng.permuted(np.tile(np.arange(n), (n_orders, 1)), axis=1)


def class_table(tests: Sequence[LabelTest]) -> Arrays:
    """Return the numbers of each class, all labels below each other, and confusions.

    Returns
    -------
    dict
        `label`, `name`, `n_items`, `average_precision`, `accuracy` (share of the class's items
        that were named right; NaN for labels with several classes), (K,) each, and
        `confusion_<label>` (K, K), row the true class.
    """
    rows: dict[str, list[NDArray[Any]]] = {}
    confusions: Arrays = {}
    for test in tests:
        n_items = (test.targets == 1).sum(axis=0)
        accuracy = np.full(len(test.classes), np.nan)
        if not test.several:
            hits = topk_credit(test.scores, 1) * (test.targets == 1)
            accuracy = np.where(n_items > 0, hits.sum(axis=0) / np.maximum(n_items, 1), np.nan)
            if len(test.classes) <= MOST_CONFUSED:
                named = test.scores.argmax(axis=1)
                found = confusion(named, test.true, len(test.classes))
                confusions[f"confusion_{test.name}"] = found
        own = {
            "label": np.full(len(test.classes), test.name),
            "name": np.array(test.classes, dtype=np.str_),
            "n_items": n_items,
            "average_precision": average_precision(test.scores, test.targets),
            "accuracy": accuracy,
        }
        for key, values in own.items():
            rows.setdefault(key, []).append(values)
    return {key: np.concatenate(values) for key, values in rows.items()} | confusions


def score_labelled(
    run: FittedRun, predictions: Sequence[AnyPrediction], home: Path
) -> list[Scorecard]:
    """Return one card for each split, and leave the numbers of each class in `home`."""
    found = [item for item in predictions if isinstance(item, ClassPrediction)]
    scoring = run.config.scoring
    splits = list(dict.fromkeys(item.split for item in found))
    cards = []
    for split in splits:
        folds = [item for item in found if item.split == split]
        tests = join_folds(folds)
        prefix = f"{split}:" if len(splits) > 1 else ""
        scores = score_classes(tests, scoring, run.config.seed)
        card = card_of("", scores, level=scoring.level, prefix=prefix)
        ceilings, shares, intervals = _exact(run, card, folds, prefix)
        _save_table(home, split, class_table(tests))
        cards.append(
            Scorecard(
                "",
                card.scores,
                {**card.intervals, **intervals},
                ceilings=ceilings,
                shares=shares,
                p_values=card.p_values,
                baselines=card.baselines,
                data={"tested": {f"{prefix}{test.name}": _tested(test) for test in tests}},
                notes=tuple(f"{prefix}{note}" for note in _notes(folds, tests)),
            )
        )
    return cards


def _exact(
    run: FittedRun, card: Scorecard, folds: Sequence[ClassPrediction], prefix: str
) -> tuple[dict[str, float], dict[str, float], dict[str, tuple[float, float]]]:
    """Return exact ceiling, share of it and the share's interval, where the truth is known."""
    truth, name = run.config.scoring.truth, f"{prefix}top1"
    if truth is None or name not in card.scores:
        return {}, {}, {}
    model = run.config.resolved_stages()[-1].model
    assert isinstance(model, StimulusConfig)
    ceiling = exact_accuracy(truth, model.senses, [item for fold in folds for item in fold.items])
    low, high = card.intervals.get(name, (float("nan"),) * 2)
    key = f"{name}|exact"
    return (
        {f"{prefix}exact": ceiling},
        {key: card.scores[name] / ceiling},
        {key: (low / ceiling, high / ceiling)} if name in card.intervals else {},
    )


def labelled_facts(labelled: Labelled) -> dict[str, Any]:
    """Return how much there is to tell apart."""
    classes = {label: len(names) for label, names in labelled.classes.items()}
    return {"n_items": len(labelled.items), "classes": classes}


def _tested(test: LabelTest) -> Mapping[str, Any]:
    """Return how many items and classes were tested, and what a guess would score."""
    counted = {
        "n_items": len(test.rows),
        "n_classes": len(test.classes),
        "n_classes_tested": int((test.targets == 1).any(axis=0).sum()),
    }
    if test.several:
        return counted
    return counted | {
        f"chance_top{k}": k / len(test.classes) for k in _TOP if k == 1 or k < len(test.classes)
    }


def _notes(folds: Sequence[ClassPrediction], tests: Sequence[LabelTest]) -> list[str]:
    """Say what the folds told, and which classes were never trained."""
    notes = [note for fold in folds for note in fold.notes]
    for test in tests:
        new = (test.targets == 1) & (test.prior == 0)
        names = [name for name, met in zip(test.classes, new.any(axis=0), strict=True) if met]
        if names:
            notes.append(
                f"{len(names)} of {len(test.classes)} classes of '{test.name}' are tested and "
                f"have no training item, so they cannot be named right: {_first(names)}."
            )
    return notes


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _save_table(home: Path, split: str, table: Arrays) -> None:
    """Write the numbers of each class, and name the file in the index of predictions."""
    file = f"classes_{split}.npz"
    with write_aside(home / file) as aside:
        np.savez(aside, **table)  # type: ignore[arg-type]
    entries = read_json(home / "index.json")
    if not isinstance(entries, list):
        raise DataError(f"{home / 'index.json'}: is no list of predictions. Run it again.")
    for entry in entries:
        if entry["split"] == split:
            entry["classes"] = file
    write_json(home / "index.json", entries)
