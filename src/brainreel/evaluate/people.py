"""Predicted BOLD of all people of a run: ceilings, maps and one card a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from brainreel.data.films import FilmsData
from brainreel.data.samples import Series
from brainreel.evaluate.beside import CONTROL, systems_beside
from brainreel.evaluate.bold import PersonScores, score_person
from brainreel.evaluate.bold_card import bold_card, falls_card
from brainreel.evaluate.ceilings import Float64, exact, inter_subject, repeats
from brainreel.evaluate.latents import score_latents
from brainreel.evaluate.others import OtherPeople
from brainreel.evaluate.same_test import facts_of_test
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import read_json, write_aside, write_json
from brainreel.fmri.store import read_store
from brainreel.train.fit import FittedRun
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.predictions import AnyPrediction, Prediction, pool
from brainreel.train.recipe import RunConfig


@dataclass(frozen=True, eq=False)
class _Test:
    """What is scored together: a split, or one cell of it.

    Attributes
    ----------
    name
        What the test is called.
    prefix
        What the names of its scores begin with; nothing for the only split of a run.
    people
        Pooled predictions, one a person.
    """

    name: str
    prefix: str
    people: tuple[Prediction, ...]


def score_series(
    run: FittedRun, predictions: Sequence[AnyPrediction], home: Path
) -> list[Scorecard]:
    """Return one card for each split or cell, and leave a map of each person in `home`.

    Beside the run stand the systems of `scoring.beside` and the task's controls.
    """
    assert isinstance(run.data, Series)
    config, others = run.config, OtherPeople(run.data)
    tests = _tests(run.data, predictions)
    ceilings = {test.name: _ceilings(config, run.data, test.people, others) for test in tests}
    cards, known = [], {}
    for test in tests:
        known[test.name] = scored = _scored(config, run.data, test.people, ceilings[test.name])
        for item in test.people:
            _save_maps(home, item, scored[item.subject])
        beside = {
            name: _card_beside(config, run.data, test.prefix, items, ceilings[test.name])
            for name, items in systems_beside(test.people, others, config.scoring.beside)
        }
        card = _card(config, run.data, test.prefix, scored)
        told = score_latents([p for p in predictions if _is_latent(p, test)], test.prefix)
        told |= {"tests": {test.prefix.removesuffix(":") or "test": facts_of_test(test.people)}}
        cards.append(replace(card, beside=beside, data={**card.data, **told}))
    task = config.resolved_stages()[-1].task
    for control in task.control_names() if config.scoring.controls else ():
        for test in _tests(run.data, run.predict_control(control)):
            held = _scored(config, run.data, test.people, ceilings[test.name])
            card = replace(_card(config, run.data, test.prefix, held), data={}, notes=())
            card = card.joined(_falls(config, run.data, test.prefix, known[test.name], held))
            cards.append(Scorecard("", beside={f"{CONTROL}{control}": card}))
    return cards


def _tests(series: Series, predictions: Sequence[AnyPrediction]) -> list[_Test]:
    pooled = pool([item for item in predictions if isinstance(item, Prediction)])
    names = list(dict.fromkeys(item.split for item in pooled))
    apart = len({fold.split for fold in series.folds}) > 1 or any(f.cells for f in series.folds)
    return [
        _Test(name, f"{name}:" * apart, tuple(item for item in pooled if item.split == name))
        for name in names
    ]


def _is_latent(item: AnyPrediction, test: _Test) -> bool:
    return isinstance(item, LatentPrediction) and item.split == test.name


def _scored(
    config: RunConfig,
    series: Series,
    people: Sequence[Prediction],
    ceilings: Mapping[str, Mapping[str, Float64]],
) -> dict[str, PersonScores]:
    """Score each person; volumes get back what cleaning took off the level of each recording."""
    level_of = {recording.label: recording.level for recording in series.recordings}
    return {
        item.subject: score_person(
            item,
            ceilings.get(item.subject, {}),
            config.scoring,
            config.seed,
            levels=[level_of[label] for label in item.recordings],
        )
        for item in people
    }


def _card(
    config: RunConfig, series: Series, prefix: str, scored: Mapping[str, PersonScores]
) -> Scorecard:
    return bold_card(scored, _groups(series), level=config.scoring.level, prefix=prefix)


def _falls(
    config: RunConfig,
    series: Series,
    prefix: str,
    scored: Mapping[str, PersonScores],
    control: Mapping[str, PersonScores],
) -> Scorecard:
    return falls_card(scored, control, _groups(series), level=config.scoring.level, prefix=prefix)


def _groups(series: Series) -> list[str]:
    return [recording.subject for recording in series.recordings if recording.members]


def _card_beside(
    config: RunConfig,
    series: Series,
    prefix: str,
    people: Sequence[Prediction],
    ceilings: Mapping[str, Mapping[str, Float64]],
) -> Scorecard:
    """Return the numbers alone of another system on the same test."""
    card = _card(config, series, prefix, _scored(config, series, people, ceilings))
    return replace(card, data={}, notes=())


def _ceilings(
    config: RunConfig, series: Series, people: Sequence[Prediction], others: OtherPeople
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
        found[item.subject] |= inter_subject(item, others)
    return found


def _save_maps(home: Path, item: Prediction, scores: PersonScores) -> None:
    """Write the numbers of each voxel, and name the file in the index of predictions."""
    file = f"maps_{item.split}_{item.subject}.npz"
    with write_aside(home / file) as aside:
        arrays: dict[str, Any] = {**scores.maps, "names": np.array(item.names, dtype=np.str_)}
        np.savez(aside, **arrays)
    entries = read_json(home / "index.json")
    for entry in entries:
        same = (entry["split"], entry["subject"]) == (item.split, item.subject)
        if same and entry["kind"] == item.kind:
            entry["maps"] = file
    write_json(home / "index.json", entries)


def series_facts(series: Series) -> dict[str, Any]:
    """Return who was scored, on what."""
    return {
        "people": list(series.subjects),
        "stimuli": sorted({recording.stimulus for recording in series.recordings}),
    }
