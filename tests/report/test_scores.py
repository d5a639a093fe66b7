from __future__ import annotations

import re

import pytest

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.scores import make_tables, meanings


def card() -> Scorecard:
    return Scorecard(
        title="",
        scores={
            "a:r_median": 0.5,
            "a:r_median/sub-01": 0.4,
            "a:mse": 0.02,
            "a:identification_10way": 0.8,
            "b:r_median": -0.2,
        },
        intervals={
            "a:r_median": (0.4, 0.6),
            "a:r_median|exact": (0.75, 0.95),
            "a:r_median|exact/sub-01": (0.6, 0.8),
        },
        ceilings={"a:exact": 0.6, "a:exact/sub-01": 0.55, "a:inter_subject": 0.45},
        p_values={"a:identification_10way": 0.002},
        baselines={"a:r_median": 0.0},
        shares={
            "a:r_median|exact": 0.85,
            "a:r_median|inter_subject": 1.1,
            "a:r_median|exact/sub-01": 0.7,
        },
    )


def test_each_split_has_its_table_and_people_stand_apart() -> None:
    first, second = make_tables(card(), "voxel")
    assert (first.split, second.split) == ("a", "b")
    assert [row.name.metric for row in first.main] == ["r_median", "mse", "identification_10way"]
    assert [row.name.person for row in first.people] == ["sub-01"]
    assert second.people == ()


def test_every_ceiling_stands_beside_the_share_of_it() -> None:
    first = make_tables(card(), "voxel")[0]
    shares = [(s.estimator, s.ceiling, s.share, s.interval) for s in first.main[0].shares]
    assert shares == [
        ("exact", "0.600", "85\u00a0%", "75 to 95"),
        ("other people", "0.450", "110\u00a0%", ""),
    ]
    person = [(s.estimator, s.ceiling, s.share, s.interval) for s in first.people[0].shares]
    assert person == [("exact", "0.550", "70\u00a0%", "60 to 80")]
    assert first.main[1].shares == ()


def test_the_card_finds_the_first_ceiling_of_a_score() -> None:
    rows = {row["score"]: row for row in card().rows()}
    assert rows["a:r_median"]["ceiling"] == 0.6
    assert rows["a:r_median/sub-01"]["share"] == 0.7
    assert rows["b:r_median"]["share"] is None


def test_headlines_are_the_scores_with_a_ceiling_then_those_with_a_p_value() -> None:
    headlines = make_tables(card(), "voxel")[0].headlines
    assert [row.name.metric for row in headlines] == ["r_median", "identification_10way", "mse"]


def test_of_two_identifications_the_harder_is_shown_large() -> None:
    scores = {"identification_2way": 0.9, "identification_10way": 0.6, "mse": 0.1}
    card = Scorecard("", scores=scores, p_values=dict.fromkeys(scores, 0.001))
    headlines = make_tables(card, "voxel")[0].headlines
    assert [row.name.metric for row in headlines] == ["identification_10way", "mse"]


def position(gauge: str, kind: str, attribute: str) -> float:
    found = re.search(rf'class="{kind}"[^>]* {attribute}="([\d.]+)"', gauge)
    assert found is not None
    return float(found[1])


def test_the_gauge_is_to_scale() -> None:
    gauge = str(make_tables(card(), "voxel")[0].main[0].gauge)
    start, stop = position(gauge, "track", "x1"), position(gauge, "track", "x2")
    shares = {
        "dot": (position(gauge, "dot", "cx"), 0.5),
        "top": (position(gauge, "top", "x1"), 0.6),
        "base": (position(gauge, "base", "x1"), 0.0),
        "low": (position(gauge, "range", "x1"), 0.4),
        "high": (position(gauge, "range", "x2"), 0.6),
    }
    for drawn, value in shares.values():
        assert (drawn - start) / (stop - start) == pytest.approx(value, abs=0.001)


def test_errors_have_no_gauge_and_a_negative_score_starts_it() -> None:
    first, second = make_tables(card(), "voxel")
    assert first.main[1].gauge == ""
    gauge = str(second.main[0].gauge)
    assert position(gauge, "dot", "cx") == position(gauge, "track", "x1")


def test_meanings_name_each_score_and_ceiling_once() -> None:
    names = [name for name, _ in meanings(make_tables(card(), "voxel"))]
    assert names == [
        "Correlation r, all voxels",
        "Mean squared error",
        "10-way identification",
        "Ceiling: exact",
        "Ceiling: other people",
    ]
