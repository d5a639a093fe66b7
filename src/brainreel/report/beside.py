"""One table of several systems on the same tests: runs, baselines, negative controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    None where there is nothing beside the runs.
    """
    cards = [(name, card) for name, card in cards if any(map(_is_of_bold, card.scores))]
    if not any(card.beside for _, card in cards):
        return None
    splits = dict.fromkeys(split for _, card in cards for split in _splits(card))
    columns = _columns([card for _, card in cards])
    groups = [_group(split, cards, columns) for split in splits]
    return Comparison(tuple(_head(column) for column in columns), tuple(groups))


def _is_of_bold(key: str) -> bool:
    return ScoreName.parse(key).metric == "r_median"


def _splits(card: Scorecard) -> list[str]:
    return [ScoreName.parse(key).split for key in card.scores if _is_of_bold(key)]


def _columns(cards: Sequence[Scorecard]) -> list[str]:
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


def _head(column: str) -> str:
    metric, bar, estimator = column.partition("|")
    if bar:
        return f"Share of ceiling, {ceiling_words(estimator)[0]}"
    return ScoreName.parse(metric).short


def _group(split: str, cards: Sequence[tuple[str, Scorecard]], columns: Sequence[str]) -> Group:
    runs = [(name, card) for name, card in cards if split in _splits(card)]
    fitted = any(split in _fitted(card.protocol) for _, card in runs)
    lines = [_line(name, "", "run", card, split, columns) for name, card in runs]
    systems = dict.fromkeys(name for _, card in runs for name in card.beside)
    for system in sorted(systems, key=lambda name: name.startswith(CONTROL)):
        for beside in _beside(system, runs, split):
            kind = "control" if system.startswith(CONTROL) else "system"
            lines.append(_line(*system_words(system), kind, beside, split, columns))
    return Group(split_words(split), "training data" if fitted else "", tuple(lines))


def _fitted(protocol: Mapping[str, object]) -> Sequence[str]:
    found = protocol.get("fitted_on_test")
    return [str(name) for name in found] if isinstance(found, list | tuple) else []


def _beside(system: str, runs: Sequence[tuple[str, Scorecard]], split: str) -> Iterator[Scorecard]:
    """Yield the cards of a system: a control's of every run, any other's of the first."""
    found = [
        card.beside[system]
        for _, card in runs
        if system in card.beside and split in _splits(card.beside[system])
    ]
    yield from found if system.startswith(CONTROL) else found[:1]


def _line(
    name: str, meaning: str, kind: str, card: Scorecard, split: str, columns: Sequence[str]
) -> Line:
    prefix = f"{split}:" if split else ""
    return Line(name, meaning, kind, tuple(_entry(card, f"{prefix}{key}") for key in columns))


def _entry(card: Scorecard, key: str) -> Entry:
    if "|" in key:
        return Entry(percent(card.shares.get(key)))
    value, p = card.scores.get(key), p_value(card.p_values.get(key))
    told = interval(card.intervals.get(key))
    if key in card.p_values:
        told = f"{told} · p {p}" if told else f"p {p}"
    return Entry(number(value), told)
