"""Calibration and correlation over space, as scores of predicted volumes."""

from __future__ import annotations

import numpy as np
import pytest

from brainreel.evaluate.bold import score_person
from brainreel.evaluate.parts import card_of
from brainreel.evaluate.volumes import score_space, score_spread
from brainreel.fmri.normalize import Moments
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import ScoringConfig

T, V, BLOCK = 240, 60, 10
SCORING = ScoringConfig(n_permutations=60, n_bootstrap=200, spatial=True)


def prediction(*, told: float = 1.0, **changes: object) -> Prediction:
    """The true signal, and a deviation that is `told` times that of the noise."""
    rng = np.random.default_rng(2)
    signal = 0.6 * rng.standard_normal((T, V))
    noise = rng.uniform(0.3, 1.5, V)
    measured = signal + noise * rng.standard_normal((T, V))
    facts: dict[str, object] = {
        "split": "film",
        "fold": "film",
        "subject": "sub-01",
        "predicted": signal.astype(np.float32),
        "measured": measured.astype(np.float32),
        "segment": np.repeat([0, 1], T // 2),
        "film_time_s": np.tile(np.arange(T // 2) * 2.0, 2),
        "recordings": ("a", "b"),
        "stimuli": ("a", "b"),
        "tr_s": 2.0,
        "spread": np.tile(told * noise, (T, 1)).astype(np.float32),
        "moments": (Moments(T, np.zeros(V), np.full(V, 20.0)),) * 2,
    }
    return Prediction(**{**facts, **changes})  # type: ignore[arg-type]


def test_a_true_signal_with_known_noise_is_calibrated() -> None:
    found = score_spread(prediction(), SCORING, BLOCK, seed=0)
    card = card_of("", found, level=0.95)
    for name, level in (("coverage_50", 0.5), ("coverage_90", 0.9)):
        low, high = card.intervals[name]
        assert card.scores[name] == pytest.approx(level, abs=0.015)
        assert low < level < high
        assert high - low < 0.06
        assert card.targets[name] == level
        assert name not in card.p_values


@pytest.mark.parametrize(("told", "sign"), [(0.5, -1), (2.0, 1)])
def test_too_sure_and_too_unsure_show_in_the_interval(told: float, sign: int) -> None:
    card = card_of("", score_spread(prediction(told=told), SCORING, BLOCK, 0), level=0.95)
    low, high = card.intervals["coverage_50"]
    assert (low > 0.5) if sign > 0 else (high < 0.5)


def test_the_value_is_the_mean_over_voxels_that_vary_and_all_trs() -> None:
    item = prediction()
    still = item.measured.copy()
    still[:, 5] = 0
    found = score_spread(prediction(measured=still), SCORING, BLOCK, 0)["coverage_90"]
    assert item.spread is not None
    inside = np.abs(still - item.predicted) <= 1.6448536 * item.spread
    assert found.value == pytest.approx(np.delete(inside, 5, axis=1).mean())


def test_no_spread_and_no_measurement_have_no_coverage() -> None:
    assert score_spread(prediction(spread=None), SCORING, BLOCK, 0) == {}
    silent = np.zeros((T, V), np.float32)
    assert score_spread(prediction(measured=silent), SCORING, BLOCK, 0) == {}
    none = SCORING.model_copy(update={"coverage": ()})
    assert score_spread(prediction(), none, BLOCK, 0) == {}


def test_the_mean_volume_comes_close_in_space_and_is_told_beside() -> None:
    anatomy = np.random.default_rng(1).normal(500, 100, V)
    levels = [anatomy, anatomy + 3]
    found = score_space(prediction(), levels, SCORING, BLOCK, seed=0)["spatial_r"]
    assert 0.9 < found.baseline < found.value < 1
    card = card_of("", {"spatial_r": found}, level=0.95)
    assert card.p_values["spatial_r"] == pytest.approx(1 / 61)
    low, high = card.intervals["spatial_r"]
    assert low < found.value < high
    # Witness: volume by volume.
    item = prediction()
    level = np.where(item.segment[:, None] == 0, levels[0], levels[1])
    pairs = zip(level + 20 * item.predicted, level + 20 * item.measured, strict=True)
    r = [np.corrcoef(one, two)[0, 1] for one, two in pairs]
    assert found.value == pytest.approx(np.mean(r))

    flat = prediction(predicted=np.zeros((T, V), np.float32))
    nothing = score_space(flat, levels, SCORING, BLOCK, seed=0)["spatial_r"]
    assert nothing.value == pytest.approx(nothing.baseline)
    # Turned in time it stays what it is, but for the 3 between the segments' levels.
    assert card_of("", {"r": nothing}, level=0.95).p_values["r"] == 1


def test_each_segment_has_its_own_scale_in_space() -> None:
    rng = np.random.default_rng(4)
    moments = tuple(Moments(T, rng.normal(500, 50, V), rng.uniform(5, 50, V)) for _ in range(2))
    item = prediction(moments=moments)
    found = score_space(item, [None, np.full(V, 7.0)], SCORING, BLOCK, seed=0)["spatial_r"]
    r = []
    for row, number in enumerate(item.segment):
        scale = moments[number]
        sides = (scale.mean + scale.std * side[row] for side in (item.predicted, item.measured))
        r.append(np.corrcoef(*sides)[0, 1])
    assert found.value == pytest.approx(np.mean(r))


def test_space_is_scored_on_demand_and_where_units_are_known() -> None:
    off = SCORING.model_copy(update={"spatial": False})
    assert score_space(prediction(), [None, None], off, BLOCK, 0) == {}
    assert score_space(prediction(moments=()), [None, None], SCORING, BLOCK, 0) == {}
    untested = SCORING.model_copy(update={"n_permutations": 0})
    found = score_space(prediction(), [None, None], untested, BLOCK, 0)["spatial_r"]
    assert not found.null.size


def test_a_person_has_both_beside_r() -> None:
    found = score_person(prediction(), {}, SCORING, 0, levels=[None, None])
    scores = found.scores
    spread = prediction().spread
    assert spread is not None
    np.testing.assert_allclose(found.maps["spread"], spread.mean(axis=0), rtol=1e-5)
    assert {"coverage_50", "coverage_90", "spatial_r", "r_median"} <= set(scores)
    assert scores["coverage_50"].n_blocks == scores["r_median"].n_blocks
