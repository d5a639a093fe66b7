"""A sweep's table: on the page, in Markdown, and as files for a spreadsheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from brainreel.errors import ConfigError, did_you_mean
from brainreel.evaluate.scorecard import Scorecard
from brainreel.evaluate.sweep import Scored, Summary
from brainreel.report.beside import Comparison, Entry, Group, Line
from brainreel.report.scores import make_tables
from brainreel.report.words import NONE, ScoreName, interval, number, split_words


def shown_scores(card: Scorecard, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the scores that a table shows: those asked for, or the large ones.

    Parameters
    ----------
    card
        The card of the base.
    asked
        Names as they stand on the card, with or without a split; empty for those that a page of
        the run shows large.

    Raises
    ------
    ConfigError
        If a name is none of the card's; the near one is suggested.
    """
    keys = [key for key in card.scores if "/" not in key]
    metrics = {key: ScoreName.parse(key).metric for key in keys}
    for name in asked:
        if name not in keys and name not in metrics.values():
            near = did_you_mean(name, [*metrics.values(), *keys])
            raise ConfigError(f"scores: the runs have no score '{name}'.{near}")
    if not asked:
        asked = [row.name.key for table in make_tables(card, "voxel") for row in table.headlines]
    return tuple(key for name in asked for key in keys if name in (key, metrics[key]))


def make_sweep_table(
    summaries: Sequence[Summary],
    shown: Sequence[str],
    titles: Mapping[str, str],
    told: Mapping[str, str],
    *,
    base: str,
    notes: Sequence[str] = (),
) -> Comparison:
    """Return a column for each score, a group for each split, a line for each variant.

    Parameters
    ----------
    summaries
        All scores of all variants.
    shown
        Keys of the scores in the table.
    titles, told
        Variant to what it is called, in the order of the table, and to what it changes.
    base
        The variant that the others are compared with.
    notes
        Sentences below the table, after those that say what its numbers are.
    """
    found = {(item.variant, item.score): item for item in summaries}
    names = {key: ScoreName.parse(key) for key in shown}
    metrics = list(dict.fromkeys(name.metric for name in names.values()))
    known = [variant for variant in titles if any(variant == item[0] for item in found)]

    def line(variant: str, split: str) -> Line:
        prefix = f"{split}:" if split else ""
        items = [
            found.get((variant, key)) if (key := f"{prefix}{metric}") in names else None
            for metric in metrics
        ]
        entries = tuple(_entry(item, of_base=variant == base) for item in items)
        return Line(titles[variant], told.get(variant, ""), "run", entries)

    groups = tuple(
        Group(split_words(split), "", tuple(line(variant, split) for variant in known))
        for split in dict.fromkeys(name.split for name in names.values())
    )
    of_shown = [item for item in summaries if item.score in names]
    heads = tuple(ScoreName.parse(metric).short for metric in metrics)
    legend = "What each variant changes"
    return Comparison(heads, groups, (*_notes(of_shown, titles, base), *notes), legend)


def to_markdown(table: Comparison) -> str:
    """Return the table in Markdown, one for each split, with its notes."""
    parts = []
    for group in table.groups:
        rows = [["Variant", *table.columns], ["---", *["---:"] * len(table.columns)]]
        for line in group.lines:
            rows.append([line.name, *map(entry_words, line.entries)])
        if group.title:
            parts.append(f"{group.title[:1].upper()}{group.title[1:]}:")
        parts.append("\n".join(f"| {' | '.join(_cell(text) for text in row)} |" for row in rows))
    parts += ["\n".join(f"- {note}" for note in table.notes)] * bool(table.notes)
    return "\n\n".join(parts) + "\n"


def to_csv(summaries: Sequence[Summary], titles: Mapping[str, str]) -> str:
    """Return a row for each score of each variant, over seeds."""
    rows = []
    for item in summaries:
        low, high = item.interval or (math.nan, math.nan)
        d_low, d_high = item.difference_interval or (math.nan, math.nan)
        rows.append({
            "variant": item.variant, "title": titles.get(item.variant, item.variant),
            "score": item.score, "n_seeds": item.n_seeds, "mean": item.mean,
            "spread": item.spread, "low": low, "high": high, "difference": item.difference,
            "difference_low": d_low, "difference_high": d_high, "over": item.over, "n": item.n,
        })  # fmt: skip
    return _csv(rows)


def runs_csv(runs: Sequence[Scored]) -> str:
    """Return a row for each score of each run, those of single people too."""
    rows = []
    for run in runs:
        for key, value in run.card.scores.items():
            low, high = run.card.intervals.get(key, (math.nan, math.nan))
            rows.append({
                "variant": run.variant, "seed": run.seed, "score": key, "value": value,
                "low": low, "high": high,
            })  # fmt: skip
    return _csv(rows)


def entry_words(entry: Entry) -> str:
    """Return an entry in one line: `0.50 (0.45 to 0.55)`, `0.40, −0.10 (−0.15 to −0.05)`."""
    if not entry.under:
        return entry.value
    difference, _, around = entry.under.rpartition(", ")
    if not difference:
        is_interval = " to " in around
        return f"{entry.value} ({around})" if is_interval else f"{entry.value}, {around}"
    return f"{entry.value}, {difference} ({around})"


def _entry(item: Summary | None, *, of_base: bool) -> Entry:
    if item is None:
        return Entry(NONE)
    value = number(item.mean)
    if not math.isnan(item.spread):
        value = f"{value} ± {number(item.spread)}"
    if of_base:
        return Entry(value, interval(item.interval))
    if math.isnan(item.difference):
        return Entry(value)
    sign = "+" if item.difference > 0 else ""
    around = interval(item.difference_interval)
    return Entry(value, f"{sign}{number(item.difference)}{f', {around}' if around else ''}")


def _notes(items: Sequence[Summary], titles: Mapping[str, str], base: str) -> list[str]:
    """Say what the numbers are."""
    notes = []
    n_seeds = max((item.n_seeds for item in items), default=1)
    if n_seeds > 1:
        notes.append(f"Mean over {n_seeds} seeds ± the standard deviation over them.")
    notes.append(
        "Beside the base stands its interval, beside a variant its difference to the base."
    )
    items_n = max((item.n for item in items if item.over == "items"), default=0)
    if items_n:
        notes.append(
            f"Intervals of differences are over other test items: the {items_n} that both were "
            "tested on are compared one by one, and resampled."
        )
    if any(item.over == "seeds" for item in items):
        notes.append(
            "Intervals of differences are over other seeds, on the same test data, where no more "
            "is known: difference ± Student's t times its standard error."
        )
    apart = dict.fromkeys(
        titles[item.variant]
        for item in items
        if item.variant != base and math.isnan(item.difference)
    )
    if apart:
        notes.append(
            f"Not tested on what the base was tested on, or not run with its seeds: "
            f"{', '.join(apart)}."
        )
    fewer = {titles[item.variant]: item.n_seeds for item in items if item.n_seeds < n_seeds}
    notes += [f"{title}: {n} of {n_seeds} seeds." for title, n in fewer.items()]
    return notes


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text: str = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return text
