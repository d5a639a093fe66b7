from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr

from brainreel.simulate.film import FilmTracks
from brainreel.simulate.subject import (
    STEP_S,
    TRACK_NAMES,
    Subject,
    ar1_noise,
    blood_response,
    double_gamma,
    draw_subject,
    draw_weights,
    film_signals,
    neural_tracks,
    scaled,
)

REGIONS = np.array(["none", "luminance", "motion", "pitch", "loudness", "both"]).repeat(40)


def person(seed: int = 0) -> Subject:
    return draw_subject("sub-01", REGIONS, (0.6, 0.8), 0.35, np.random.default_rng(seed))


def tracks() -> FilmTracks:
    rng = np.random.default_rng(0)
    seen = rng.uniform(0.1, 0.9, (3, 100)).astype(np.float32)
    pitch = np.full(1000, 640, np.float32)
    loud = np.linspace(-50, 0, 1000, dtype=np.float32)
    return FilmTracks(Fraction(10), *seen, 100, pitch, loud, np.zeros(1))


def test_double_gamma_has_its_peak_and_undershoot() -> None:
    times = np.arange(0, 40, 0.05)
    for peak_s, width in ((4.5, 0.9), (6.0, 1.1)):
        response = double_gamma(times, peak_s, width)
        assert times[np.argmax(response)] == pytest.approx(peak_s, abs=0.1)
        assert response.sum() == pytest.approx(1)
        assert response.min() < 0
        assert times[np.argmin(response)] > peak_s + 5
    narrow, wide = (double_gamma(times, 5.0, width) for width in (0.8, 1.2))
    assert (wide > wide.max() / 2).sum() > (narrow > narrow.max() / 2).sum()


def test_neural_tracks_hold_frames_and_average_sound() -> None:
    film = tracks()
    found = neural_tracks(film)
    assert found.shape == (100, len(TRACK_NAMES))
    np.testing.assert_allclose(found[:, 0], film.luminance)
    loud = (1 + film.loudness_db / 50).reshape(100, 10).mean(axis=1)
    np.testing.assert_allclose(found[:, 3], loud, atol=1e-6)
    np.testing.assert_allclose(found[:, TRACK_NAMES.index("pitch-640")], loud, atol=1e-6)
    next_octave = found[:, TRACK_NAMES.index("pitch-1280")]
    np.testing.assert_allclose(next_octave, loud * np.exp(-0.5), atol=1e-6)


def test_a_film_may_end_within_a_step() -> None:
    whole = tracks()
    film = FilmTracks(**(vars(whole) | {"pitch_hz": whole.pitch_hz[:996]}))
    film = FilmTracks(**(vars(film) | {"loudness_db": whole.loudness_db[:996]}))
    np.testing.assert_allclose(neural_tracks(film)[:99], neural_tracks(whole)[:99])
    assert np.isfinite(neural_tracks(film)).all()


def test_scaled_tracks_keep_the_dark_at_zero() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.uniform(1, 2, (50, 2)), rng.uniform(3, 9, (70, 2))]
    result = scaled(parts)
    np.testing.assert_allclose(np.concatenate(result).std(axis=0), 1)
    np.testing.assert_allclose(result[1] / parts[1], (result[0] / parts[0])[:1].repeat(70, 0))


def test_blood_response_equals_a_slow_convolution() -> None:
    subject = person()
    neural = np.random.default_rng(2).standard_normal((80, 2))
    found = blood_response(neural, 3.0, 1.5, 12, subject)
    lags = np.arange(0, 32, STEP_S)
    kernel = double_gamma(lags, subject.hrf_peak_s, subject.hrf_width)
    slow = np.zeros((len(neural) + len(kernel) - 1, 2))
    for step, value in enumerate(neural):
        for lag, weight in enumerate(kernel):
            slow[step + lag] += weight * value
    at_s = 3.0 + (np.arange(len(slow)) + 0.5) * STEP_S
    expected = [np.interp(np.arange(12) * 1.5, at_s, column, left=0) for column in slow.T]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-10)
    np.testing.assert_array_equal(found[:2], 0)


def test_a_late_start_shifts_the_response_by_whole_trs() -> None:
    neural = np.random.default_rng(3).standard_normal((60, 1))
    early = blood_response(neural, 1.0, 1.5, 20, person())
    late = blood_response(neural, 4.0, 1.5, 20, person())
    np.testing.assert_allclose(late[2:], early[:-2], atol=1e-12)


def test_weights_heed_only_the_senses_of_the_region() -> None:
    weights = draw_weights(REGIONS, np.random.default_rng(4))
    visual, sound = np.abs(weights[:3]).sum(axis=0), np.abs(weights[3:]).sum(axis=0)
    for region, sees, hears in (
        ("none", False, False),
        ("luminance", True, False),
        ("pitch", False, True),
        ("loudness", False, True),
        ("both", True, True),
    ):
        assert (visual[region == REGIONS] > 0).all() == sees
        assert (sound[region == REGIONS] > 0).all() == hears
    np.testing.assert_array_equal(weights[2, REGIONS == "motion"], 1)
    assert np.abs(weights[0, REGIONS == "motion"]).mean() < 0.5


def test_people_differ() -> None:
    one, two = person(0), person(1)
    assert one.hrf_peak_s != two.hrf_peak_s
    assert one.hrf_width != two.hrf_width
    assert one.ar != two.ar
    assert not np.array_equal(one.weights, two.weights)


def test_signal_and_noise_reach_the_ceiling_asked_for() -> None:
    subject = person()
    responses = [np.random.default_rng(s).standard_normal((300, len(TRACK_NAMES))) for s in (5, 6)]
    signal = np.concatenate([film(slice(None)) for film in film_signals(subject, responses)])
    np.testing.assert_allclose(signal.std(axis=0), subject.amplitude, atol=1e-9)
    np.testing.assert_allclose(signal.mean(axis=0), 0, atol=1e-9)
    tuned = REGIONS != "none"
    np.testing.assert_array_equal(signal[:, ~tuned], 0)
    power = subject.amplitude[tuned] ** 2
    reached = np.sqrt(power / (power + subject.noise_std[tuned] ** 2))
    # A person's noise level moves the range by up to a tenth.
    assert 0.55 < reached.min() < reached.max() < 0.85


def test_noise_is_autocorrelated_stationary_and_apart_between_voxels() -> None:
    noise = ar1_noise(4000, np.full(60, 3.0), 0.4, np.random.default_rng(7))
    lagged = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in noise.T]
    assert np.mean(lagged) == pytest.approx(0.4, abs=0.01)
    assert noise.std() == pytest.approx(3.0, rel=0.01)
    firsts = ar1_noise(3, np.full(4000, 3.0), 0.8, np.random.default_rng(8))
    np.testing.assert_allclose(firsts.std(axis=1), 3.0, rtol=0.05)
    between = np.corrcoef(noise.T)[np.triu_indices(60, 1)]
    assert between.std() < 0.03


def test_p_values_of_noise_are_uniform() -> None:
    noise = ar1_noise(150, np.ones(300), 0.0, np.random.default_rng(9))
    seen = np.random.default_rng(10).standard_normal(150)
    p = [pearsonr(seen, column).pvalue for column in noise.T]
    assert kstest(p, "uniform").pvalue > 0.01
