"""Scorecard: the numbers of one run, each with its interval, ceiling, p-value and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from brainreel.errors import DataError
from brainreel.files import read_json, write_json

Interval = tuple[float, float]


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
    protocol: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the card as JSON, whole or not at all; a number that is not defined is null."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Scorecard:
        """Read a card back; null becomes NaN."""
        content = read_json(path)
        names = {item.name for item in fields(cls)}
        if not isinstance(content, dict) or "scores" not in content:
            raise DataError(f"{path}: not a scorecard. Run `brainreel evaluate` first.")
        known = {key: value for key, value in content.items() if key in names}
        for part in ("scores", "ceilings", "p_values", "baselines", "shares"):
            known[part] = {key: _number(value) for key, value in known.get(part, {}).items()}
        known["intervals"] = {
            key: (_number(low), _number(high))
            for key, (low, high) in known.get("intervals", {}).items()
        }
        known["notes"] = tuple(known.get("notes", ()))
        return cls(**known)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table: one row a score with its interval, p, ceiling, share and baseline."""
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
            if not key.startswith(head) or key.partition("/")[1:] != (slash, person):
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
        }


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
