"""Scores of reconstructed pictures, each beside what is reached without the brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import number_equal
from brainreel.evaluate.beside import CONTROL
from brainreel.evaluate.parts import Float64, Measured, card_of, fall_of, mean_over_people
from brainreel.evaluate.picture_grades import (
    BEST,
    EACH,
    Graded,
    OverSamples,
    grade,
    pair_scores,
)
from brainreel.evaluate.picture_looks import Judges, Look, judges_of
from brainreel.evaluate.pieces import pieces_file, pieces_table
from brainreel.evaluate.same_test import facts_of_pictures
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import write_text
from brainreel.metrics.images import frechet_distance
from brainreel.train.fit import FittedRun
from brainreel.train.predictions import AnyPrediction, PicturePrediction
from brainreel.train.recipe import RunConfig, ScoringConfig

Scores = dict[str, Measured]
_NAN = float("nan")


def score_trials(
    run: FittedRun, predictions: Sequence[AnyPrediction], home: Path
) -> list[Scorecard]:
    """Return one card for each split; beside the run stand the task's controls."""
    config, judges = run.config, judges_of(run.config.scoring.pictures)
    known, cards = {}, []
    tests = _tests(run, predictions)
    for (split, prefix), people in tests.items():
        known[split] = _scored(people, config, judges)
        write_text(home / pieces_file(split), pieces_table(people, known[split]))
        card = _card(known[split], config, prefix)
        stamp = {**_samples(people), **judges.stamp()}
        told = {"tests": {prefix.removesuffix(":") or "test": facts_of_pictures(people)}}
        cards.append(replace(card, protocol={"pictures": stamp} if stamp else {}, data=told))
    task = config.resolved_stages()[-1].task
    for control in task.control_names() if config.scoring.controls else ():
        for (split, prefix), people in _tests(run, run.predict_control(control)).items():
            held = _scored(_whole(people, tests[split, prefix]), config, judges)
            if not held:
                continue
            card = _card(held, config, prefix).joined(_falls(known[split], held, config, prefix))
            cards.append(Scorecard("", beside={f"{CONTROL}{control}": card}))
    return cards


def trials_facts(trials: Trials) -> dict[str, Any]:
    """Return who was scored, on what."""
    return {
        "people": list(trials.subjects),
        "n_trials": len(trials.voxels),
        "n_voxels": trials.sizes[0] if len(trials.sizes) == 1 else list(trials.sizes),
    }


def score_pictures(
    folds: Sequence[PicturePrediction],
    scoring: ScoringConfig,
    seed: int,
    judges: Judges | None = None,
) -> Scores:
    """Score one person's reconstructions, the folds of a split joined.

    Parameters
    ----------
    folds
        Predictions of the folds; each brings the mean picture of its own training trials.
    scoring
        The protocol.
    seed
        Of resamples of pictures, of surrogates, which pair reconstructions with other pictures,
        and of a classifier's trials.
    judges
        The networks of `scoring.pictures`; None loads them.
    """
    judges = judges_of(scoring.pictures) if judges is None else judges
    config = scoring.pictures
    truth = judges.look(np.concatenate([fold.true for fold in folds]))
    mean = judges.look(np.stack([fold.baseline for fold in folds]))
    fold_of = np.repeat(np.arange(len(folds)), [len(fold.true) for fold in folds])
    look = judges.look(np.concatenate([fold.predicted for fold in folds]))
    graded = grade(look, truth, config, scoring.n_way, seed)
    sets, looks = OverSamples(), []
    for pictures in _sets(folds):
        looks.append(judges.look(pictures))
        sets.add(grade(looks[-1], truth, config, scoring.n_way, seed))
    baselines = {
        name: _mean(score.every[fold_of, np.arange(len(fold_of))])
        for name, score in pair_scores(mean, truth, config).items()
        if score.every is not None
    }
    n = len(truth.pictures)
    rng = np.random.default_rng([seed, 4])
    pairings = rng.permuted(np.tile(np.arange(n), (scoring.n_permutations, 1)), axis=1)
    resampled = _Resampled.of(truth.pictures, scoring.n_bootstrap, seed)
    every = graded | (sets.scores() if looks else {})
    measured = {
        name: _measured(score, baselines.get(name.removesuffix(EACH), _NAN), pairings, resampled)
        for name, score in every.items()
    }
    return measured | _distances(look, looks, truth, mean, fold_of)


def _sets(folds: Sequence[PicturePrediction]) -> list[NDArray[np.floating]]:
    """Return the s-th sample of every picture, for each s that all folds have."""
    samples = [fold.samples for fold in folds if fold.samples is not None]
    if len(samples) < len(folds):
        return []
    n = min(part.shape[1] for part in samples)
    return [np.concatenate([part[:, s] for part in samples]) for s in range(n)]


class _Resampled(NamedTuple):
    """Resamples of the pictures that were seen: trials of one picture are no new evidence.

    Attributes
    ----------
    shown
        (N,) number of the picture that each trial saw.
    times
        (n, N) how often each trial stands in each resample.
    """

    shown: NDArray[np.int64]
    times: Float64

    @classmethod
    def of(cls, true: NDArray[np.floating], n: int, seed: int) -> _Resampled:
        """Draw `n` resamples of (N, C, H, W) true pictures."""
        shown = number_equal(true)
        n_pictures = int(shown.max()) + 1
        drawn = np.random.default_rng([seed, 3]).integers(n_pictures, size=(n, n_pictures))
        times = np.zeros((n, n_pictures))
        np.add.at(times, (np.arange(n)[:, None], drawn), 1)
        return cls(shown, times[:, shown])

    def means(self, pieces: Float64) -> tuple[Float64, int]:
        """Return the mean of (N,) pieces in each resample, and how many pictures have one.

        None for one picture, or where a mean is infinite. A resample of pieces that are all NaN is
        left out.
        """
        known = ~np.isnan(pieces)
        n_pictures = len(np.unique(self.shown[known]))
        if n_pictures < 2 or not np.isfinite(pieces[known]).all():
            return np.zeros(0), n_pictures
        size = self.times @ known
        total = self.times @ np.where(known, pieces, 0.0)
        return total[size > 0] / size[size > 0], n_pictures


