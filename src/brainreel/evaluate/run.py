"""Evaluate a fitted run: predict its test parts, score them, write the scorecard."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from brainreel.data.films import FilmsData
from brainreel.data.samples import Fold, Series, Trials
from brainreel.errors import DataError
from brainreel.evaluate.bold import PersonScores, score_person
from brainreel.evaluate.ceilings import Float64, exact, inter_subject, repeats
from brainreel.evaluate.parts import Measured, card_of, mean_over_people
from brainreel.evaluate.pictures import score_pictures
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import read_json, write_aside, write_json
from brainreel.fmri.store import read_store
from brainreel.train.fit import PACKAGES, FittedRun, load_fitted
from brainreel.train.predictions import (
    PicturePrediction,
    Prediction,
    pool,
    save_predictions,
)
from brainreel.train.recipe import RunConfig

CARD = "scorecard.json"
PREDICTIONS = "predictions"
_SILENT = "no voxel varies in the test part, so the means over people leave this one out."


def check_scoring(config: RunConfig) -> None:
    """Refuse, before anything is fitted, scoring that could not be done afterwards.

    Raises
    ------
    DataError
        If `scoring.truth` is no simulated study.
    """
    truth = config.scoring.truth
    if truth is not None and not (truth / "derivatives" / "truth").is_dir():
        raise DataError(
            f"{truth}: no simulated study (it has no derivatives/truth). Give scoring.truth the "
            "folder that `brainreel simulate` made, or leave it out."
        )


def evaluate(folder: Path) -> Scorecard:
    """Predict the test part of every fold of a fitted run and score it.

    Writes `predictions/` and `scorecard.json` into the run folder.

    Parameters
    ----------
    folder
        A run folder that `fit` made.

    Returns
    -------
    Scorecard
        As it stands in the file.
    """
    run = load_fitted(folder)
    check_scoring(run.config)
    predictions = run.predict()
    home = Path(folder) / PREDICTIONS
    save_predictions(home, predictions)
    bold = [item for item in predictions if isinstance(item, Prediction)]
    pictures = [item for item in predictions if isinstance(item, PicturePrediction)]
    cards: list[Scorecard] = []
    if isinstance(run.data, Series):
        cards = _score_bold(run.config, run.data, bold, home)
    else:
        cards = _score_pictures(run.config, pictures)
    card = _joined(run, cards)
    card.save(Path(folder) / CARD)
    return card


def _score_bold(
    config: RunConfig, series: Series, predictions: Sequence[Prediction], home: Path
) -> list[Scorecard]:
    """Return one card for each split, and leave a map of each person."""
    pooled = pool(predictions)
    groups = [recording.subject for recording in series.recordings if recording.members]
    splits = list(dict.fromkeys(item.split for item in pooled))
    cards = []
    for split in splits:
        people = [item for item in pooled if item.split == split]
        ceilings = _ceilings(config, series, people, groups)
        scored = {
            item.subject: score_person(
                item, ceilings.get(item.subject, {}), config.scoring, config.seed
            )
            for item in people
        }
        for item in people:
            _save_maps(home, item, scored[item.subject])
        prefix = f"{split}:" if len(splits) > 1 else ""
        cards.append(_bold_card(config, scored, groups, prefix))
    return cards


def _ceilings(
    config: RunConfig, series: Series, people: Sequence[Prediction], groups: Sequence[str]
) -> dict[str, dict[str, Float64]]:
    """Return the ceilings of each person, the exact one first where it is known."""
    found: dict[str, dict[str, Float64]] = {item.subject: {} for item in people}
    data = config.resolved_stages()[-1].data
    if config.scoring.truth is not None and isinstance(data, FilmsData):
        prepared = read_store(data.path, config_digest=data.prepared_with or None)
        runs = {run.label: run for run in prepared}
        for item in people:
            found[item.subject]["exact"] = exact(item, runs, config.scoring.truth, data.shift_s)
    for item in people:
        found[item.subject] |= repeats(item, config.seed)
    for subject, ceiling in inter_subject(people, groups).items():
        found[subject]["inter_subject"] = ceiling
    return found


def _bold_card(
    config: RunConfig, scored: Mapping[str, PersonScores], groups: Sequence[str], prefix: str
) -> Scorecard:
    """Average over people (group means stand apart) and join everything on one card."""
    silent = [who for who, part in scored.items() if _is_silent(part)]
    people = [who for who in scored if who not in groups]
    people = [who for who in people if who not in silent] or people or list(scored)
    means = _means([scored[who].scores for who in people])
    singles = {
        f"{name}/{who}": value
        for who, part in scored.items()
        if len(scored) > 1
        for name, value in part.scores.items()
    }
    level = config.scoring.level
    card = card_of("", means | singles, level=level, prefix=prefix)
    shares = _means([scored[who].shares for who in people])
    shares |= {
        f"{name}/{who}": value for who in scored for name, value in scored[who].shares.items()
    }
    share_card = card_of("", shares, level=level, prefix=prefix)
    ceilings = {
        f"{prefix}{name}/{who}": value
        for who in scored
        for name, value in scored[who].ceilings.items()
    }
    for name in dict.fromkeys(name for who in people for name in scored[who].ceilings):
        known = [scored[who].ceilings[name] for who in people if name in scored[who].ceilings]
        ceilings[f"{prefix}{name}"] = float(np.mean(known))
    return Scorecard(
        title=config.title,
        scores=card.scores,
        intervals={**card.intervals, **share_card.intervals},
        ceilings=ceilings,
        p_values=card.p_values,
        baselines=card.baselines,
        shares=share_card.scores,
        data={"voxels": {f"{prefix}{who}": dict(part.counts) for who, part in scored.items()}},
        notes=tuple(f"{prefix}{who}: {_SILENT}" for who in silent if who not in people),
    )


def _is_silent(part: PersonScores) -> bool:
    """Whether no voxel varies in prediction and measurement: such a person has no r."""
    return part.counts["n_without_variance"] == part.counts["n_voxels"]


def _score_pictures(config: RunConfig, predictions: Sequence[PicturePrediction]) -> list[Scorecard]:
    splits = list(dict.fromkeys(item.split for item in predictions))
    cards = []
    for split in splits:
        folds = [item for item in predictions if item.split == split]
        scores = score_pictures(folds, config.scoring, config.seed)
        prefix = f"{split}:" if len(splits) > 1 else ""
        cards.append(card_of(config.title, scores, level=config.scoring.level, prefix=prefix))
    return cards


def _means(people: Sequence[Mapping[str, Measured]]) -> dict[str, Measured]:
    """Average each score over the people who have it."""
    names = dict.fromkeys(name for scores in people for name in scores)
    return {
        name: mean_over_people([scores[name] for scores in people if name in scores])
        for name in names
    }


def _save_maps(home: Path, item: Prediction, scores: PersonScores) -> None:
    """Write the numbers of each voxel, and name the file in the index of predictions."""
    file = f"maps_{item.split}_{item.subject}.npz"
    with write_aside(home / file) as aside:
        arrays: dict[str, Any] = {**scores.maps, "names": np.array(item.names, dtype=np.str_)}
        np.savez(aside, **arrays)
    entries = read_json(home / "index.json")
    for entry in entries:
        if (entry["split"], entry["subject"]) == (item.split, item.subject):
            entry["maps"] = file
    write_json(home / "index.json", entries)


def _joined(run: FittedRun, cards: Sequence[Scorecard]) -> Scorecard:
    """Join the cards of all splits, and stamp them with protocol, data and versions."""

    def merged(part: str) -> dict[str, Any]:
        return {key: value for card in cards for key, value in getattr(card, part).items()}

    config = run.config
    last = config.resolved_stages()[-1]
    voxels = {who: counts for card in cards for who, counts in card.data.get("voxels", {}).items()}
    return Scorecard(
        title=config.title or f"{last.model.name} on {last.data.name}",
        scores=merged("scores"),
        intervals=merged("intervals"),
        ceilings=merged("ceilings"),
        p_values=merged("p_values"),
        baselines=merged("baselines"),
        shares=merged("shares"),
        protocol=_protocol(run),
        data=_facts(run.data) | ({"voxels": voxels} if voxels else {}),
        versions={"python": platform.python_version()} | {n: version(n) for n in PACKAGES},
        notes=(*run.data.notes, *(note for card in cards for note in card.notes)),
    )


def _protocol(run: FittedRun) -> dict[str, Any]:
    """Return how the numbers were made, in the order a reader asks."""
    config = run.config
    last = config.resolved_stages()[-1]
    return {
        "question": config.about or config.title,
        "task": last.task.name,
        "model": last.model.name,
        "splits": [split.model_dump(mode="json") for split in last.data.splits],
        "folds": [_extent(fold) for fold in run.data.folds],
        "fitted_on_test": any(fitted_on_test(fold) for fold in run.data.folds),
        "scoring": {k: v for k, v in config.scoring.to_dict().items() if k != "truth"},
        "seed": config.seed,
    }


def fitted_on_test(fold: Fold) -> bool:
    """Whether any TR or trial of the fold's test was also fitted, or chose the weights."""
    seen = (*fold.train, *fold.validation)
    overlaps = any(
        a.recording == b.recording and a.start_tr < b.stop_tr and b.start_tr < a.stop_tr
        for a in seen
        for b in fold.test
    )
    return overlaps or not set(fold.train_trials).isdisjoint(fold.test_trials)


def _extent(fold: Fold) -> str:
    """Say in words how much a fold trains and tests on."""
    if fold.test_trials:
        return f"{fold.name}: {len(fold.train_trials)} trials train, {len(fold.test_trials)} test"
    train, test = (sum(s.n_trs for s in part) for part in (fold.train, fold.test))
    return f"{fold.name}: {train} TRs train, {test} TRs test, over all people"


def _facts(data: Series | Trials) -> dict[str, Any]:
    if isinstance(data, Series):
        return {
            "people": list(data.subjects),
            "stimuli": sorted({recording.stimulus for recording in data.recordings}),
            "sources": dict(data.sources),
        }
    return {
        "people": [data.subject],
        "n_trials": len(data.voxels),
        "n_voxels": int(data.voxels.shape[1]),
        "sources": dict(data.sources),
    }
