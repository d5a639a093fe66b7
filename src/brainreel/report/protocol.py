"""How a run was scored, in sentences, from the protocol stamped on its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.picture_words import tell_samples
from brainreel.report.words import plain_rows, plain_value, split_words

_MOST_FOLDS = 4
_CONTROL = "Negative control"


@dataclass(frozen=True)
class Told:
    """A protocol in words.

    Attributes
    ----------
    question
        What was asked.
    stamps
        What makes these scores other than they look: a negative control, a fit on test data.
    how
        Sentences on the split, the p-values and the intervals.
    notes
        What else a reader must know.
    facts
        Everything that no sentence tells, as (label, value).
    """

    question: str
    stamps: tuple[str, ...]
    how: tuple[str, ...]
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def tell(card: Scorecard, *, kind: str = "bold") -> Told:
    """Put the protocol and the notes of a card into words.

    Parameters
    ----------
    card
        Any part of its protocol may be missing; what is not known here is listed as a fact.
    kind
        Kind of the predictions: `"bold"`, `"pictures"`, `"classes"` or `"labels"`; only those of
        BOLD have surrogates and resamples of time.
    """
    rest = dict(card.protocol)
    question = str(rest.pop("question", "") or "")
    stamps = [*_listed(rest.pop("stamps", ())), *(n for n in card.notes if n.startswith(_CONTROL))]
    fitted = rest.pop("fitted_on_test", False)
    if fitted is True:
        stamps.append("The model was fitted on test data; these scores say nothing of new data.")
    elif fitted:
        stamps.append(
            f"The model was fitted on the data of {' and '.join(map(split_words, fitted))}; the "
            "scores there say nothing of new data."
        )
    adapted = _listed(rest.pop("adapted_on_test", ()))
    if adapted:
        stamps.append(
            "Transductive: the network was trained on the brains of a test part, without what they "
            f"saw (in {', '.join(map(str, adapted))}); these scores say nothing of brains measured "
            "later."
        )
    how = [_split(split) for split in _listed(rest.pop("splits", ())) if isinstance(split, Mapping)]
    folds = [str(fold) for fold in _listed(rest.pop("folds", ()))]
    if folds:
        more = f" … and {len(folds) - _MOST_FOLDS} more" if len(folds) > _MOST_FOLDS else ""
        how.append(f"Sizes: {'; '.join(folds[:_MOST_FOLDS])}{more}.")
    scoring = rest.pop("scoring", {})
    if isinstance(scoring, Mapping) and scoring:
        how += _scoring(scoring, kind=kind, ceilings=bool(card.ceilings))
    drawn = rest.get("pictures", {})
    if isinstance(drawn, Mapping):
        how += tell_samples(drawn)
    notes = tuple(note for note in card.notes if not note.startswith(_CONTROL))
    return Told(question, tuple(map(str, stamps)), tuple(how), notes, tuple(plain_rows(rest)))


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, str | Mapping):
        return (value,)
    return tuple(value or ())


def _split(split: Mapping[str, Any]) -> str:
    """Say what was kept out of training."""
    name = str(split.get("name", ""))
    gap = split.get("gap_s")
    apart = f", with {plain_value(gap)} s left out on either side" if gap else ""
    named = {
        "hold_out_stimulus": ("films that nobody saw in training", "test_stimuli"),
        "hold_out_subject": ("people who were not in training", "test_subjects"),
    }
    if name in named:
        whom, key = named[name]
        listed = plain_value(split[key]) if split.get(key) else "the last by name"
        return f"Tested on {whom}: {listed}."
    if name == "cells":
        held = plain_value(split.get("test_stimuli") or "the last part of every film or run")
        return f"Held out of training: some people, and {held}{apart}; each cell is scored apart."
    if name == "time":
        return f"Tested on the last part of every film or run{apart}."
    if name == "blocks":
        n = split.get("n_folds")
        return f"Tested on {n} contiguous blocks, each predicted from the others{apart}."
    if name == "given" and split.get("n_train"):
        return f"Tested on all trials after the first {split['n_train']}, which train."
    if name == "given" and split.get("test_subjects"):
        return f"Tested on people by name: {plain_value(split['test_subjects'])}."
    if name == "given":
        return "Tested on what the data set names as its test part."
    if name == "stratified":
        n = split.get("n_folds")
        return (
            f"Tested on everything in {n} folds with equal shares of every class; what is tested "
            "is always predicted by a model that did not see it."
        )
    if name == "held_out":
        return f"Tested on {100 * float(split.get('test', 0)):g}\u00a0% of every class, at random."
    return f"Split: {plain_value([f'{k} {plain_value(v)}' for k, v in split.items()])}."


_SHUFFLED = {
    "pictures": "in which reconstructions are paired with other pictures",
    "classes": "in which items are given each other's classes",
    "labels": "in which people are given each other's labels",
}
_RESAMPLED = {"pictures": "pictures", "classes": "items", "labels": "people"}


def _scoring(scoring: Mapping[str, Any], *, kind: str, ceilings: bool) -> list[str]:
    told = []
    block = f"blocks of {plain_value(scoring.get('block_s', 0.0))} s"
    if scoring.get("n_permutations"):
        turned = _SHUFFLED.get(
            kind,
            f"in which the signal is shifted and shuffled in {block}, so that slow drifts earn "
            "nothing",
        )
        told.append(f"p-values: from {scoring['n_permutations']} surrogates {turned}.")
    if scoring.get("n_bootstrap"):
        level = f"{100 * float(scoring.get('level', 0.95)):g}\u00a0%"
        what = _RESAMPLED.get(kind, block)
        told.append(f"Intervals: {level}, from {scoring['n_bootstrap']} resamples of {what}.")
    if kind != "bold":
        return told
    if scoring.get("segment_s"):
        length = plain_value(scoring["segment_s"])
        told.append(f"Identification tells film segments of {length} s apart by their BOLD.")
    if not ceilings:
        told.append(
            "No ceiling is known: it takes repeats of a film, or three people with the same voxels."
        )
    elif scoring.get("ceiling_floor"):
        floor = plain_value(scoring["ceiling_floor"])
        told.append(f"Shares of a ceiling: only where the ceiling is at least {floor}.")
    return told
