"""Scores of a sweep: means and differences against loops, and what may not be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from brainreel.errors import DataError
from brainreel.evaluate.parts import Measured
from brainreel.evaluate.pictures import score_pictures
from brainreel.evaluate.pieces import ITEM, pieces_file, pieces_table, read_pieces
from brainreel.evaluate.scorecard import Scorecard
from brainreel.evaluate.sweep import Scored, Summary, summarise
from brainreel.train.predictions import PicturePrediction
from brainreel.train.recipe import ScoringConfig

PROTOCOL = {"splits": ["s"], "scoring": {"n_bootstrap": 400, "level": 0.9}}


def run(
    variant: str,
    seed: int,
    items: np.ndarray,
    people: int = 1,
    *,
    pieces: bool = True,
    repeats: int = 1,
) -> Scored:
    """A run whose score is the mean over people of their items' means."""
    keys = [
        (f"sub-{i * people // len(items)}", "f", i, str(i // repeats)) for i in range(len(items))
    ]
    index = pd.MultiIndex.from_tuples(keys, names=ITEM)
    table = pd.DataFrame({"ssim": items}, index=index)
    value = float(table["ssim"].groupby(level="subject").mean().mean())
    low_high = {"ssim": (value - 0.1 - seed, value + 0.1 + seed)}
    card = Scorecard("", {"ssim": value, "ssim/sub-0": 0.0}, low_high, protocol=PROTOCOL)
    return Scored(variant, seed, card, {"given": table} if pieces else {})


def found(runs: list[Scored], variant: str = "v") -> Summary:
    (one,) = [item for item in summarise(runs, "base") if item.variant == variant]
    return one


def drawn(seed: int, n: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def test_mean_spread_and_interval_over_seeds() -> None:
    runs = [run("base", seed, drawn(seed)) for seed in range(3)]
    values = [one.card.scores["ssim"] for one in runs]
    one = found(runs, "base")
    assert one.score == "ssim"
    assert one.n_seeds == 3
    assert one.mean == pytest.approx(sum(values) / 3)
    assert one.spread == pytest.approx((sum((v - one.mean) ** 2 for v in values) / 2) ** 0.5)
    assert one.interval == pytest.approx((one.mean - 1.1, one.mean + 1.1))
    assert np.isnan(one.difference)
    assert np.isnan(found(runs[:1], "base").spread)


@pytest.mark.parametrize("people", [1, 3])
def test_a_difference_is_paired_item_by_item(people: int) -> None:
    base = [drawn(seed) for seed in (0, 1)]
    gain = [0.3 + 0.1 * drawn(seed) for seed in (8, 9)]
    runs = [run("base", seed, base[seed], people) for seed in (0, 1)]
    runs += [run("v", seed, base[seed] + gain[seed], people) for seed in (0, 1)]
    one = found(runs)
    of_items = np.array([(a + b) / 2 for a, b in zip(*gain, strict=True)])
    assert one.difference == pytest.approx(of_items.mean())
    assert (one.over, one.n) == ("items", 30 // people)
    rng, parts = np.random.default_rng(5), np.split(of_items, people)
    resampled = [
        np.mean([rng.choice(part, size=len(part)).mean() for part in parts]) for _ in range(20000)
    ]
    k = 30 // people
    tail = stats.norm.cdf(-stats.t.ppf(0.95, k - 1) * np.sqrt(k / (k - 1)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    # People share resampled rows here, and not in the loop: the same width but for chance.
    assert one.difference_interval == pytest.approx((low, high), abs=0.012)
    unpaired = 2 * 1.64 * np.sqrt(2 / 30)
    assert high - low < unpaired / 5


def test_trials_of_one_picture_are_resampled_together() -> None:
    gain = np.repeat(drawn(8, 10), 3)  # three trials of each of ten pictures
    together = found([run("base", 0, drawn(0), repeats=3), run("v", 0, drawn(0) + gain, repeats=3)])
    once = found([run("base", 0, drawn(0, 10)), run("v", 0, drawn(0, 10) + gain[::3])])
    assert together.n == once.n == 10
    assert together.difference_interval == pytest.approx(once.difference_interval)


def test_an_infinite_difference_has_no_interval() -> None:
    items = drawn(0)
    items[4] = np.inf
    assert found([run("base", 0, drawn(0)), run("v", 0, items)]).difference_interval is None


def test_without_items_a_difference_is_over_seeds() -> None:
    gains = (0.1, 0.3, 0.2)
    runs = [run("base", seed, drawn(seed), pieces=False) for seed in range(3)]
    runs += [run("v", s, drawn(s) + gains[s], pieces=False) for s in range(3)]
    one = found(runs)
    assert (one.over, one.n) == ("seeds", 3)
    mean, error = np.mean(gains), stats.sem(gains)
    assert one.difference_interval == pytest.approx(stats.t.interval(0.9, 2, mean, error))
    one = found([runs[0], runs[3]])
    assert one.difference == pytest.approx(0.1)
    assert (one.difference_interval, one.over) == (None, "")


def test_items_that_are_not_the_same_are_not_paired() -> None:
    other = run("v", 0, drawn(1))
    moved = other.pieces["given"].rename(index={3: 99}, level="trial")
    one = found([run("base", 0, drawn(0)), replace(other, pieces={"given": moved})])
    assert (one.difference_interval, one.over) == (None, "")
    assert not np.isnan(one.difference)


def test_equal_runs_have_no_interval_of_their_difference() -> None:
    one = found([run("base", 0, drawn(0)), run("v", 0, drawn(0))])
    assert (one.difference, one.difference_interval) == (0.0, None)


def test_another_test_or_another_seed_is_not_compared() -> None:
    base = run("base", 0, drawn(0))
    card = replace(base.card, protocol={**PROTOCOL, "splits": ["other"]})
    assert np.isnan(found([base, replace(base, variant="v", card=card)]).difference)
    assert np.isnan(found([base, run("v", 1, drawn(1))]).difference)
    card = replace(base.card, data={"sources": {"a": "1"}})
    assert np.isnan(found([base, replace(base, variant="v", card=card)]).difference)


def test_an_item_without_a_score_is_left_out() -> None:
    items, base = drawn(3), drawn(4)
    items[5] = np.nan
    one = found([run("base", 0, base), run("v", 0, items)])
    assert one.n == 29


def test_the_mean_of_a_column_of_pieces_is_the_score(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folds = []
    for fold in ("a", "b"):
        true = rng.uniform(size=(6, 1, 12, 12)).astype(np.float32)
        blurred = np.clip(true + rng.normal(0, 0.4, true.shape), 0, 1).astype(np.float32)
        numbers = np.arange(6) + 10 * (fold == "b")
        folds.append(
            PicturePrediction("s", fold, "1", blurred, true, numbers % 2, numbers, true.mean(0))
        )
    folds[0].true[2] = 0.5  # plain: no correlation
    scoring = ScoringConfig(n_permutations=5, n_bootstrap=5)
    scores: dict[str, Measured] = score_pictures(folds, scoring, 0)
    (tmp_path / "predictions").mkdir()
    text = pieces_table({"1": folds}, {"1": scores})
    (tmp_path / "predictions" / pieces_file("s")).write_text(text)
    table = read_pieces(tmp_path)["s"]
    assert [key[1:3] for key in table.index] == [
        (fold, 10 * (fold == "b") + i) for fold in "ab" for i in range(6)
    ]
    assert set(table) == set(scores)
    assert {"ssim", "identification_2way"} < set(table)
    for name, score in scores.items():
        assert table[name].mean() == pytest.approx(score.value, abs=1e-7), name
    assert np.isnan(table["pixel_correlation"].iloc[2])
    assert [key[0] for key in table.index] == ["1"] * 12
    assert len({key[3] for key in table.index}) == 12


@pytest.mark.parametrize(
    "text", ["", "a\tb\n1\t2\n", "subject\tfold\ttrial\tpicture\tx\ns\tf\t0\ta\tword\n"]
)
def test_a_broken_table_of_pieces(tmp_path: Path, text: str) -> None:
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / pieces_file("s")).write_text(text)
    with pytest.raises(DataError, match="pieces_s.tsv: is no table of pieces"):
        read_pieces(tmp_path)


def test_a_run_without_a_table_of_pieces(tmp_path: Path) -> None:
    assert read_pieces(tmp_path) == {}
