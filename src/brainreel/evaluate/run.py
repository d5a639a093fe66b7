"""Evaluate a fitted run: predict its test parts, score them, write the scorecard."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

from brainreel.data.catalog import Opened
from brainreel.data.labelled_samples import Labelled
from brainreel.data.samples import Fold, Series, Trials
from brainreel.errors import DataError
from brainreel.evaluate.classes import labelled_facts, score_labelled
from brainreel.evaluate.labels import label_extent, label_facts, score_labels
from brainreel.evaluate.people import score_series, series_facts
from brainreel.evaluate.picture_looks import judges_of
from brainreel.evaluate.pictures import score_trials, trials_facts
from brainreel.evaluate.scorecard import Scorecard
from brainreel.simulate.film_set import read_set_truth
from brainreel.train.fit import PACKAGES, FittedRun, load_fitted
from brainreel.train.label import LabelConfig
from brainreel.train.lineage import adapted_on_test
from brainreel.train.prediction_files import save_predictions
from brainreel.train.predictions import AnyPrediction
from brainreel.train.recipe import RunConfig

CARD = "scorecard.json"
PREDICTIONS = "predictions"


# Of the scoring: the truth is no protocol, and of pictures the card tells what was done.
_APART = ("truth", "pictures")


@dataclass(frozen=True)
class Kind:
    """How data of one kind is scored.

    Attributes
    ----------
    score
        (run, predictions, their folder) -> one card a split.
    facts
        Data -> what the card says of it.
    unit
        What a fold counts.
    extent
        (data, fold) -> how much it trains and tests on, where that is not a number of units.
    """

    score: Callable[[FittedRun, Sequence[AnyPrediction], Path], list[Scorecard]]
    facts: Callable[[Any], dict[str, Any]]
    unit: str
    extent: Callable[[Any, Fold], str] | None = None


_KINDS: dict[type[Opened], Kind] = {
    Series: Kind(score_series, series_facts, "TRs"),
    Trials: Kind(score_trials, trials_facts, "trials"),
    Labelled: Kind(score_labelled, labelled_facts, "items"),
}


_LABELS = Kind(score_labels, label_facts, "people", label_extent)


def _kind_of(run: FittedRun) -> Kind:
    """Return how a run is scored: people by their label if that was learned, else as recordings."""
    if isinstance(run.config.resolved_stages()[-1].task, LabelConfig):
        return _LABELS
    return next(kind for opened, kind in _KINDS.items() if isinstance(run.data, opened))


def check_scoring(config: RunConfig) -> None:
    """Refuse, before anything is fitted, scoring that could not be done afterwards.

    Raises
    ------
    DataError
        If `scoring.truth` is no simulated study, or no simulated set of labelled films.
    ConfigError, CheckpointError, MissingExtraError
        If a network of `scoring.pictures` is not there, or lacks what is asked of it.
    """
    truth = config.scoring.truth
    if truth is not None and config.data.name == "labelled":
        read_set_truth(truth)
    elif truth is not None and not (truth / "derivatives" / "truth").is_dir():
        raise DataError(
            f"{truth}: no simulated study (it has no derivatives/truth). Give scoring.truth the "
            "folder that `brainreel simulate` made, or leave it out."
        )
    judges_of(config.scoring.pictures)


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
    cards = _kind_of(run).score(run, predictions, home)
    card = _joined(run, cards)
    card.save(Path(folder) / CARD)
    return card


def _joined(run: FittedRun, cards: Sequence[Scorecard]) -> Scorecard:
    """Join the cards of all splits, and stamp them with protocol, data and versions."""

    config = run.config
    last = config.resolved_stages()[-1]
    facts = _kind_of(run).facts(run.data) | {"sources": dict(run.data.sources)}
    for part in dict.fromkeys(part for card in cards for part in card.data):
        facts[part] = {k: v for card in cards for k, v in card.data.get(part, {}).items()}
    numbers = reduce(Scorecard.joined, cards, Scorecard(""))
    return replace(
        numbers,
        title=config.title or f"{last.model.name} on {last.data.name}",
        protocol={**_protocol(run), **numbers.protocol},
        data=facts,
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
        **last.task.protocol(),
        "splits": [split.model_dump(mode="json") for split in last.data.splits],
        "folds": [_extent(fold, run) for fold in run.data.folds],
        **_unseen(run.data),
        "fitted_on_test": _stamp(run.data.folds),
        **({"adapted_on_test": list(adapted)} if (adapted := adapted_on_test(run.folder)) else {}),
        "scoring": {k: v for k, v in config.scoring.to_dict().items() if k not in _APART},
        "seed": config.seed,
    }


def _stamp(folds: Sequence[Fold]) -> bool | list[str]:
    """Return whether a fold was fitted on its test, or the names of the cells that were."""
    cells = [(cell.name, replace(fold, test=cell.test)) for fold in folds for cell in fold.cells]
    found = [name for name, fold in cells if fitted_on_test(fold)]
    return found or any(fitted_on_test(fold) for fold in folds if not fold.cells)


def _unseen(data: Opened) -> dict[str, Any]:
    """Name the people that cells call unseen: some are drawn, so no option tells."""
    if not isinstance(data, Series):
        return {}
    cells = [cell for fold in data.folds for cell in fold.cells if cell.unseen_person]
    numbers = {segment.recording for cell in cells for segment in cell.test}
    names = sorted({data.recordings[number].subject for number in numbers})
    return {"unseen_people": names} if names else {}


def fitted_on_test(fold: Fold) -> bool:
    """Whether any TR or trial of the fold's test was also fitted, or chose the weights."""
    seen = (*fold.train, *fold.validation)
    overlaps = any(
        a.recording == b.recording and a.start_tr < b.stop_tr and b.start_tr < a.stop_tr
        for a in seen
        for b in fold.test
    )
    fitted = {*fold.train_trials, *fold.validation_trials}
    return overlaps or not fitted.isdisjoint(fold.test_trials)


def _extent(fold: Fold, run: FittedRun) -> str:
    """Say in words how much a fold trains and tests on."""
    kind = _kind_of(run)
    if kind.extent is not None:
        return kind.extent(run.data, fold)
    unit = kind.unit
    if fold.test_trials:
        train, validation, test = map(
            len, (fold.train_trials, fold.validation_trials, fold.test_trials)
        )
        held = f"{validation} validate, " * bool(validation)
        return f"{fold.name}: {train} {unit} train, {held}{test} test"
    trained, tested = (sum(s.n_trs for s in part) for part in (fold.train, fold.test))
    if fold.cells:
        each = ", ".join(f"{sum(s.n_trs for s in c.test)} {unit} {c.name}" for c in fold.cells)
        return f"{fold.name}: {trained} {unit} train, over all people; tests: {each}"
    return f"{fold.name}: {trained} {unit} train, {tested} {unit} test, over all people"
