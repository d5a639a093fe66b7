"""What is left of the scores of pictures when the brain, or all but the class, is withheld."""

from __future__ import annotations

from brainreel.evaluate.beside import CONTROL
from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.beside import entry_of
from brainreel.report.cells import Withheld, held_entry
from brainreel.report.words import ScoreName, split_words, system_words

_FIRST = ("pixel_correlation", "ssim")


def make_without_brain(card: Scorecard) -> tuple[Withheld, ...]:
    """Return a table for each split: the run and its controls, a column a score.

    Scores are pixel correlation, SSIM, identification among most, and all that networks tell.
    """
    controls = {name: beside for name, beside in card.beside.items() if name.startswith(CONTROL)}
    names = [ScoreName.parse(key) for key in card.scores]
    splits = dict.fromkeys(name.split for name in names if name.metric == _FIRST[0])
    return tuple(_table(card, controls, split) for split in splits if controls)


def _table(card: Scorecard, controls: dict[str, Scorecard], split: str) -> Withheld:
    names = [ScoreName.parse(key) for key in card.scores]
    own = [name for name in names if name.split == split and not name.person]
    most = max((name.n_way for name in own), default=0)
    told = [name for name in own if _is_told(name, most)]
    rows = [("As it is", tuple(entry_of(card, name.key) for name in told))]
    rows += [
        (system_words(control)[0], tuple(held_entry(beside, name.key) for name in told))
        for control, beside in controls.items()
    ]
    return Withheld(
        split_words(split) or "Score",
        tuple(name.words for name in told),
        tuple(rows),
        tuple(system_words(control) for control in controls),
    )


def _is_told(name: ScoreName, most: int) -> bool:
    if name.metric.endswith(("_each", "_best")):
        return False
    if name.metric in _FIRST or name.metric.startswith("class_"):
        return True
    plain = name.metric == f"identification_{most}way"
    return plain or (name.n_way == 2 and "." in name.metric)
