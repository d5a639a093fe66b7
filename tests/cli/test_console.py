"""The table of scores as a terminal of 80 columns shows it."""

from __future__ import annotations

import math

from brainreel.cli.console import (
    number,
    p_value,
    percent,
    print_scores,
    say,
)
from brainreel.cli.runs import print_comparison
from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.beside import make_comparison

CARD = Scorecard(
    title="x",
    scores={
        "published:psnr": 14.397,
        "published:identification_10way": 0.7,
        "folds:r_median": -0.123,
        "folds:r_median/sub-01": 0.1,
        "folds:r_median/group": 0.4,
    },
    intervals={"published:psnr": (13.863, 14.739), "folds:r_median": (-0.2, -0.1)},
    p_values={"published:identification_10way": 0.0004},
    baselines={"published:identification_10way": 0.1},
    ceilings={"folds:exact": 0.8},
    shares={"folds:r_median|exact": -0.15},
    notes=("s33 was left out: its signal never changes.",),
)


def test_the_table_fits_a_terminal_and_cuts_nothing(capsys):
    print_scores([("[run]", CARD)])
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in told.replace(" … ", "")
    words = [line.split() for line in lines]
    assert words[0] == ["score", "value", "interval", "p", "ceiling", "share", "baseline"]
    assert words[1:3] == [["[run]"], ["published"]]
    assert words[3] == ["psnr", "14.397", "13.863", "…", "14.739", "–", "–", "–", "–"]
    assert words[4] == ["identification_10way", "0.700", "–", "4e-04", "–", "–", "0.100"]
    assert words[5] == ["folds"]
    assert words[6][:7] == ["r_median", "-0.123", "-0.200", "…", "-0.100", "–", "0.800"]
    assert words[6][7:] == ["-15", "%", "–"]
    assert lines[7] == "  folds, group (mean of all)"
    assert words[8][:2] == ["r_median", "0.400"]
    assert "sub-01" not in told
    assert lines[-1] == "[run]: s33 was left out: its signal never changes."


def test_columns_that_nobody_fills_are_left_out(capsys):
    print_scores([("a", Scorecard("x", scores={"mse": 0.1}, baselines={"mse": 0.2}))])
    assert capsys.readouterr().out.split("\n")[:3] == [
        "score  value  baseline",
        "a",
        "  mse  0.100     0.200",
    ]


def test_numbers_that_are_not_defined_are_dashes():
    assert {number(None), number(math.nan), p_value(None), p_value(math.nan), percent(None)} == {
        "–"
    }


def test_long_paths_are_not_broken(capsys):
    path = "/folder with [brackets]" * 8
    say(f"The page: {path}")
    assert capsys.readouterr().out == f"The page: {path}\n"


def test_what_stands_beside_a_run_is_told_by_one_score(capsys):
    flat = {f"{cell}:{name}": 0.0 for cell in ("new", "known") for name in ("r_reliable", "mse")}
    card = Scorecard(
        "x",
        scores={"new:r_reliable": 0.4, "known:r_reliable": 0.5, "known:coverage_50": 0.48},
        targets={"known:coverage_50": 0.5},
        beside={"mean_volume": Scorecard("", scores=flat, p_values=dict.fromkeys(flat, 1.0))},
    )
    print_scores([("run", card)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["score", "value", "p", "right"],
        ["run"],
        ["new"],
        ["r_reliable", "0.400", "–", "–"],
        ["known"],
        ["r_reliable", "0.500", "–", "–"],
        ["coverage_50", "0.480", "–", "0.500"],
        ["beside:", "mean_volume,", "r_reliable"],
        ["new", "0.000", "1.000", "–"],
        ["known", "0.000", "1.000", "–"],
    ]


def test_a_control_is_told_with_what_the_score_falls_by(capsys):
    control = Scorecard("", scores={"new:r_median": 0.1}, falls={"new:r_median": 0.3})
    card = Scorecard("x", scores={"new:r_median": 0.4}, beside={"control:film_noise": control})
    print_scores([("run", card)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["score", "value", "fall"],
        ["run"],
        ["new"],
        ["r_median", "0.400", "–"],
        ["beside:", "control:film_noise,", "r_median"],
        ["new", "0.100", "0.300"],
    ]


def test_runs_are_compared_test_by_test(capsys):
    cards = [
        (name, Scorecard("", {"film:r_median": r}, {"film:r_median": (r - 0.1, r + 0.1)}))
        for name, r in (("Ridge", 0.4), ("A film VAE", 0.5))
    ]
    table = make_comparison(cards)
    assert table is not None
    print_comparison(table)
    assert capsys.readouterr().out.splitlines() == [
        "film: r, all voxels",
        "  Ridge          0.400  0.300 to 0.500",
        "  A film VAE     0.500  0.400 to 0.600",
    ]
