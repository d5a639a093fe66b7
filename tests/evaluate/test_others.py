"""What other people measured at the same moments: a ceiling, and a system beside a run."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.evaluate.beside import mean_volume, other_people, systems_beside
from brainreel.evaluate.bold import centred, score_person
from brainreel.evaluate.ceilings import inter_subject
from brainreel.evaluate.others import OtherPeople
from brainreel.fmri.bold import Bold, VoxelMask
from brainreel.metrics.ceiling import leave_one_out_ceiling
from brainreel.timebase import TrGrid
from brainreel.train.predictions import Prediction, bold_prediction
from brainreel.train.recipe import ScoringConfig

T, V = 60, 12
FILM = np.random.default_rng(99).standard_normal((2 * T, V))
SCORING = ScoringConfig(n_permutations=40, n_bootstrap=40, segment_s=15, n_way=(2,))


def recording(who: str, stimulus: str = "a", first_s: str = "0", **changes: object) -> Recording:
    """BOLD of a person who saw the film from `first_s` on, with a level of their own."""
    rng = np.random.default_rng([ord(letter) for letter in who + stimulus])
    first = int(Fraction(first_s) / Fraction(3, 2))
    data = FILM[first : first + T] + 0.7 * rng.standard_normal((T, V)) + 3
    data[:, 3] = 0
    grid = TrGrid(Fraction(3, 2), T, Fraction(first_s))
    facts = {"mask": changes.pop("mask", None)}
    run = str(changes.pop("run", f"task-{stimulus}"))
    bold = Bold(data.astype(np.float32), grid, **facts)  # type: ignore[arg-type]
    return Recording(who, run, stimulus, bold, **changes)  # type: ignore[arg-type]


def predicted(series: Series, *segments: Segment) -> Prediction:
    """A useless prediction of some segments of one person."""
    rng = np.random.default_rng(5)
    measured = [series.bold_of(segment) for segment in segments]
    guess = [rng.standard_normal(values.shape).astype(np.float32) for values in measured]
    return bold_prediction(series, Fold("s", "s"), segments, guess, measured)


def whole(number: int) -> Segment:
    return Segment(number, 0, T)


def test_the_ceiling_equals_a_loop_and_the_function_of_the_metrics() -> None:
    people = [recording(who, film) for who in ("x", "y", "z") for film in ("a", "b")]
    people.append(recording("group", members=("x", "y", "z")))
    series = Series(tuple(people), ())
    others = OtherPeople(series)
    items = [predicted(series, whole(i), whole(i + 1)) for i in (0, 2, 4)]
    signals = np.stack([centred(item.measured, item.segment) for item in items])
    expected = leave_one_out_ceiling(signals).r
    for item, row in zip(items, expected, strict=True):
        np.testing.assert_allclose(inter_subject(item, others)["inter_subject"], row, atol=1e-6)
    std = signals.std(axis=1)
    for v in (0, 7, 11):
        mean = signals[1][:, v] / std[1, v] + signals[2][:, v] / std[2, v]
        r = np.corrcoef(signals[0][:, v], mean)[0, 1]
        assert inter_subject(items[0], others)["inter_subject"][v] == pytest.approx(r, abs=1e-6)
    assert np.isnan(inter_subject(items[0], others)["inter_subject"][3])
    assert inter_subject(predicted(series, whole(6)), others) == {}


def test_people_elsewhere_or_at_other_times_are_not_others() -> None:
    """Who began later counts where the film times meet, on the same TRs and in the same place."""
    inside = np.ones((V, 1, 1), bool)
    people = [
        recording("x"),
        recording("y", first_s="15"),
        recording("z"),
        recording("off", first_s="0.5"),
        recording("there", mask=VoxelMask(inside, np.eye(4))),
        recording("film", "b"),
    ]
    series = Series(tuple(people), ())
    others = OtherPeople(series)
    assert others.course(predicted(series, Segment(0, 0, T))) is None
    late = predicted(series, Segment(0, 10, T))
    found = others.course(late)
    assert found is not None
    sides = [people[1].bold.data[: T - 10], people[2].bold.data[10:]]
    scores = [(s - s.mean(axis=0)) / np.where(s.std(axis=0) > 0, s.std(axis=0), 1) for s in sides]
    varies = np.arange(V) != 3
    np.testing.assert_allclose(found[:, varies], np.mean(scores, axis=0)[:, varies], atol=1e-5)
    assert np.isnan(found[:, 3]).all()


def test_the_same_film_under_two_names_is_one_film() -> None:
    names = (("x", "a"), ("y", "copy"), ("z", "a"))
    people = [replace(recording(who, name), film_digest="ab") for who, name in names]
    series = Series(tuple(people), ())
    assert OtherPeople(series).course(predicted(series, whole(0))) is not None
    apart = [replace(one, film_digest="") for one in people]
    series = Series(tuple(apart), ())
    assert OtherPeople(series).course(predicted(series, whole(0))) is None


def test_a_film_shown_twice_meets_both_showings_of_the_others() -> None:
    runs = ("run-1", "run-2")
    people = [recording(who, run=run) for who in ("x", "y", "z") for run in runs]
    once = recording("w", run="run-1")
    series = Series((*people, once), ())
    others = OtherPeople(series)
    both = others.course(predicted(series, whole(0), whole(1)))
    assert both is not None
    second = [people[i].bold.data for i in (2, 3, 4, 5)]
    expected = sum(
        np.concatenate([s - s.mean(axis=0) for s in pair])
        / np.concatenate([s - s.mean(axis=0) for s in pair]).std(axis=0).clip(1e-9)
        for pair in (second[:2], second[2:])
    )
    np.testing.assert_allclose(both[:, :3], expected[:, :3] / 2, atol=1e-5)


def test_the_mean_volume_scores_0_and_other_people_their_ceiling() -> None:
    series = Series(tuple(recording(who) for who in ("x", "y", "z")), ())
    others = OtherPeople(series)
    people = [predicted(series, whole(i)) for i in range(3)]
    found = dict(systems_beside(people, others, ("mean_volume", "other_people")))
    assert list(found) == ["mean_volume", "other_people"]
    for item, flat, course in zip(people, *found.values(), strict=True):
        nothing = score_person(flat, {}, SCORING, seed=0)
        assert nothing.scores["r_median"].value == 0
        assert not nothing.scores["r_median"].null.any()
        r = score_person(course, {}, SCORING, seed=0).maps["r"]
        ceiling = inter_subject(item, others)["inter_subject"]
        np.testing.assert_allclose(r, ceiling, atol=1e-6)
        assert np.nanmedian(r) > 0.5


def test_too_few_others_predict_nothing() -> None:
    series = Series((recording("x"), recording("y")), ())
    item = predicted(series, whole(0))
    assert other_people(item, OtherPeople(series)) is None
    assert not list(systems_beside([item], OtherPeople(series), ("other_people",)))
    spread = replace(item, spread=np.ones((T, V), np.float32))
    assert mean_volume(spread).spread is None
