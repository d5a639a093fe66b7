"""Plain words: names of scores and ceilings, numbers, and the protocol as a reader would say it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brainreel.report.label_words import LABEL_METRICS
from brainreel.report.picture_words import PICTURE_METRICS, PICTURE_SYSTEMS, over_samples

NONE = "–"  # what is not defined, in a table

# From the estimator that says most about what could be reached to the one that says least.
CEILING_ORDER = ("exact", "repeats", "repeat", "split_half", "leave_one_out", "inter_subject")

_CEILINGS = {
    "exact": (
        "exact",
        "The best score any model could reach, computed from what was simulated: a person's "
        "noise-free signal and noise, through the same cleaning as the data; or how films and "
        "their classes were drawn.",
    ),
    "repeats": (
        "repeats",
        "Best correlation expected from the signal and noise power estimated over repeated "
        "presentations.",
    ),
    "split_half": (
        "split halves",
        "Correlation between two halves of the repeats, corrected to the number of repeats in the "
        "test data with the Spearman-Brown formula.",
    ),
    "leave_one_out": (
        "other people",
        "Correlation of a person with the mean of all others who had the same stimulus. A model "
        "of one person can pass it: it lacks what is that person's own.",
    ),
}
_CEILINGS["repeat"] = _CEILINGS["repeats"]
_CEILINGS["inter_subject"] = _CEILINGS["leave_one_out"]

# First match wins: pattern of the metric, its words, what it means.
_METRICS: tuple[tuple[str, str, str], ...] = (
    *LABEL_METRICS,
    *PICTURE_METRICS,
    (
        r"r2_reliable",
        "R², voxels with a ceiling",
        "Share of a voxel's variance in test data that the prediction explains; the median over "
        "voxels whose ceiling is high enough to divide by.",
    ),
    (
        r"r_reliable",
        "Correlation r, voxels with a ceiling",
        "Pearson correlation between the predicted and the measured time course of a voxel in "
        "test data; the median over voxels whose ceiling is high enough to divide by.",
    ),
    (
        r"r_median|median_r",
        "Correlation r, all voxels",
        "Pearson correlation between the predicted and the measured time course of a voxel in "
        "test data, then the median over voxels.",
    ),
    (
        r"r_mean|mean_r",
        "Correlation r, mean voxel",
        "Pearson correlation between the predicted and the measured time course of a voxel in "
        "test data, then the mean over voxels.",
    ),
    (
        r"r2_median|median_r2",
        "R², all voxels",
        "Share of a voxel's variance in test data that the prediction explains; below 0 it is "
        "worse than the mean. The median over all voxels.",
    ),
    (
        r"coverage_([\d.]+)",
        "Coverage of {0} % intervals",
        "How often the measurement lies within the interval that was predicted for it. Right is "
        "{0} %: less says that the prediction is too sure of itself, more that it is not sure "
        "enough.",
    ),
    (
        r"spatial_r",
        "Correlation over space (it flatters)",
        "Pearson correlation over voxels between each predicted and measured volume. The mean "
        "volume, which says nothing of the film, comes nearly as far: see its baseline.",
    ),
    (
        r"significant|fdr",
        "Share of voxels with q < 0.05",
        "Voxels whose correlation survives the permutation test at a false discovery rate of 0.05.",
    ),
    (
        r"(\d+)_?way",
        "{0}-way identification",
        "How often the right one of {0} candidates is the one most like the prediction.",
    ),
    (
        r"two_?way|pairwise",
        "2-way identification",
        "How often the true one of two candidates is more like the prediction.",
    ),
    (
        r"action_top_?1",
        "Action accuracy",
        "How often verb and noun are both the first answer.",
    ),
    (r"joint_top_?1", "All labels right", "How often every label's first answer is right."),
    (
        r"^(\w+)_top_?(\d+)",
        "Top-{1} accuracy, {0}",
        "How often the true {0} is among the first {1} answers.",
    ),
    (r"top_?(\d+)", "Top-{0} accuracy", "How often the truth is among the first {0} answers."),
    (
        r"^(\w+)_map\b",
        "Mean average precision, {0}",
        "Area under precision and recall of each {0}; the mean over those with a test item.",
    ),
    (
        r"\bmap\b|average_precision",
        "Mean average precision",
        "Area under precision and recall of each class; the mean over those with a test item.",
    ),
)
_SHORT = {
    "r_reliable": "r, voxels with a ceiling",
    "r_median": "r, all voxels",
    "spatial_r": "r over space, which flatters",
}
# Name of what stands beside a run: its words, and what it is.
_SYSTEMS = {
    **PICTURE_SYSTEMS,
    "mean_volume": (
        "Mean volume",
        "Each voxel's training mean at every moment. It never changes, so its r is 0.",
    ),
    "other_people": (
        "Other people",
        "The mean of what everybody else measured at the same moments: what other brains say of "
        "the film. It is no model, for it has to be measured.",
    ),
    "control:film_shuffled": (
        "Film shuffled in time",
        "The same model, shown the TRs of the film in random order.",
    ),
    "control:film_noise": (
        "Noise for the film",
        "The same model, shown white noise of the film's brightness and contrast.",
    ),
    "control:reference_other": (
        "Another's reference",
        "The same model, given the reference volume of another person.",
    ),
}
_UNITS = (("tr s", "TR, s"), ("s", "s"), ("hz", "Hz"), ("trs", "TRs"), ("mm", "mm"))
_LOWER_IS_BETTER = re.compile(r"mse|\bmae\b|loss|distance|fid|^lpips")


@dataclass(frozen=True)
class ScoreName:
    """A score's key taken apart: `split:metric/person`."""

    key: str
    split: str
    metric: str
    person: str
    unit: str = "voxel"

    @classmethod
    def parse(cls, key: str, unit: str = "voxel") -> ScoreName:
        """Take `"blocks:r_median/sub-01"` apart."""
        split, _, rest = key.rpartition(":")
        metric, _, person = rest.partition("/")
        return cls(key, split, metric, person, unit)

    @property
    def words(self) -> str:
        """The metric as a reader would say it."""
        metric, ending, _ = over_samples(self.metric)
        found = _metric(metric)
        if found is None:
            text = metric.replace("_", " ").strip()
            words = text[:1].upper() + text[1:]
        else:
            words = found[0].replace("voxel", self.unit)
        if "segment" in metric and found is not None:
            words = f"Film segment, {words}"
        return f"{words} ({ending})" if ending else words

    @property
    def over_samples(self) -> bool:
        """Whether it is of several pictures that were drawn of a brain."""
        return bool(over_samples(self.metric)[1])

    @property
    def short(self) -> str:
        """The metric at the head of a narrow column."""
        return _SHORT.get(self.metric, self.words)

    @property
    def meaning(self) -> str:
        """What the metric is, in a sentence, or nothing."""
        metric, _, ending = over_samples(self.metric)
        found = _metric(metric)
        return "" if found is None else f"{found[1].replace('voxel', self.unit)} {ending}".rstrip()

    @property
    def n_way(self) -> int:
        """Number of candidates of an identification, 0 for any other score."""
        found = re.search(r"(\d+)_?way", self.metric)
        return int(found[1]) if found and not self.metric.startswith("class_") else 0

    @property
    def flatters(self) -> bool:
        """Whether it is high without knowledge of the film, or picked with the truth in sight."""
        return self.metric == "spatial_r" or self.metric.endswith("_best")

    @property
    def lower_is_better(self) -> bool:
        """Whether it is an error."""
        if re.match(r"(identification|class)_\d", self.metric):
            return False
        return bool(_LOWER_IS_BETTER.search(self.metric))


