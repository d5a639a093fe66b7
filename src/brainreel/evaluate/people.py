"""Predicted BOLD of all people of a run: ceilings, maps and one card a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainreel.data.films import FilmsData
from brainreel.data.samples import Series
from brainreel.evaluate.bold import PersonScores, score_person
from brainreel.evaluate.ceilings import Float64, exact, inter_subject, repeats
from brainreel.evaluate.parts import Measured, card_of, mean_over_people
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import read_json, write_aside, write_json
from brainreel.fmri.store import read_store
from brainreel.train.fit import FittedRun
from brainreel.train.predictions import AnyPrediction, Prediction, pool
from brainreel.train.recipe import RunConfig

_SILENT = "no voxel varies in the test part, so the means over people leave this one out."


def score_series(
    run: FittedRun, predictions: Sequence[AnyPrediction], home: Path
) -> list[Scorecard]:
    """Return one card for each split, and leave a map of each person in `home`."""
    assert isinstance(run.data, Series)
    config, series = run.config, run.data
    pooled = pool([item for item in predictions if isinstance(item, Prediction)])
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


def series_facts(series: Series) -> dict[str, Any]:
    """Return who was scored, on what."""
    return {
        "people": list(series.subjects),
        "stimuli": sorted({recording.stimulus for recording in series.recordings}),
    }
