"""Events and words in TRs, against sums over a fine clock."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from brainreel.errors import AlignmentError, DataError
from brainreel.stimulus.events import covered, event_regressors, word_regressors
from brainreel.timebase import TrGrid

GRID = TrGrid(Fraction("0.8"), 12, Fraction("-1.5"))


def test_cover_equals_a_fine_clock() -> None:
    rng = np.random.default_rng(0)
    onset = np.round(rng.uniform(-3, 9, 20), 3)
    offset = onset + np.round(rng.uniform(0.001, 4, 20), 3)
    share = covered(onset, offset, GRID)
    ticks = (np.arange(12000) - 3000 + 0.5) / 1000
    for event in range(20):
        on = (ticks >= onset[event]) & (ticks < offset[event])
        for tr in range(12):
            start, stop = (float(edge) for edge in GRID.window_s(tr))
            inside = (ticks >= start) & (ticks < stop)
            assert share[event, tr] == pytest.approx(on[inside].sum() / 800, abs=2e-3)


def test_columns_by_kind_with_modulation() -> None:
    events = pd.DataFrame(
        {
            "onset": [0.1, 0.9, 2.0],
            "duration": [0.8, 0.4, 0.0],
            "trial_type": ["face", "house", "face"],
            "modulation": [1.0, 2.0, 3.0],
        }
    )
    values, names = event_regressors(events, TrGrid(Fraction(1), 3))
    assert names == ("face", "house")
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [[0.8, 0.2], [0, 0.6], [3, 0]], atol=1e-6)


def test_overlapping_events_add_up() -> None:
    events = pd.DataFrame({"onset": [0.0, 0.5], "duration": [1.0, 1.0]})
    values, names = event_regressors(events, TrGrid(Fraction(1), 2))
    assert names == ("event",)
    np.testing.assert_allclose(values[:, 0], [1.5, 0.5])


def test_an_impulse_counts_in_its_own_tr() -> None:
    np.testing.assert_array_equal(
        covered(
            [0.0, 1.0, 1.999, -0.001, 3.0], [0.0, 1.0, 1.999, -0.001, 3.0], TrGrid(Fraction(1), 3)
        ),
        [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]],
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"onset": ["0", "n/a"]}, "'onset' of row 2 is 'n/a', not a number"),
        ({"duration": [1.0, np.nan]}, "'duration' of row 2 is 'nan', not a number"),
        ({"duration": [-1.0, 1.0]}, "row 1 has a negative duration"),
        ({"modulation": [1.0, np.inf]}, "'modulation' of row 2 is 'inf'"),
    ],
)
def test_wrong_tables(change: dict[str, list[object]], told: str) -> None:
    events = pd.DataFrame({"onset": [0.0, 1.0], "duration": [1.0, 1.0]} | change)
    with pytest.raises(DataError, match=told):
        event_regressors(events, GRID)


def test_a_missing_column_suggests_the_near_one() -> None:
    events = pd.DataFrame({"onsets": [0.0], "duration": [1.0]})
    with pytest.raises(DataError, match="no column 'onset'. Did you mean 'onsets'"):
        event_regressors(events, GRID)


def test_events_outside_the_run() -> None:
    events = pd.DataFrame({"onset": [5000.0], "duration": [800.0]})
    with pytest.raises(AlignmentError, match=r"they begin 5000\.0 to 5000\.0 s.* units"):
        event_regressors(events, GRID)


def test_words_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(-2, 8, 40))
    offset = onset + rng.uniform(0.05, 0.6, 40)
    word = ["x" * int(n) for n in rng.integers(1, 12, 40)]
    values = word_regressors(word, onset, offset, GRID)["words"]
    assert values.shape == (12, 3)
    share = covered(onset, offset, GRID)
    for tr in range(12):
        mine = [i for i in range(40) if GRID.tr_at(float(onset[i])) == tr]
        assert values[tr, 0] == pytest.approx(len(mine) / 0.8)
        assert values[tr, 1] == pytest.approx(share[:, tr].sum(), abs=1e-5)
        expected = sum(len(word[i]) for i in mine) / 0.8
        assert values[tr, 2] == pytest.approx(expected)


def test_wrong_words() -> None:
    with pytest.raises(DataError, match="2 words, 1 onsets and 1 offsets"):
        word_regressors(["a", "b"], [0.0], [1.0], GRID)
    with pytest.raises(DataError, match=r"word 2 .'bee'. runs from 1\.0 to 0\.5 s"):
        word_regressors(["a", "bee"], [0.0, 1.0], [0.5, 0.5], GRID)
    with pytest.raises(AlignmentError, match="no word .* lies within the run"):
        word_regressors(["a"], [100.0], [101.0], GRID)
