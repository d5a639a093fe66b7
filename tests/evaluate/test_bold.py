import numpy as np
import pytest

from brainreel.evaluate.bold import score_person
from brainreel.evaluate.ceilings import repeats
from brainreel.evaluate.parts import mean_over_people
from brainreel.train.predictions import Prediction
from brainreel.train.recipe import ScoringConfig

T, V = 120, 40
SCORING = ScoringConfig(n_permutations=100, n_bootstrap=100, segment_s=15, n_way=(2, 4, 500))


def prediction(
    seed: int = 0, quality: float = 1.0, subject: str = "sub-01", **changes: object
) -> Prediction:
    rng = np.random.default_rng(seed)
    film = np.random.default_rng(99).standard_normal((T, V))
    measured = film + 0.7 * rng.standard_normal((T, V))
    measured[:, 3] = 0
    predicted = quality * film + 0.2 * rng.standard_normal((T, V))
    segment = np.repeat([0, 1], T // 2)
    # A shift between runs must earn nothing.
    predicted[segment == 1] += 5
    measured[segment == 1, 4:] += 5
    facts: dict[str, object] = {
        "split": "film",
        "fold": "film",
        "subject": subject,
        "predicted": predicted.astype(np.float32),
        "measured": measured.astype(np.float32),
        "segment": segment,
        "film_time_s": np.tile(np.arange(T // 2) * 1.5, 2),
        "recordings": ("a", "b"),
        "stimuli": ("a", "b"),
        "tr_s": 1.5,
    }
    return Prediction(**{**facts, **changes})  # type: ignore[arg-type]


def test_r_is_numpys_after_taking_out_the_mean_of_each_segment() -> None:
    item = prediction()
    scored = score_person(item, {}, SCORING, seed=0)
    expected = []
    for v in range(V):
        p, m = (np.array(x[:, v], float) for x in (item.predicted, item.measured))
        for s in (0, 1):
            p[item.segment == s] -= p[item.segment == s].mean()
            m[item.segment == s] -= m[item.segment == s].mean()
        expected.append(np.nan if m.std() == 0 else np.corrcoef(p, m)[0, 1])
    np.testing.assert_allclose(scored.maps["r"], expected, atol=1e-6)
    assert scored.scores["r_median"].value == pytest.approx(np.nanmedian(expected))
    assert scored.counts["n_without_variance"] == 1


def test_a_shift_between_runs_earns_nothing() -> None:
    scored = score_person(prediction(quality=0), {}, SCORING, seed=0)
    assert abs(scored.scores["r_median"].value) < 0.1
    assert scored.scores["identification_2way"].value < 0.8


def test_a_constant_prediction_scores_0_and_not_nothing() -> None:
    """Neither a brain that never changes nor silence about hard voxels earns anything."""
    flat = np.full((T, V), 0.1, np.float32)
    flat[T // 2 :] = 7.3
    scored = score_person(prediction(predicted=flat), {}, SCORING, seed=0)
    np.testing.assert_array_equal(scored.maps["r"], np.where(np.arange(V) == 3, np.nan, 0))
    np.testing.assert_allclose(scored.maps["r2"][4:], 0, atol=1e-12)
    median = scored.scores["r_median"]
    assert (median.value, median.baseline) == (0, 0)
    assert not median.resamples.any()
    assert not median.null.any()
    assert scored.scores["significant_voxels"].value == 0
    assert scored.scores["identification_2way"].value == pytest.approx(0.5)
    assert scored.counts["n_without_variance"] == 1
    assert scored.counts["n_predicted_constant"] == V - 1

    item = prediction()
    silent = item.predicted.copy()
    silent[:, 10:] = 0
    some = score_person(prediction(predicted=silent), {}, SCORING, seed=0).scores["r_median"]
    assert some.value == 0
    assert score_person(item, {}, SCORING, seed=0).scores["r_median"].value > 0.5


def test_share_is_the_median_over_voxels_with_a_ceiling() -> None:
    ceiling = np.full(V, 0.9)
    ceiling[:10] = 0.05
    ceiling[10] = np.nan
    scored = score_person(prediction(), {"exact": ceiling}, SCORING, seed=0)
    r = scored.maps["r"][11:]
    assert scored.shares["r_reliable|exact"].value == pytest.approx(np.median(r / 0.9))
    assert scored.scores["r_reliable"].value == pytest.approx(np.median(r))
    assert scored.ceilings["exact"] == pytest.approx(0.9)
    assert scored.counts["n_with_ceiling_exact"] == V - 11


def test_an_n_way_without_enough_segments_is_left_out() -> None:
    names = score_person(prediction(), {}, SCORING, seed=0).scores
    assert "identification_4way" in names
    assert "identification_500way" not in names


def test_the_same_seed_gives_the_same_numbers_and_no_permutations_give_no_p() -> None:
    one, two = (score_person(prediction(), {}, SCORING, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.maps["p"], two.maps["p"])
    np.testing.assert_array_equal(
        one.scores["r_median"].resamples, two.scores["r_median"].resamples
    )
    none = SCORING.model_copy(update={"n_permutations": 0})
    scored = score_person(prediction(), {}, none, seed=4)
    assert "p" not in scored.maps
    np.testing.assert_allclose(scored.maps["r"], one.maps["r"], atol=1e-12)


def test_people_are_averaged_resample_by_resample() -> None:
    people = [score_person(prediction(s), {}, SCORING, 0).scores["r_median"] for s in (1, 2)]
    mean = mean_over_people(people)
    assert mean.value == pytest.approx((people[0].value + people[1].value) / 2)
    np.testing.assert_allclose(mean.null, (people[0].null + people[1].null) / 2)


def test_repeats_of_a_film_give_ceilings_and_other_films_do_not() -> None:
    """Two runs of one film: the ceiling is the root of what the runs have in common."""
    assert repeats(prediction()) == {}
    rng = np.random.default_rng(3)
    n = 20000
    signal = rng.standard_normal((n, 3)) * [1.0, 0.5, 0.0]
    runs = np.concatenate([signal + rng.standard_normal((n, 3)) for _ in range(2)])
    item = prediction(
        predicted=runs.astype(np.float32),
        measured=runs.astype(np.float32),
        segment=np.repeat([0, 1], n),
        film_time_s=np.tile(np.arange(n) * 1.5, 2),
        stimuli=("a", "a"),
    )
    found = repeats(item)
    assert set(found) == {"split_half", "repeats"}
    expected = np.sqrt([1 / 2, 0.25 / 1.25])
    for ceiling in found.values():
        np.testing.assert_allclose(ceiling[:2], expected, atol=0.03)
        assert np.nan_to_num(ceiling[2]) < 0.2


def test_nine_repeats_are_halved_by_drawing() -> None:
    rng = np.random.default_rng(4)
    n, n_repeats = 2000, 9
    signal = rng.standard_normal((n, 1))
    runs = np.concatenate([signal + rng.standard_normal((n, 1)) for _ in range(n_repeats)])
    item = prediction(
        predicted=runs.astype(np.float32),
        measured=runs.astype(np.float32),
        segment=np.repeat(np.arange(n_repeats), n),
        film_time_s=np.tile(np.arange(n) * 1.5, n_repeats),
        recordings=tuple("abcdefghi"),
        stimuli=("a",) * n_repeats,
    )
    found = repeats(item, seed=1)
    assert found["split_half"][0] == pytest.approx(np.sqrt(1 / 2), abs=0.03)
    np.testing.assert_array_equal(found["split_half"], repeats(item, seed=1)["split_half"])


def test_a_floor_of_no_ceiling_is_refused_before_the_fit() -> None:
    with pytest.raises(ValueError, match="ceiling_floor"):
        ScoringConfig(ceiling_floor=0)
