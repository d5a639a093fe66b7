import json
from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.evaluate.parts import Measured, card_of
from brainreel.evaluate.scorecard import Scorecard

CARD = Scorecard(
    "title",
    scores={"r_reliable": 0.6, "mse": float("nan")},
    intervals={"r_reliable": (0.5, 0.7)},
    ceilings={"exact": 0.75},
    p_values={"r_reliable": 0.001},
    shares={"r_reliable|exact": 0.8},
    notes=("one",),
)


def test_round_trip_keeps_everything_and_nan_is_null(tmp_path: Path) -> None:
    CARD.save(tmp_path / "card.json")
    plain = json.loads((tmp_path / "card.json").read_text())
    assert plain["scores"]["mse"] is None
    again = Scorecard.load(tmp_path / "card.json")
    assert again.intervals == CARD.intervals
    assert again.notes == ("one",)
    assert np.isnan(again.scores["mse"])


def test_a_row_joins_what_is_known_of_one_score() -> None:
    row = CARD.rows()[0]
    assert (row["value"], row["ceiling"], row["share"]) == (0.6, 0.75, 0.8)
    assert row["estimator"] == "exact"
    assert CARD.rows()[1]["share"] is None


def test_something_else_is_no_scorecard(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(DataError, match=r"x\.json: not a scorecard"):
        Scorecard.load(tmp_path / "x.json")


def test_p_of_an_error_counts_smaller_nulls() -> None:
    null = np.linspace(1, 2, 99)
    scores = {
        "mse": Measured(0.5, null=null, lower_is_better=True),
        "r": Measured(0.5, null=null),
    }
    card = card_of("t", scores, level=0.95, prefix="a:")
    assert card.p_values == {"a:mse": pytest.approx(0.01), "a:r": pytest.approx(1.0)}


def test_an_interval_holds_its_score_and_is_wider_for_fewer_blocks() -> None:
    resamples = np.random.default_rng(0).normal(0.7, 0.1, 2000)
    cards = [card_of("t", {"r": Measured(0.5, resamples, n_blocks=k)}, level=0.95) for k in (6, 60)]
    (low, high), (low_many, high_many) = (card.intervals["r"] for card in cards)
    assert low < low_many < 0.5 < high_many < high
    assert high_many - low_many == pytest.approx(2 * 1.96 * 0.1, rel=0.12)
