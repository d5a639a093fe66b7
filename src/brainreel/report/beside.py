"""One table of several systems on the same tests: runs and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brainreel.evaluate.beside import CONTROL
from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.words import (
    ScoreName,
    ceiling_words,
    interval,
    number,
    p_value,
    percent,
    split_words,
    system_words,
)

# Shown first to last; of identification the one among most, of r that over reliable voxels.
_METRICS = ("r_reliable", "r_median")
_LAST = "spatial_r"  # it flatters, so it stands at the end and apart


@dataclass(frozen=True)
class Entry:
    """A number as text, and what stands small under it."""

    value: str
    under: str = ""


@dataclass(frozen=True)
class Line:
    """One system on one test."""

    name: str
    meaning: str
    kind: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Group:
    """The systems on one test."""

    title: str
    stamp: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Comparison:
    """The table: a column a score, a group of lines a test."""

    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    legend: str = "What stands beside"

    @property
    def meanings(self) -> tuple[tuple[str, str], ...]:
        """Say once what each system beside the runs is."""
        lines = [line for group in self.groups for line in group.lines]
        return tuple({line.name: line.meaning for line in lines if line.meaning}.items())


def make_comparison(cards: Sequence[tuple[str, Scorecard]]) -> Comparison | None:
    """Put runs, and what stands beside them, side by side on every test that they share.

    Parameters
    ----------
    cards
        Name and card of each run. What stands beside several of them is taken from the first that
        has it.

    Returns
    -------
    None where there is nothing beside a run. Runs that have a test of the same name, and not the
    same people, moments or voxels in it, stand in groups of their own; controls stand with their
    run.
    """
    cards = [(name, card) for name, card in cards if any(map(_is_of_bold, card.scores))]
    systems = [name for _, card in cards for name in card.beside if not name.startswith(CONTROL)]
    if not systems and len(cards) < 2:
        return None
    columns = columns_of([card for _, card in cards])
    groups = []
    for split in dict.fromkeys(split for _, card in cards for split in splits_of(card)):
        runs = [(name, card) for name, card in cards if split in splits_of(card)]
        groups += _groups(split, runs, columns)
    return Comparison(
        tuple(head_of(column) for column in columns), tuple(groups), _other_voxels(cards)
    )


def _is_of_bold(key: str) -> bool:
    return ScoreName.parse(key).metric == "r_median"


def splits_of(card: Scorecard) -> list[str]:
    """Return the tests of a card that have scores of BOLD."""
    return list(
        dict.fromkeys(ScoreName.parse(key).split for key in filter(_is_of_bold, card.scores))
    )


def columns_of(cards: Sequence[Scorecard]) -> list[str]:
    """Return the metrics, and `metric|estimator` for shares of ceilings, in the table's order."""
    names = [ScoreName.parse(key) for card in cards for key in card.scores]
    known = {name.metric: name for name in names if not name.person}
    most = max((name.n_way for name in known.values()), default=0)
    shares = dict.fromkeys(
        ScoreName.parse(key).metric for card in cards for key in card.shares if "/" not in key
    )
    return [
        *(metric for metric in _METRICS if metric in known),
        *shares,
        *(metric for metric, name in known.items() if most and name.n_way == most),
        *(metric for metric in known if metric.startswith("coverage")),
        *(metric for metric in (_LAST,) if metric in known),
    ]


def head_of(column: str) -> str:
    """Return what a column of `columns_of` is called."""
    metric, bar, estimator = column.partition("|")
    if bar:
        return f"Share of ceiling, {ceiling_words(estimator)[0]}"
    return ScoreName.parse(metric).short


def _groups(
    split: str, runs: Sequence[tuple[str, Scorecard]], columns: Sequence[str]
) -> list[Group]:
    """Return a group for all runs of the very same test: one, or several of the same name."""
    by_test: dict[str, list[tuple[str, Scorecard]]] = {}
    for name, card in runs:
        by_test.setdefault(_test(card, split).get("digest", ""), []).append((name, card))
    apart = len(by_test) > 1
    return [_group(split, found, columns, apart=apart) for found in by_test.values()]


def _test(card: Scorecard, split: str) -> Mapping[str, Any]:
    found = card.data.get("tests", {}).get(split or "test", {})
    return found if isinstance(found, Mapping) else {}


def _group(
    split: str, runs: Sequence[tuple[str, Scorecard]], columns: Sequence[str], *, apart: bool
) -> Group:
    fitted = any(split in fitted_splits(card.protocol) for _, card in runs)
    stamps = ["training data"] if fitted else []
    if apart:
        stamps.append(_extent(_test(runs[0][1], split)))
    lines = [_line(name, "", "run", card, split, columns) for name, card in runs]
    systems = dict.fromkeys(name for _, card in runs for name in card.beside)
    for system in systems:
        found = [card.beside[system] for _, card in runs if system in card.beside]
        known = [card for card in found if split in splits_of(card)]
        if known and not system.startswith(CONTROL):
            lines.append(_line(*system_words(system), "system", known[0], split, columns))
    return Group(split_words(split), ", ".join(stamps), tuple(lines))


def _extent(test: Mapping[str, Any]) -> str:
    """Say what a test holds that has the name of another."""
    if not test:
        return "it is not known whether these are the same test data"
    people = "1 person" if test["n_people"] == 1 else f"{test['n_people']} people"
    if "n_trials" in test:
        size = " x ".join(map(str, test["picture_shape"][1:]))
        return f"not the same test data: {test['n_trials']} pictures of {size} seen by {people}"
    return f"not the same test data: {test['n_trs']} TRs, {test['n_voxels']} voxels of {people}"


def _other_voxels(cards: Sequence[tuple[str, Scorecard]]) -> tuple[str, ...]:
    """Say whose reliable voxels were chosen by another ceiling than the first run's."""
    first = {name: next(iter(_estimators(card)), "") for name, card in cards}
    if len(set(first.values())) < 2:
        return ()
    told = "; ".join(
        f"{name}, {ceiling_words(one)[0] if one else 'none'}" for name, one in first.items()
    )
    return (
        f"Voxels with a ceiling are not the same ones, for it is not the same ceiling: {told}.",
    )


def _estimators(card: Scorecard) -> list[str]:
    return [key.partition("|")[2] for key in card.shares if "/" not in key]


def fitted_splits(protocol: Mapping[str, object]) -> Sequence[str]:
    """Return the tests that are training data."""
    found = protocol.get("fitted_on_test")
    return [str(name) for name in found] if isinstance(found, list | tuple) else []


def _line(
    name: str, meaning: str, kind: str, card: Scorecard, split: str, columns: Sequence[str]
) -> Line:
    prefix = f"{split}:" if split else ""
    return Line(name, meaning, kind, tuple(entry_of(card, f"{prefix}{key}") for key in columns))


def entry_of(card: Scorecard, key: str) -> Entry:
    """Return a score or a share of a card, with interval and p."""
    if "|" in key:
        return Entry(percent(card.shares.get(key)))
    value, p = card.scores.get(key), p_value(card.p_values.get(key))
    told = interval(card.intervals.get(key))
    if key in card.p_values:
        told = f"{told} · p\u00a0{p}" if told else f"p\u00a0{p}"
    return Entry(number(value), told)