@dataclass(frozen=True)
class CellName:
    """The name of a cell taken apart: `label_seen_person-unseen_film`."""

    label: str
    seen_person: bool
    seen_film: bool


def cell_of(split: str) -> CellName | None:
    """Take the name of a cell apart; None for that of any other split."""
    found = re.search(r"(un)?seen_person-(un)?seen_film$", split)
    if found is None:
        return None
    return CellName(split[: found.start()].rstrip("_"), found[1] is None, found[2] is None)


def split_words(split: str) -> str:
    """Return the name of a split; that of a cell in words: `unseen person, seen film part`."""
    cell = cell_of(split)
    if cell is None:
        return split
    person, film = ("seen" if seen else "unseen" for seen in (cell.seen_person, cell.seen_film))
    words = f"{person} person, {film} film part"
    return f"{cell.label}: {words}" if cell.label else words


def system_words(name: str) -> tuple[str, str]:
    """Return what a system beside a run, or a control, is called, and what it is."""
    return _SYSTEMS.get(name, (label(name.rpartition(":")[2]), ""))


def ceiling_words(estimator: str) -> tuple[str, str]:
    """Return the short name and the meaning of a ceiling estimator (`"name/person"` is read)."""
    name = estimator.rpartition(":")[2].partition("/")[0].removeprefix("ceiling_")
    return _CEILINGS.get(name, (name.replace("_", " "), ""))


def number(value: float | None) -> str:
    """Write a number at three digits; what is not defined is a dash."""
    if value is None or math.isnan(value):
        return NONE
    small = 0 < abs(value) < 0.0995
    text = f"{value:.3f}" if small or abs(value) < 10 else f"{value:.1f}"
    return text.replace("-", "−")


def percent(value: float | None) -> str:
    """Write a share as per cent."""
    return (
        NONE
        if value is None or math.isnan(value)
        else f"{100 * value:.0f}\u00a0%".replace("-", "−")
    )


def p_value(value: float | None) -> str:
    """Write a p-value, never as 0."""
    if value is None or math.isnan(value):
        return NONE
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"


def interval(bounds: tuple[float, float] | None) -> str:
    """Write an interval, nothing where there is none."""
    if bounds is None or any(math.isnan(bound) for bound in bounds):
        return ""
    return f"{number(bounds[0])} to {number(bounds[1])}"


def label(key: str) -> str:
    """Turn a key of a JSON file into words: `n_permutations` is "Number of permutations"."""
    text = key.replace("_", " ").strip()
    if text.startswith("n "):
        text = "number of " + text[2:]
    for suffix, unit in _UNITS:
        if text.endswith(f" {suffix}"):
            text = f"{text.removesuffix(suffix).rstrip()} ({unit})"
            break
    return text[:1].upper() + text[1:]


def plain_rows(content: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, str]]:
    """Yield (label, value) lines of a mapping, the inner mappings joined to their key."""
    for key, value in content.items():
        name = label(str(key))
        if head:
            name = f"{head}: {name[:1].lower()}{name[1:]}"
        if isinstance(value, Mapping):
            yield from plain_rows(value, name)
        elif value is not None and value not in ("", [], ()):
            yield name, plain_value(value)


def plain_value(value: Any) -> str:
    """Write a value of a protocol: yes and no, lists with commas, numbers short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain_value(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    return str(value)


def _metric(metric: str) -> tuple[str, str] | None:
    for pattern, words, meaning in _METRICS:
        found = re.search(pattern, metric)
        if found:
            return words.format(*found.groups()), meaning.format(*found.groups())
    return None
