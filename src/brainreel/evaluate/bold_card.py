"""The scores of several people on one card: their means, and each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from brainreel.evaluate.bold import PersonScores
from brainreel.evaluate.parts import Measured, card_of, fall_of, mean_over_people
from brainreel.evaluate.scorecard import Scorecard

_SILENT = "no voxel varies in the test part, so the means over people leave this one out."


def bold_card(
    scored: Mapping[str, PersonScores], groups: Sequence[str], *, level: float, prefix: str
) -> Scorecard:
    """Average over people (group means stand apart) and join everything on one card.

    Parameters
    ----------
    scored
        Subject to scores.
    groups
        Subjects that are means of others.
    level
        Of the intervals.
    prefix
        What the names of all scores begin with, or nothing.
    """
    people = averaged(scored, groups)
    silent = [who for who, part in scored.items() if _is_silent(part)]
    means = _means([scored[who].scores for who in people])
    singles = {
        f"{name}/{who}": value
        for who, part in scored.items()
        if len(scored) > 1
        for name, value in part.scores.items()
    }
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
        title="",
        scores=card.scores,
        intervals={**card.intervals, **share_card.intervals},
        ceilings=ceilings,
        p_values=card.p_values,
        baselines=card.baselines,
        shares=share_card.scores,
        targets=card.targets,
        data={"voxels": {f"{prefix}{who}": dict(part.counts) for who, part in scored.items()}},
        notes=tuple(f"{prefix}{who}: {_SILENT}" for who in silent if who not in people),
    )


def averaged(scored: Mapping[str, PersonScores], groups: Sequence[str]) -> list[str]:
    """Return whom the means are over: nobody silent and no group, where anybody else is there."""
    people = [who for who in scored if who not in groups]
    return [who for who in people if not _is_silent(scored[who])] or people or list(scored)


def falls_card(
    scored: Mapping[str, PersonScores],
    control: Mapping[str, PersonScores],
    groups: Sequence[str],
    *,
    level: float,
    prefix: str,
) -> Scorecard:
    """Return how much lower the scores over people are with a control than without.

    fall = s - s_control, the mean over people; its interval resamples both together, block by
    block. Scores that are right at one value have none.

    Parameters
    ----------
    scored, control
        Subject to scores, of the run and of the control on the same test.
    groups, level, prefix
        As in `bold_card`.
    """
    people = averaged(scored, groups)
    falls = _means(
        [
            {
                name: fall_of(value, control[who].scores[name])
                for name, value in scored[who].scores.items()
                if name in control[who].scores and np.isnan(value.target)
            }
            for who in people
        ]
    )
    card = card_of("", falls, level=level, prefix=prefix)
    return Scorecard(
        title="",
        falls=card.scores,
        intervals={f"{name}|fall": bounds for name, bounds in card.intervals.items()},
    )


def _is_silent(part: PersonScores) -> bool:
    """Whether no voxel varies in the measurement: such a person has no r."""
    return part.counts["n_without_variance"] == part.counts["n_voxels"]


def _means(people: Sequence[Mapping[str, Measured]]) -> dict[str, Measured]:
    """Average each score over the people who have it."""
    names = dict.fromkeys(name for scores in people for name in scores)
    return {
        name: mean_over_people([scores[name] for scores in people if name in scores])
        for name in names
    }