def _measured(
    score: Graded, baseline: float, pairings: NDArray[np.int64], resampled: _Resampled
) -> Measured:
    """Join a score with its resamples over pictures, its null over pairings and its chance."""
    n, null = len(score.own), np.zeros(0)
    pieces = score.own if score.pieces is None else score.pieces
    resamples, known = resampled.means(pieces)
    if score.every is not None and n > 1 and not np.isnan(score.every).all():
        null = np.nanmean(score.every[np.arange(n), pairings], axis=1)
    return Measured(
        _mean(score.own),
        resamples,
        known,
        null,
        baseline if np.isnan(score.chance) else score.chance,
        lower_is_better=score.lower_is_better,
        bounds=score.bounds,
        spread=score.spread,
        pieces=pieces,
    )


def _distances(
    look: Look,
    sets: Sequence[Look],
    truth: Look,
    mean: Look,
    fold_of: NDArray[np.int64],
) -> Scores:
    """Return the Fréchet distances: of sets, so that they have neither interval nor p."""
    found: Scores = {}
    for tag, true in truth.pooled.items():
        if len(true) < 2:
            continue
        name = f"frechet_distance_{tag}"

        def apart(seen: NDArray[np.floating], tag: str = tag) -> float:
            return frechet_distance(seen, truth.pooled[tag], features=tag).value

        baseline = apart(mean.pooled[tag][fold_of])
        found[name] = Measured(apart(look.pooled[tag]), baseline=baseline, lower_is_better=True)
        values = [apart(one.pooled[tag]) for one in sets]
        if values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else _NAN
            found[f"{name}{EACH}"] = Measured(
                float(np.mean(values)), baseline=baseline, lower_is_better=True, spread=spread
            )
    return found


def _tests(
    run: FittedRun, predictions: Sequence[AnyPrediction]
) -> dict[tuple[str, str], dict[str, list[PicturePrediction]]]:
    """Return (split, prefix of its scores) to each person's folds."""
    tests: dict[str, dict[str, list[PicturePrediction]]] = {}
    for item in predictions:
        if isinstance(item, PicturePrediction):
            tests.setdefault(item.split, {}).setdefault(item.subject, []).append(item)
    apart = len({fold.split for fold in run.data.folds}) > 1
    return {(split, f"{split}:" * apart): people for split, people in tests.items()}


def _whole(
    people: Mapping[str, list[PicturePrediction]], all_of: Mapping[str, list[PicturePrediction]]
) -> dict[str, list[PicturePrediction]]:
    """Leave out people whom a control could not be made of in every fold that tests them."""
    return {who: folds for who, folds in people.items() if len(folds) == len(all_of[who])}


def _scored(
    people: Mapping[str, Sequence[PicturePrediction]], config: RunConfig, judges: Judges
) -> dict[str, Scores]:
    return {
        who: score_pictures(folds, config.scoring, config.seed, judges)
        for who, folds in people.items()
    }


def _samples(people: Mapping[str, Sequence[PicturePrediction]]) -> dict[str, Any]:
    """Return how many pictures were drawn of a brain, and how one was chosen."""
    folds = [fold for folds in people.values() for fold in folds if fold.samples is not None]
    if not folds:
        return {}
    numbers = sorted({fold.samples.shape[1] for fold in folds if fold.samples is not None})
    rules = sorted({fold.rule for fold in folds})
    return {"samples": numbers[0], "rule": ", ".join(rules)}


def _card(scored: Mapping[str, Scores], config: RunConfig, prefix: str) -> Scorecard:
    """Average over people, who then also stand by themselves."""
    singles = {
        f"{name}/{who}": value
        for who, scores in scored.items()
        if len(scored) > 1
        for name, value in scores.items()
    }
    return card_of("", _means(scored) | singles, level=config.scoring.level, prefix=prefix)


def _falls(
    scored: Mapping[str, Scores], held: Mapping[str, Scores], config: RunConfig, prefix: str
) -> Scorecard:
    """Return how much worse the scores are with a control; picking the best has none."""
    falls = {
        who: {
            name: fall_of(value, held[who][name])
            for name, value in scores.items()
            if name in held[who] and not name.endswith(BEST)
        }
        for who, scores in scored.items()
        if who in held
    }
    card = card_of("", _means(falls), level=config.scoring.level, prefix=prefix)
    intervals = {f"{name}|fall": bounds for name, bounds in card.intervals.items()}
    return Scorecard("", falls=card.scores, intervals=intervals)


def _means(people: Mapping[str, Scores]) -> Scores:
    names = dict.fromkeys(name for scores in people.values() for name in scores)
    return {
        name: mean_over_people([scores[name] for scores in people.values() if name in scores])
        for name in names
    }


def _mean(items: Float64) -> float:
    """Mean over pictures that have the score; NaN where none has."""
    return _NAN if np.isnan(items).all() else float(np.nanmean(items))
