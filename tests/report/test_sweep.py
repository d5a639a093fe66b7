"""The table of a sweep: what stands in each cell, in every form."""

from __future__ import annotations

import csv
import math

import pytest

from brainreel.errors import ConfigError
from brainreel.evaluate.scorecard import Scorecard
from brainreel.evaluate.sweep import Summary
from brainreel.report.beside import Comparison, Entry
from brainreel.report.sweep import (
    entry_words,
    make_sweep_table,
    shown_scores,
    to_csv,
    to_markdown,
)

NAN = math.nan
SUMMARIES = [
    Summary("base", "a:ssim", 3, 0.5, 0.01, (0.4, 0.6)),
    Summary("less", "a:ssim", 3, 0.4, 0.02, None, -0.1, (-0.15, -0.05), "items", 20),
    Summary("other", "a:ssim", 2, 0.55, 0.0, (0.5, 0.6), NAN),
    Summary("base", "b:ssim", 3, 0.3, 0.0, None),
    Summary("less", "b:ssim", 3, 0.31, 0.0, None, 0.01),
    Summary("base", "a:mse", 3, 0.1, 0.0, None),
]
TITLES = {"base": "Base", "less": "Less | fewer", "other": "Another", "absent": "Not run"}


def table(*shown: str) -> Comparison:
    told = {"less": "model.n=1"}
    return make_sweep_table(SUMMARIES, shown, TITLES, told, base="base", notes=["So be it."])


def test_lines_and_cells() -> None:
    found = table("a:ssim", "b:ssim", "a:mse")
    assert found.columns == ("Structural similarity (SSIM)", "Mean squared error")
    first, second = found.groups
    assert (first.title, second.title) == ("a", "b")
    assert [line.name for line in first.lines] == ["Base", "Less | fewer", "Another"]
    assert [line.entries[0] for line in first.lines] == [
        Entry("0.500 ± 0.010", "0.400 to 0.600"),
        Entry("0.400 ± 0.020", "−0.100, −0.150 to −0.050"),
        Entry("0.550 ± 0.000"),
    ]
    assert second.lines[1].entries == (Entry("0.310 ± 0.000", "+0.010"), Entry("–"))
    assert found.meanings == (("Less | fewer", "model.n=1"),)


def test_notes_say_what_the_numbers_are() -> None:
    notes = " ".join(table("a:ssim").notes)
    assert "Mean over 3 seeds ±" in notes
    assert "the 20 that both were tested on" in notes
    assert "or not run with its seeds: Another." in notes
    assert "Another: 2 of 3 seeds." in notes
    assert notes.endswith("So be it.")
    assert "over other seeds" not in notes


def test_markdown_has_one_table_a_split() -> None:
    text = to_markdown(table("a:ssim", "b:ssim"))
    assert text.startswith("A:\n\n| Variant | Structural similarity (SSIM) |\n| --- | ---: |\n")
    assert "| Less \\| fewer | 0.400 ± 0.020, −0.100 (−0.150 to −0.050) |\n" in text
    assert "\n\nB:\n\n" in text
    assert text.endswith("- So be it.\n")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Entry("1.0"), "1.0"),
        (Entry("1.0", "0.5 to 1.5"), "1.0 (0.5 to 1.5)"),
        (Entry("1.0", "+0.2"), "1.0, +0.2"),
        (Entry("1.0", "+0.2, 0.1 to 0.3"), "1.0, +0.2 (0.1 to 0.3)"),
    ],
)
def test_an_entry_in_one_line(entry: Entry, words: str) -> None:
    assert entry_words(entry) == words


def test_the_spreadsheet_leaves_empty_what_there_is_not() -> None:
    rows = list(csv.DictReader(to_csv(SUMMARIES, TITLES).splitlines()))
    assert rows[1]["title"] == "Less | fewer"
    assert [rows[1][key] for key in ("difference_low", "over", "n")] == ["-0.15", "items", "20"]
    assert [rows[0][key] for key in ("difference", "over", "low")] == ["", "", "0.4"]


def test_scores_are_found_with_and_without_a_split() -> None:
    scores = {"a:ssim": 0.5, "b:ssim": 0.4, "a:mse": 0.1, "b:mse": 0.2, "a:ssim/sub-01": 0.5}
    card = Scorecard("", scores, p_values={"a:ssim": 0.1, "b:ssim": 0.1})
    assert shown_scores(card, ["mse", "b:ssim"]) == ("a:mse", "b:mse", "b:ssim")
    assert set(shown_scores(card, [])) == {"a:ssim", "b:ssim", "a:mse", "b:mse"}
    with pytest.raises(ConfigError, match="the runs have no score 'b:sism'. Did you mean 'b:ssim'"):
        shown_scores(card, ["b:sism"])
