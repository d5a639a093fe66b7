"""Scorecard: the numbers of one run, each with its interval, ceiling, p-value and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from brainreel.errors import DataError
from brainreel.files import read_json, write_json

Interval = tuple[float, float]
# Parts of a card that are names to numbers.
_NUMBERS = (
    "scores", "ceilings", "p_values", "baselines", "shares", "targets", "spreads", "falls",
)  # fmt: skip


@dataclass(frozen=True)
class Scorecard:
    """All the numbers of a run, as they stand in `scorecard.json`.

    Keys are score names: `"r_median"` over all people, `"r_median/sub-01"` for one person,
    prefixed with `"split:"` where a run has several splits. Parts of the card that speak of the
    same score use the same key.

    Attributes
    ----------
    title
        What was asked, in one line.
    scores
        Name to number.
    intervals
        Name to (low, high), the level stands in the protocol.
    ceilings
        `"estimator"` or `"estimator/subject"` to the median ceiling.
    p_values
        Name to p-value.
    baselines
        Name to what a system without knowledge reaches in that score.
    shares
        `"name|estimator"` to the share of that ceiling.
    targets
        Name to the value that is right, where neither more nor less is better.
    spreads
        Name to the deviation of the score over the samples that were drawn of each brain.
    falls
        Of a negative control: name to how much lower it is than the run's own score; its interval
        stands under `"name|fall"`.
    beside
        Name of another system, or of a negative control (`"control:film_noise"`), to its card on
        the same test; it has scores, intervals, ceilings, p-values, shares, targets, spreads and
        falls alone.
    protocol
        How the numbers were made: split, permutations, n-way, trials, cleaning, stamps.
    data
        Digests of the sources, people, voxels used and excluded.
    versions
        Packages.
    notes
        Sentences that a reader of the numbers must know.
    """

    title: str
    scores: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    ceilings: Mapping[str, float] = field(default_factory=dict)
    p_values: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    spreads: Mapping[str, float] = field(default_factory=dict)
    falls: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, Scorecard] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the card as JSON, whole or not at all; a number that is not defined is null."""
        content = asdict(self)
        content["beside"] = {
            name: {part: values for part, values in card.items() if values}
            for name, card in content["beside"].items()
        }
        write_json(path, content)

    @classmethod
    def load(cls, path: Path) -> Scorecard:
        """Read a card back; null becomes NaN."""
        content = read_json(path)
        if not isinstance(content, dict) or "scores" not in content:
            raise DataError(f"{path}: not a scorecard. Run `brainreel evaluate` first.")
        return cls._of(content)

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Scorecard:
        names = {item.name for item in fields(cls)}
        known = {"title": ""} | {key: value for key, value in content.items() if key in names}
        for part in _NUMBERS:
            known[part] = {key: _number(value) for key, value in known.get(part, {}).items()}
        known["intervals"] = {
            key: (_number(low), _number(high))
            for key, (low, high) in known.get("intervals", {}).items()
        }
        known["notes"] = tuple(known.get("notes", ()))
        known["beside"] = {name: cls._of(card) for name, card in known.get("beside", {}).items()}
        return cls(**known)

    def joined(self, other: Scorecard) -> Scorecard:
        """Return the card with the numbers of another, and what stands beside it, added."""
        beside = dict(self.beside)
        for name, card in other.beside.items():
            beside[name] = beside[name].joined(card) if name in beside else card
        return replace(
            self,
            scores={**self.scores, **other.scores},
            intervals={**self.intervals, **other.intervals},
            ceilings={**self.ceilings, **other.ceilings},
            p_values={**self.p_values, **other.p_values},
            baselines={**self.baselines, **other.baselines},
            shares={**self.shares, **other.shares},
            targets={**self.targets, **other.targets},
            spreads={**self.spreads, **other.spreads},
            falls={**self.falls, **other.falls},
            beside=beside,
            protocol={**self.protocol, **other.protocol},
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return the table: one row a score with interval, p, ceiling, share, baseline, fall."""
        return [self._row(name) for name in self.scores]

    def shares_of(self, name: str) -> list[dict[str, Any]]:
        """Return each ceiling that a score is a share of: estimator, ceiling, share, interval.

        `"split:metric/person"` belongs to the share `"split:metric|estimator/person"` and to the
        ceiling `"split:estimator/person"`.
        """
        split, colon, rest = name.rpartition(":")
        metric, slash, person = rest.partition("/")
        head, tail = f"{split}{colon}{metric}|", f"{slash}{person}"
        found = []
        for key, share in self.shares.items():
            if not key.startswith(head) or key[len(head) :].partition("/")[1:] != (slash, person):
                continue
            estimator = key[len(head) : len(key) - len(tail)]
            found.append(
                {
                    "estimator": estimator,
                    "ceiling": self.ceilings.get(f"{split}{colon}{estimator}{tail}"),
                    "share": share,
                    "interval": self.intervals.get(key),
                }
            )
        return found

    def _row(self, name: str) -> dict[str, Any]:
        first = next(iter(self.shares_of(name)), {})
        return {
            "score": name,
            "value": self.scores[name],
            "interval": self.intervals.get(name),
            "p": self.p_values.get(name),
            "ceiling": first.get("ceiling"),
            "estimator": first.get("estimator", ""),
            "share": first.get("share"),
            "baseline": self.baselines.get(name),
            "target": self.targets.get(name),
            "fall": self.falls.get(name),
            "spread": self.spreads.get(name),
        }


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
