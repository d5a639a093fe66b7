"""Parts of predictions, and what their files keep."""

from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError, ShapeError
from brainreel.fmri.normalize import Moments
from brainreel.train.prediction_files import load_predictions, save_predictions
from brainreel.train.predictions import Prediction, pool

T, V = 9, 4


def prediction(**changes: object) -> Prediction:
    rng = np.random.default_rng(3)
    facts: dict[str, object] = {
        "split": "time",
        "fold": "time",
        "subject": "sub-01",
        "predicted": rng.standard_normal((T, V)).astype(np.float32),
        "measured": rng.standard_normal((T, V)).astype(np.float32),
        "segment": np.repeat([0, 1, 2], [2, 4, 3]),
        "film_time_s": np.arange(T) * 1.5,
        "recordings": ("a", "b", "c"),
        "stimuli": ("film-a", "film-b", "film-c"),
        "tr_s": 1.5,
        "spread": rng.random((T, V)).astype(np.float32),
    }
    return Prediction(**{**facts, **changes})  # type: ignore[arg-type]


def test_a_part_holds_its_segments_in_the_order_asked_for() -> None:
    whole = prediction()
    part = whole.part([2, 0], split="cell", fold="cell")
    rows = [6, 7, 8, 0, 1]
    for name in ("predicted", "measured", "film_time_s", "spread"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])
    assert part.segment.tolist() == [0, 0, 0, 1, 1]
    assert (part.recordings, part.stimuli) == (("c", "a"), ("film-c", "film-a"))
    assert (part.split, part.fold, part.subject) == ("cell", "cell", "sub-01")


def test_spread_and_moments_are_kept(tmp_path: Path) -> None:
    moments = tuple(Moments(40 + i, np.arange(V) * 1.5, np.ones(V)) for i in range(3))
    save_predictions(tmp_path, [prediction(moments=moments), prediction(fold="x", spread=None)])
    full, plain = load_predictions(tmp_path)
    assert isinstance(full, Prediction)
    assert isinstance(plain, Prediction)
    np.testing.assert_array_equal(full.spread, prediction().spread)
    assert [item.n for item in full.moments] == [40, 41, 42]
    np.testing.assert_array_equal(full.moments[2].mean, moments[2].mean)
    assert [item.n for item in full.part([2, 0], split="a", fold="a").moments] == [42, 40]
    assert plain.spread is None
    assert plain.moments == ()


def test_folds_are_joined_with_their_spread_if_all_have_one() -> None:
    (joined,) = pool([prediction(), prediction(fold="b")])
    assert joined.spread is not None
    assert joined.spread.shape == (2 * T, V)
    (joined,) = pool([prediction(), prediction(fold="b", spread=None)])
    assert joined.spread is None


def test_folds_are_joined_with_their_moments_if_all_have_some() -> None:
    moments = tuple(Moments(n, np.zeros(V), np.ones(V)) for n in (2, 3, 4))
    (joined,) = pool([prediction(moments=moments), prediction(fold="b", moments=moments[::-1])])
    assert [item.n for item in joined.moments] == [2, 3, 4, 4, 3, 2]
    (joined,) = pool([prediction(moments=moments), prediction(fold="b")])
    assert joined.moments == ()


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_spread_that_cannot_be_is_refused(bad: float) -> None:
    spread = np.ones((T, V), np.float32)
    spread[3, 1] = bad
    with pytest.raises(DataError, match="fold 'time', sub-01: the predicted deviation holds"):
        prediction(spread=spread)


def test_spread_and_moments_have_the_shape_of_the_data() -> None:
    with pytest.raises(ShapeError, match="spread has 3 along axis V"):
        prediction(spread=np.ones((T, 3), np.float32))
    with pytest.raises(ShapeError, match="moments has 5 along axis V"):
        prediction(moments=(Moments(3, np.zeros(5), np.ones(5)),) * 3)
    with pytest.raises(DataError, match="1 moments for 3 segments"):
        prediction(moments=(Moments(3, np.zeros(V), np.ones(V)),))
